"""A remediator on a node whose troubles are made up."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from eventsourcing.persistence import OperationalError, StoredEvent

from actors.journal import Journal
from actors.recorder import LogRecorder, Snapshot
from domain.codec import tag_of
from domain.errors import RetryableError, TerminalError
from domain.slo import SloAlert
from domain.watch_settings import RemediationSettings
from gateway.remediating import Remediator
from gateway.remediation_log import RemediationLog
from gateway.remedies import Remedies
from gateway.tally import Tallied
from tests.worlds import Clock, entries_in, ids, new_log


class Fallible(LogRecorder):
    """A log that may be out of order."""

    is_broken = False
    # How many more batches it takes before it breaks.
    takes = math.inf

    def append(
        self, events: Sequence[StoredEvent], *, leases: Mapping[str, int], snapshots: Sequence[Snapshot] = ()
    ) -> Sequence[int]:
        self.takes -= 1
        if self.is_broken or self.takes < 0:
            raise OperationalError("disk I/O error")
        return super().append(events, leases=leases, snapshots=snapshots)


class Troubled:
    """A node that has the troubles it is given, and loses one when the right thing is done about it."""

    def __init__(self) -> None:
        self.silent: list[str] = []
        self.stuck_s: dict[str, float] = {}
        self.deaf = ""
        self.while_looking: Callable[[], None] = lambda: None
        self.counts: list[Tallied] = []
        self.open: dict[str, int] = {}
        self.apis: dict[str, int] = {}
        self.wrong = 0.0
        self.building: dict[str, str] = {}
        self.paused: set[str] = set()
        self.wanted: list[str] = []
        self.spare: list[str] = []
        self.unhelpful: list[str] = []
        self.missed: list[str] = []
        self.done: list[str] = []
        self.helps = True
        self.fails = False

    def silent_hosts(self) -> Sequence[str]:
        return self.silent

    def stuck_hosts(self, after_s: float) -> Sequence[str]:
        return [name for name, stuck_s in self.stuck_s.items() if stuck_s > after_s]

    async def broker_trouble(self) -> str:
        self.while_looking()
        return self.deaf

    def tallied(self) -> Sequence[Tallied]:
        return self.counts

    async def retryable(self) -> Mapping[str, int]:
        return self.open

    def pollable(self) -> Sequence[str]:
        return list(self.apis)

    def wrong_canaries(self) -> tuple[str, float]:
        return "canary", self.wrong

    async def unfinished_build(self, tenant: str) -> str:
        return self.building.get(tenant, "")

    async def rebuild(self, tenant: str) -> None:
        self._act(f"rebuild {tenant}")
        self.building[tenant] = "generation 2 is building"

    async def roll_back(self, tenant: str) -> None:
        self._act(f"roll back {tenant}")

    async def restart_host(self, name: str) -> None:
        self._act(f"restart {name}")
        if self.helps:
            self.silent.remove(name)

    async def restart_broker(self) -> None:
        self._act("restart nats")
        if self.helps:
            self.deaf = ""

    async def requeue(self, tenant: str) -> int:
        self._act(f"requeue {tenant}")
        return self.open.pop(tenant)

    async def poll(self, source: str) -> int:
        self._act(f"poll {source}")
        return self.apis[source]

    def pause(self, source: str) -> float:
        if "/" not in source:
            raise TerminalError("write tenant/source")
        self._act(f"pause {source}")
        self.paused.add(source)
        return 900.0

    def resume(self, source: str) -> None:
        self._act(f"resume {source}")
        self.paused.discard(source)

    def open_circuit(self, account: str) -> float:
        self._act(f"open {account}")
        return 30.0

    def wanted_intakes(self) -> Sequence[str]:
        return self.wanted

    def spare_intakes(self) -> Sequence[str]:
        return self.spare

    def unhelpful_intakes(self) -> Sequence[str]:
        return self.unhelpful

    def missed_intakes(self) -> Sequence[str]:
        return self.missed

    def intake_load(self) -> str:
        return "12000 messages wait"

    async def start_intake(self, name: str) -> None:
        self._act(f"start {name}")
        self.wanted = []
        self.unhelpful = [] if self.helps else [name]

    async def stop_intake(self, name: str) -> None:
        self._act(f"stop {name}")
        self.spare, self.unhelpful = [], []
        self.missed = [] if self.helps else [name]

    def _act(self, what: str) -> None:
        self.done.append(what)
        if self.fails:
            raise RetryableError("it cannot be done now")


class World:
    """A remediator, its node, its clock and its log."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.node = Troubled()
        self.recorder = Fallible(new_log(directory).datastore)
        self.new_id = ids("run")
        self.remediator = self.started()

    def started(self, **settings: object) -> Remediator:
        """A gateway that starts anew on the same log."""
        kept = RemediationLog(Journal(self.recorder), node="gateway", clock=self.clock, new_id=self.new_id)
        return Remediator(
            kept,
            Remedies(self.node, clock_s=self.seconds),
            settings=RemediationSettings(**settings),  # type: ignore[arg-type]  # a table
            clock=self.clock,
            clock_s=self.seconds,
            new_id=self.new_id,
        )

    def seconds(self) -> float:
        return self.clock().timestamp()

    async def turns(self, count: int, *, every_s: float = 1.0) -> None:
        for _ in range(count):
            await self.remediator.turn()
            self.clock.forward(every_s)

    def told(self) -> list[str]:
        """The tags of what is in the log, without their first word."""
        return [tag_of(type(each.envelope().event)).partition(".")[2] for each in entries_in(self.recorder)]

    def alert(self, slo: str, *, is_firing: bool = True) -> None:
        self.remediator.on_alert(
            SloAlert(
                slo=slo,
                alert="page-quick",
                severity="page",
                is_firing=is_firing,
                at=self.clock(),
                burn_rate=20.0,
                budget_left=0.5,
            )
        )
