"""How a node watches itself: its objectives, and the questions that it asks itself."""

import msgspec

from domain.ids import TENANT_RE

TIME_SCALE_MAX = 10_000


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class SloSettings(Settings, frozen=True, kw_only=True):
    """The objectives, and how the node keeps account of them: docs/slo.md.

    Args:
        directory: of OpenSLO files; empty are those that come with the program, in ops/slo.
        time_scale: by how much all windows are shortened, for simulations: 1440 makes thirty minutes of thirty days.
    """

    directory: str = ""
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        """Raises `ValueError` for a time that does not pass."""
        if not 0 < self.time_scale <= TIME_SCALE_MAX:
            raise ValueError(f"slo.time_scale: above 0, at most {TIME_SCALE_MAX}")


class ProberSettings(Settings, frozen=True, kw_only=True):
    """Canary payments that the node makes up itself, and asks about.

    Args:
        interval_s: the pause between two probes; 0 makes none.
        tenant: whose payments they are: a tenant that the node adds, with credentials that it makes up.
        deadline_s: how long what was accepted may take to be visible, and an answer to come.
    """

    interval_s: float = 0.0
    tenant: str = "canary"
    deadline_s: float = 10.0

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change."""
        if self.interval_s < 0 or not self.deadline_s > 0:
            raise ValueError("prober: interval_s not below 0, and deadline_s above 0")
        if TENANT_RE.fullmatch(self.tenant) is None:
            raise ValueError("prober.tenant: use lower-case letters, digits and hyphens, at most 63")
