"""A process's own view of a simulated world, and what every host in one has in common."""

from collections.abc import Awaitable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.journal import Journal
from actors.shard import Shard
from domain.codec import Submission
from domain.message import Reply
from domain.settings import ShardSettings
from simulations.faults import SELDOM, is_acting
from simulations.virtual_loop import CrashedError, Process

if TYPE_CHECKING:
    from simulations.world import World

SKEWS_S = (0.0, 300.0, -300.0, 3_600.0)
# Where deadlines are awaited, each by the clock of one process and then another: it has to be over in bounded time.
SHORT_SKEWS_S = (0.0, 5.0, -5.0, 15.0)
# Small, so that eviction and snapshots happen in a short run.
SETTINGS = ShardSettings(aggregates_max=500, snapshot_every=3)


class Host(Protocol):
    """What runs in a process."""

    def call(self, method: str, payload: bytes) -> Awaitable[bytes]:
        """Serve a call from another process."""
        ...

    @property
    def is_fenced(self) -> bool: ...

    def is_at_rest(self) -> bool:
        """Whether it has done all that the log gives it to do."""
        ...


class Site:
    """A process's own view of the world: its clock, its ids, and the points at which it can be made to crash."""

    def __init__(self, world: "World", process: Process, kind: str) -> None:
        self.world = world
        self.process = process
        self.kind = kind
        skews_s = SHORT_SKEWS_S if is_acting(world.options) else SKEWS_S
        self.skew_s = world.faults.delay_s(skews_s) if world.skews(kind) else 0.0
        self._made = 0

    def clock(self) -> datetime:
        return self.world.at(self.skew_s)

    def new_id(self) -> str:
        self._made += 1
        return f"{self.process.name}.{self.process.incarnation}.{self._made}"

    def at_point(self, point: str) -> None:
        """A crash may happen here, or a successor take over while this process stands between two steps."""
        where = f"{self.kind}.{point}"
        if point == "before_append" and self.world.faults.happens("takeover", where):
            self.world.replace(self.process)
        if self.world.faults.happens("crash", where, times=SELDOM.get(point, 1)):
            self.world.note("crash", f"{self.process.name} at {point}")
            self.world.loop.kill(self.process)
            raise CrashedError(where)

    def journal(self) -> Journal:
        return self.world.journal(self.kind)

    def watch(self, shard: Shard) -> Shard:
        """The shard, whose replies are compared with what it wrote from now on."""
        handle, world = shard.handle, self.world

        def watched(batch: Sequence[Submission]) -> list[Reply]:
            before = world.feed.head()
            replies = handle(batch)
            world.checks.replies(self.process.name, before, batch, replies)
            return replies

        shard.handle = watched  # type: ignore[method-assign]  # it is this instance that is watched
        return shard


def forget_files(site: Site, files: Iterable[Path]) -> None:
    """Derived files may be gone at a start; not while a former incarnation still has them open."""
    world = site.world
    for file in files if world.is_alone(site.process) else ():
        if file.exists() and world.faults.happens("files_lost", site.kind, times=5):
            world.note("files_lost", str(file))
            for each in file.parent.glob(f"{file.name}*"):
                each.unlink()
