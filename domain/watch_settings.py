"""How a node watches itself: its objectives, the questions that it asks itself, and what it may do about trouble."""

from typing import Literal

from domain.ids import TENANT_RE
from domain.settings_base import Settings

TIME_SCALE_MAX = 10_000
OPERATOR_KEY_CHARS_MIN = 16


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


class RemediationSettings(Settings, frozen=True, kw_only=True):
    """What the node may do about its own troubles: docs/remediation.md.

    Args:
        mode: `act` (take the steps of runbooks), `ask` (each step waits for a person) or `off` (begin none by itself).
        operator_keys: bearer credentials of those who may approve steps and begin runbooks; without one nobody may.
        cool_down_s: the pause between two runs of a runbook.
        runs_max: how often a runbook may run within `window_s`; after that it flaps, and a person is needed.
        window_s: see `runs_max`.
        pause_s: how long a paused source is held up.
    """

    mode: Literal["act", "ask", "off"] = "act"
    operator_keys: tuple[str, ...] = ()
    cool_down_s: float = 60.0
    runs_max: int = 3
    window_s: float = 3_600.0
    pause_s: float = 900.0

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change."""
        if self.cool_down_s < 0 or self.runs_max < 1 or not self.window_s > 0 or not self.pause_s > 0:
            raise ValueError("remediation: cool_down_s not below 0, runs_max at least 1, window_s and pause_s above 0")
        if any(len(key) < OPERATOR_KEY_CHARS_MIN for key in self.operator_keys):
            raise ValueError(f"remediation.operator_keys: at least {OPERATOR_KEY_CHARS_MIN} characters each")


class ScalingSettings(Settings, frozen=True, kw_only=True):
    """When an intake more is started, between `ray.intakes` and `ray.intakes_max`, and when it is ended again.

    Args:
        drain_s: how long the intakes may need for what waits on the stream, at the rate at which they take it in.
        behind_s: after how long above that one more is started.
        quiet_s: after how long with little to do one that was started is ended.
    """

    drain_s: float = 10.0
    behind_s: float = 15.0
    quiet_s: float = 1_800.0

    def __post_init__(self) -> None:
        """Raises `ValueError` for a time that does not pass."""
        if not (self.drain_s > 0 and self.behind_s > 0 and self.quiet_s > 0):
            raise ValueError("scaling: drain_s, behind_s and quiet_s: above 0")
