"""What notices a fault, and when: parts that are not ready, log lines, alerts, runbooks that begin."""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from simulations.chaos.target import TENANTS, Target, api_key

READY_TIMEOUT_S = 2.0
# Messages that are under way, and events that are being projected, while all is well.
BEHIND_MAX = 60


class Noticed(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was noticed first at that second of the trial, e.g. `part:nats` or `runbook:broker-deaf`."""

    at_s: float
    what: str


class Notices:
    """Looks at a node from outside, again and again.

    Args:
        target: the node.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._read_to = target.log_file.stat().st_size
        self._client = httpx.Client(timeout=READY_TIMEOUT_S)
        self.noticed: list[Noticed] = []
        self.unready: list[str] = []
        self.is_ready = False
        self.is_fresh = False

    def look(self, at_s: float) -> None:
        """Look once, at that second of the trial."""
        try:
            response = self._client.get(f"{self._target.direct_url}/readyz")
            parts: dict[str, Any] = response.json()["parts"]
            self.is_ready = response.is_success
            self.unready = [name for name, part in parts.items() if not part["is_ready"]]
        except (httpx.HTTPError, ValueError, KeyError):
            self.is_ready, self.unready = False, ["gateway"]
        for name in self.unready:
            self._note(at_s, f"part:{name}")
        self.is_fresh = self._is_fresh()
        lines, self._read_to = self._target.logged(self._read_to)
        for line in lines:
            event = str(line.get("event", ""))
            if line.get("level") not in {"warning", "error"}:
                continue
            self._note(at_s, f"event:{event}")
            if event == "slo_alert_fired":
                self._note(at_s, f"alert:{line.get('slo')}")
            if event == "remediation_began":
                self._note(at_s, f"runbook:{line.get('runbook')}")

    def _is_fresh(self) -> bool:
        """Whether what was accepted a moment ago is visible."""
        headers = {"Authorization": f"Bearer {api_key(TENANTS[0])}"}
        try:
            response = self._client.get(f"{self._target.direct_url}/v1/lag", headers=headers)
            lag: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError):
            return False
        if not response.is_success:
            return False
        behind: int = max(lag["ingest_pending"], lag["head"] - min(lag["projected"].values()))
        return behind <= BEHIND_MAX

    def _note(self, at_s: float, what: str) -> None:
        """Every time for those whose time matters, first for the others."""
        if not any(each.what == what for each in self.noticed[-50:]):
            self.noticed.append(Noticed(at_s=round(at_s, 2), what=what))

    def detected(self, by: Sequence[str], runbook: str, *, from_s: float, within_s: float) -> float:
        """1 if one of those noticed in time, and the runbook began if one has to; 0.5 if another one did; else 0."""
        since = [each for each in self.noticed if each.at_s >= from_s]
        is_seen = any(each.what in by and each.at_s <= from_s + within_s for each in since)
        if not is_seen:
            return 0.0
        return 1.0 if not runbook or any(each.what == f"runbook:{runbook}" for each in since) else 0.5

    def close(self) -> None:
        self._client.close()
