"""What a node measures of itself while it runs: how stale it is, every second, and how its objectives stand."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path

import structlog
from prometheus_client import REGISTRY

from domain.errors import TerminalError
from domain.slo import SloAlert
from domain.watch_settings import SloSettings
from gateway.freshness import Staleness
from gateway.slo import Sample, SloEngine
from gateway.slo_files import DIRECTORY, service_levels
from gateway.slo_history import SloHistory

LOOK_EVERY_S = 1.0
DAY_S = 86_400.0

log = structlog.get_logger("watch")


def samples(metrics: frozenset[str]) -> list[Sample]:
    """The series of these metrics as /metrics has them."""
    return [
        Sample(metric=sample.name, labels=sample.labels, value=sample.value)
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name in metrics
    ]


class Watch:
    """Looks at the node from within.

    Args:
        settings: which objectives, and how fast time passes.
        data: the node's directory; what was counted is kept there.
        head: the last position of the log.
        projected: how far the projections are, as far as that is heard.
        refresh: asks the hosts for their figures, before the objectives are looked at.
        clock: the time.
        on_alert: told of every alert that begins to fire or ends.
    """

    def __init__(
        self,
        settings: SloSettings,
        data: Path,
        *,
        head: Callable[[], int],
        projected: Callable[[], Mapping[str, int]],
        refresh: Callable[[], Awaitable[None]],
        clock: Callable[[], datetime],
        on_alert: Callable[[SloAlert], None] = lambda alert: None,
    ) -> None:
        directory = Path(settings.directory) if settings.directory else DIRECTORY
        levels = service_levels(directory)
        if settings.directory and not levels:
            raise TerminalError(f"slo.directory {settings.directory!r}: there is no objective in a file *.yml")
        keep_s = max((level.objective.window_s for level in levels), default=DAY_S) / settings.time_scale
        self._history = SloHistory(data / "slo.sqlite", keep_s)
        self.engine = SloEngine(levels, on_alert=on_alert, time_scale=settings.time_scale, kept=self._history)
        self.stale_s: Mapping[str, float] = {}
        self._head = head
        self._projected = projected
        self._refresh = refresh
        self._clock = clock
        self._staleness = Staleness()

    async def run(self) -> None:
        """Look for as long as the task lives."""
        await asyncio.gather(
            _forever(self.look, LOOK_EVERY_S, "staleness"), _forever(self.judge, self.engine.step_s, "objectives")
        )

    async def look(self) -> None:
        """See how stale the node is."""
        head = await asyncio.to_thread(self._head)
        self.stale_s = self._staleness.look(head, self._projected(), time.monotonic())

    async def judge(self) -> None:
        """See how the objectives stand."""
        await self._refresh()
        self.engine.observe(await asyncio.to_thread(samples, self.engine.metrics), self._clock())

    def close(self) -> None:
        self._history.close()


async def _forever(step: Callable[[], Awaitable[None]], every_s: float, what: str) -> None:
    """A step at every multiple of the interval; one that takes longer leaves some out."""
    due_s = time.monotonic()
    while True:
        try:
            await step()
        except Exception:
            log.exception("watch_failed", what=what)
        due_s += every_s * max(1, -((due_s - time.monotonic()) // every_s))
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
