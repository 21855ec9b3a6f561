"""What notices that something is wrong: the objectives' watch, the corrector, the sagas, the hosts, the views' check.

Nothing here knows which faults are injected. What it notices becomes a signal of the incident, in the log.
"""

import asyncio
from datetime import datetime

from actors.payment_shard import now
from domain.errors import RetryableError, TerminalError
from domain.incident import Signal
from gateway.node import Node
from gateway.replaying.samples import Samples
from simulations.incident_damage import ViewCheck
from simulations.incident_log import IncidentLog
from simulations.incident_world import TENANT, World

LOOK_EVERY_S = 0.25
SAMPLE_EVERY_S = 1.0


class Detection:
    """Looks for as long as it runs. It is switched on when the baseline holds: what comes before is the start.

    Args:
        world: whose node is watched.
        incident: where signals are noted; the first one declares it.
        samples: takes the figures down, once a second.
        check: the payments' view against the log.
    """

    def __init__(self, world: World, incident: IncidentLog, samples: Samples, check: ViewCheck) -> None:
        self._world = world
        self._incident = incident
        self._samples = samples
        self._check = check
        self._seen_alerts = 0
        self._pids: dict[str, int] = {}
        # What was noticed and is not in the log yet.
        self._pending: list[Signal] = []
        self.differing: dict[str, list[str]] = {}
        self.is_on = False

    async def run(self) -> None:
        """Look again and again."""
        loop = asyncio.get_running_loop()
        sampled_s = 0.0
        while True:
            if loop.time() - sampled_s >= SAMPLE_EVERY_S:
                sampled_s = loop.time()
                self._sample(self._world.node)
                await self._look_at_views()
            noticed = self._signals(now())
            self._pending += noticed if self.is_on else []
            await self._note()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _note(self) -> None:
        while self._pending:
            try:
                await self._incident.notice(self._pending[0])
            except RetryableError:
                return  # Noted with the next look.
            del self._pending[0]

    def _sample(self, node: Node) -> None:
        at = now()
        for projection, stale_s in node.watch.stale_s.items():
            self._samples.add("freshness", projection, at=at, value=round(stale_s, 3))
        for standing in node.watch.engine.standings():
            self._samples.add("budget", standing.slo, at=at, value=round(standing.budget_left, 6), bad=standing.bad)

    async def _look_at_views(self) -> None:
        for tenant in (TENANT, self._world.node.settings.prober.tenant):
            try:
                self.differing[tenant] = await self._check.differing(tenant)
            except (RetryableError, TerminalError):
                continue  # A host that does not answer is a signal of its own.

    def _signals(self, at: datetime) -> list[Signal]:
        return [
            *self._of_objectives(),
            *self._of_hosts(at),
            *self._of_answers(at),
            *self._of_sagas(at),
            *self._of_views(at),
        ]

    def _of_objectives(self) -> list[Signal]:
        new = self._world.alerts[self._seen_alerts :]
        self._seen_alerts += len(new)
        for alert in new:
            state = "fires" if alert.is_firing else "has ended"
            self._samples.add(
                "alert", f"{alert.slo}/{alert.alert}", at=alert.at, value=float(alert.is_firing), text=state
            )
        return [
            Signal(
                watch="objective",
                subject=alert.slo,
                detail=f"{alert.alert} ({alert.severity}): the budget burns {alert.burn_rate or 0:.1f} times too fast",
                seen_at=alert.at,
            )
            for alert in new
            if alert.is_firing and alert.severity == "page"
        ]

    def _of_hosts(self, at: datetime) -> list[Signal]:
        found = []
        for host, health in self._world.node.supervisor.health().items():
            before = self._pids.get(host, 0)
            if health is None:
                found.append(_signal("host", host, "does not answer", at))
            elif before and health.pid != before:
                found.append(_signal("host", host, "answers from another process than before", at))
            if health is not None:
                self._pids[host] = health.pid
        return found

    def _of_answers(self, at: datetime) -> list[Signal]:
        count = self._world.node.corrector.counts["invalidated"]
        return (
            [_signal("corrector", "answers", f"{count} answers were wrong when they were given", at)] if count else []
        )

    def _of_sagas(self, at: datetime) -> list[Signal]:
        waiting = self._world.node.outbox.escalations(TENANT, limit=100)
        if not waiting:
            return []
        reasons = ", ".join(sorted({each.reason for each in waiting}))
        return [_signal("sagas", "escalations", f"{len(waiting)} payments wait for a person: {reasons}", at)]

    def _of_views(self, at: datetime) -> list[Signal]:
        return [
            _signal("view check", tenant, f"{len(payments)} payments are not what the log says", at)
            for tenant, payments in self.differing.items()
            if payments
        ]


def _signal(watch: str, subject: str, detail: str, at: datetime) -> Signal:
    return Signal(watch=watch, subject=subject, detail=detail, seen_at=at)
