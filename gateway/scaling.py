"""The intakes of a node: how many there are, how the tenants' rates are divided among them, one more and one fewer.

The rates hold at every moment: before one is added the others take less, and they take more when one has ended. One
that was started again is told the number anew; until then it takes the least that may be its (see `IntakePlace`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
from nats.errors import Error as NatsError

from actors.payment_shard import Health
from actors.supervisor import Endpoint, HostSpec, Supervisor
from domain.errors import RetryableError, TerminalError
from domain.scaling import IntakeCount, Load, LoadWatch, has_helped, is_behind
from domain.settings import ACTORS_MAX, RaySettings
from domain.watch_settings import ScalingSettings
from gateway.host_specs import intake_name
from gateway.intake_host import FINISH_TIMEOUT_S
from gateway.tally import Tallied

LOOK_EVERY_S = 1.0
ANSWER_TIMEOUT_S = 2.0

log = structlog.get_logger("scaling")


class Intakes:
    """Keeps the intakes of a node, between `ray.intakes` and `ray.intakes_max`.

    Args:
        supervisor: has started the first ones.
        ray: how few and how many.
        settings: when one more or fewer would do.
        spec_of: an intake by its number.
        backlog: how many messages are not taken in; raises what the bus raises.
        keep: told an intake's last counts before it ends.
        clock_s: a monotonic clock.
        pause: waits that many seconds.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        ray: RaySettings,
        settings: ScalingSettings,
        spec_of: Callable[[int], HostSpec],
        backlog: Callable[[], Awaitable[int]],
        keep: Callable[[str, list[Tallied]], None],
        clock_s: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._supervisor = supervisor
        self._ray = ray
        self._settings = settings
        self._spec_of = spec_of
        self._backlog = backlog
        self._keep = keep
        self._clock_s = clock_s
        self._pause = pause
        self._divided_by = ray.intakes
        self._watch = LoadWatch(settings)
        # What the others managed when one was added, by its name.
        self._before: dict[str, Load | None] = {}

    @property
    def names(self) -> list[str]:
        """Those that there are."""
        hosts = self._supervisor.health()
        return [name for name in map(intake_name, range(self._ray.intakes_limit)) if name in hosts]

    def end_left(self) -> None:
        """End what an earlier gateway added and did not live to end: nobody would tell it the others' number."""
        self._supervisor.end_left([intake_name(number) for number in range(self._ray.intakes, ACTORS_MAX)])

    async def run(self) -> None:
        """Look for as long as the task lives, if there is anything to decide."""
        while self._ray.intakes_limit > self._ray.intakes:
            try:
                await self.look()
            except Exception:
                # As long as the node lives somebody must tell the intakes their number.
                log.exception("scaling_crashed")
            await self._pause(LOOK_EVERY_S)

    async def look(self) -> None:
        """See what they do, and tell the number to those that go by another one."""
        await self._tell()
        names, hosts = self.names, self._supervisor.health()
        counts = {name: _count(said) for name in names if (said := hosts[name]) is not None}
        if len(counts) < len(names):
            self._watch.forget()
            return
        try:
            backlog = await self._backlog()
        except (NatsError, RetryableError, TimeoutError) as error:
            log.debug("backlog_not_seen", reason=str(error) or type(error).__name__)
            self._watch.forget()
            return
        self._watch.see(self._clock_s(), counts, backlog)

    def wanted(self) -> Sequence[str]:
        """The next intake, if those that there are have been behind for long although every other host is well."""
        names, hosts = self.names, self._supervisor.health()
        if len(names) >= self._ray.intakes_limit or any(said is None for said in hosts.values()):
            return []
        return [intake_name(len(names))] if self._watch.is_behind(self._clock_s()) else []

    def spare(self) -> Sequence[str]:
        """The last intake that was added, if they have been quiet for long."""
        names = self.names
        is_spare = len(names) > self._ray.intakes and self._watch.is_quiet(self._clock_s())
        return names[-1:] if is_spare else []

    def unhelpful(self) -> Sequence[str]:
        """The last intake that was added, as long as it is not seen to help; the next one if it is not even there."""
        names = self.names
        before, load = self._before.get(names[-1]), self._watch.load
        if before is None:
            return [intake_name(len(names))]
        return [] if load is not None and has_helped(before, load, self._settings) else names[-1:]

    def missed(self) -> Sequence[str]:
        """The next intake, unless those that there are are seen to do without it."""
        load = self._watch.load
        return [intake_name(len(self.names))] if load is None or is_behind(load, self._settings) else []

    def seen(self) -> str:
        """What they had to do lately, in words."""
        load = self._watch.load
        if load is None:
            return "not known"
        drain = f"{load.drain_s:.0f} s" if load.per_second else "for ever"
        return f"{load.backlog} messages wait, {drain} at {load.per_second:.0f}/s, {load.busy:.0%} busy"

    async def add(self, name: str) -> None:
        """Start one more, which is already done if it runs.

        Raises `TerminalError` if it is not the next one or there are as many as there may be, `RetryableError` if it
        does not start or another cannot be told; then all is as before.
        """
        names = self.names
        if name in names:
            return
        if len(names) >= self._ray.intakes_limit or name != intake_name(len(names)):
            raise TerminalError(f"{name} is not the next one after {names[-1]}, of {self._ray.intakes_limit} at most")
        load = self._watch.load
        self._divided_by = len(names) + 1
        try:
            for other in names:
                await self._divide(self._supervisor.endpoint(other))
            await self._supervisor.add(self._spec_of(len(names)))
        finally:
            self._divided_by = len(self.names)
        self._before[name] = load
        self._watch.forget()
        await self._tell()

    async def remove(self, name: str) -> None:
        """Have the last one finish what it has and end it, which is already done if it does not run.

        Raises `TerminalError` if it is not the last one or there are as few as there must be, `RetryableError` while it
        is being replaced.
        """
        names = self.names
        if name == intake_name(len(names)):
            return
        if len(names) <= self._ray.intakes or name != names[-1]:
            raise TerminalError(f"{name} is not the last one, {names[-1]}, of {self._ray.intakes} at least")

        async def finish(endpoint: Endpoint) -> None:
            said = await endpoint.call("finish", b"", timeout_s=FINISH_TIMEOUT_S + ANSWER_TIMEOUT_S)
            self._keep(name, msgspec.msgpack.decode(said, type=list[Tallied]))

        try:
            await self._supervisor.remove(name, finish=finish)
        finally:
            self._divided_by = len(self.names)
        self._before.pop(name, None)
        self._watch.forget()
        await self._tell()

    async def _tell(self) -> None:
        """Tell the number to those that divide by another one, as far as they answer: the next look does it again."""
        for name, said in self._supervisor.health().items():
            if name in self.names and said is not None and said.stats.get("divided_by") != self._divided_by:
                try:
                    await self._divide(self._supervisor.endpoint(name))
                except (RetryableError, TerminalError) as error:
                    log.debug("intake_not_told", host=name, reason=error.reason)

    async def _divide(self, endpoint: Endpoint) -> None:
        await endpoint.call("divide", msgspec.msgpack.encode(self._divided_by), timeout_s=ANSWER_TIMEOUT_S)


def _count(said: Health) -> IntakeCount:
    stats = said.stats
    return IntakeCount(
        messages=stats.get("messages", 0.0),
        idle_s=stats.get("idle_seconds", 0.0),
        up_s=stats.get("up_seconds", 0.0),
    )
