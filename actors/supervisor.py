"""Starts the hosts, asks each how it is, and replaces the one that does not answer."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from actors.payment_shard import Health
from actors.remote import Hosting, RayEndpoint, kill_host, start_host
from actors.tasks import end
from actors.telemetry import Telemetry
from domain.errors import RetryableError, TerminalError

PING_EVERY_S = 0.5
PING_TIMEOUT_S = 2.0
STRIKES_MAX = 2
START_TIMEOUT_S = 90.0


class HostSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A process to be kept alive: `hosted(place)` under `name`."""

    name: str
    hosted: type[Any]
    place: bytes
    hosting: Hosting
    telemetry: Telemetry


class Endpoint(Protocol):
    """A way to a host by its name, whichever process has it. Both raise `RetryableError` where it does not answer."""

    async def call(self, method: str, payload: bytes, *, timeout_s: float | None = None) -> bytes: ...

    async def health(self, timeout_s: float) -> Health: ...


class Processes(Protocol):
    """What starts and ends the processes of hosts."""

    def start(self, spec: HostSpec) -> None:
        """Start one, or find the one that is there."""
        ...

    def end(self, name: str) -> None:
        """End it for good, if it is there."""
        ...

    def endpoint(self, name: str) -> Endpoint: ...


class RayProcesses:
    """Processes as Ray hosts them."""

    def start(self, spec: HostSpec) -> None:
        start_host(spec.hosted, spec.name, spec.place, spec.hosting, spec.telemetry)

    def end(self, name: str) -> None:
        kill_host(name)

    def endpoint(self, name: str) -> Endpoint:
        return RayEndpoint(name)


class Watched(msgspec.Struct, kw_only=True):
    """What the supervisor knows of a host. `strikes` counts pings in a row that were not answered."""

    spec: HostSpec
    endpoint: Endpoint
    health: Health | None = None
    strikes: int = 0
    replacements: int = 0
    heard_at_s: float = 0.0
    is_being_replaced: bool = False


class Supervisor:
    """Keeps one host per spec alive. A host whose process died is restarted by Ray; one that hangs is replaced here.

    Args:
        specs: the hosts.
        on_event: told (event, fields) about starts, replacements, failures and ends, for the log.
        clock_s: a monotonic clock.
        processes: starts and ends them.
    """

    def __init__(
        self,
        specs: Sequence[HostSpec],
        *,
        on_event: Callable[[str, dict[str, object]], None] = lambda event, fields: None,
        clock_s: Callable[[], float] = time.monotonic,
        processes: Processes | None = None,
    ) -> None:
        self._processes = processes or RayProcesses()
        self._watched = {spec.name: self._unheard(spec) for spec in specs}
        self._on_event = on_event
        self._clock_s = clock_s
        self._watches: dict[str, asyncio.Task[None]] = {}

    def _unheard(self, spec: HostSpec) -> Watched:
        return Watched(spec=spec, endpoint=self._processes.endpoint(spec.name))

    def endpoint(self, name: str) -> Endpoint:
        """A way to a host that survives its replacement."""
        return self._watched[name].endpoint

    def health(self) -> dict[str, Health | None]:
        """The last word of each host, `None` for one that does not answer."""
        # A list: whoever asks from another thread may meet a host that is added or removed.
        return {name: None if watched.strikes else watched.health for name, watched in list(self._watched.items())}

    def replacements(self) -> dict[str, int]:
        """How often each host was replaced."""
        return {name: watched.replacements for name, watched in list(self._watched.items())}

    async def start(self) -> None:
        """Start every host and wait until each has answered. Raises `TerminalError` for one that never does."""
        for watched in self._watched.values():
            self._processes.start(watched.spec)
        await asyncio.gather(*(self._await_first(watched) for watched in self._watched.values()))
        self._watches = {name: asyncio.create_task(self._watch(watched)) for name, watched in self._watched.items()}

    async def start_again(self) -> None:
        """Start every host anew after all were lost. Raises `TerminalError` for one that does not start."""
        await end(self._watches.values())
        for watched in self._watched.values():
            watched.health, watched.strikes = None, 0
            watched.replacements += 1
        await self.start()

    async def restart(self, name: str) -> None:
        """Give a host's name to a new process, whether or not the old one answers.

        Raises `RetryableError` if that one does not start, or another is being started already.
        """
        watched = self._watched.get(name)
        if watched is None or watched.is_being_replaced:
            raise RetryableError(f"{name} is no host, or is being replaced already")
        before = watched.replacements
        await self._replace(watched)
        if watched.replacements == before:
            raise RetryableError(f"{name} did not start again")

    async def add(self, spec: HostSpec) -> None:
        """Start one host more, and watch it as the others from its first answer on.

        Raises `RetryableError` if it does not start, or is there already; then nothing is left of it.
        """
        if spec.name in self._watched:
            raise RetryableError(f"{spec.name} is there already")
        watched = self._unheard(spec)
        is_heard = False
        try:
            self._processes.start(spec)
            await self._await_first(watched)
            is_heard = True
        except TerminalError as error:
            raise RetryableError(error.reason) from error
        finally:
            if not is_heard:
                self._processes.end(spec.name)
        self._watched[spec.name] = watched
        self._watches[spec.name] = asyncio.create_task(self._watch(watched))

    async def remove(self, name: str, *, finish: Callable[[Endpoint], Awaitable[None]]) -> None:
        """Let a host finish what it has, then end it for good. It is not watched any more, whatever comes of that.

        Args:
            name: the host's.
            finish: has it finish; where that fails the host is ended all the same, as by a crash.

        Raises `RetryableError` if there is no such host, or it is being replaced.
        """
        watched = self._watched.get(name)
        if watched is None or watched.is_being_replaced:
            raise RetryableError(f"{name} is no host, or is being replaced")
        await end([self._watches.pop(name)])
        failure = ""
        try:
            await finish(watched.endpoint)
        except (RetryableError, TerminalError) as error:
            failure = error.reason
        finally:
            del self._watched[name]
            self._processes.end(name)
        self._on_event("host_removed", {"host": name, "failure": failure})

    def end_left(self, names: Sequence[str]) -> None:
        """End hosts that an earlier supervisor added and did not live to remove."""
        for name in names:
            if name not in self._watched:
                self._processes.end(name)

    async def stop(self) -> None:
        """Stop watching, then end every host."""
        await end(self._watches.values())
        for name in self._watched:
            self._processes.end(name)

    async def _await_first(self, watched: Watched) -> None:
        deadline_s = self._clock_s() + START_TIMEOUT_S
        while True:
            try:
                watched.health = await watched.endpoint.health(PING_TIMEOUT_S)
            except RetryableError as error:
                if self._clock_s() > deadline_s:
                    raise TerminalError(f"{watched.spec.name} did not start: {error.reason}") from error
                await asyncio.sleep(PING_EVERY_S / 5)
                continue
            watched.heard_at_s = self._clock_s()
            self._on_event("host_started", {"host": watched.spec.name, "pid": watched.health.pid})
            return

    async def _watch(self, watched: Watched) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            try:
                health: Health = await watched.endpoint.health(PING_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - a watch that ends would leave its host alone for good
                watched.strikes += 1
                self._on_event(
                    "host_silent", {"host": watched.spec.name, "strikes": watched.strikes, "reason": str(error)}
                )
                is_due = watched.strikes >= STRIKES_MAX and not watched.is_being_replaced
                if is_due and not self._is_restarting(watched):
                    await self._replace(watched)
                continue
            if watched.health is not None and watched.health.pid != health.pid:
                self._on_event("host_restarted", {"host": watched.spec.name, "pid": health.pid})
            watched.health, watched.strikes, watched.heard_at_s = health, 0, self._clock_s()

    def _is_restarting(self, watched: Watched) -> bool:
        """Whether the process is gone, so that Ray is starting another, which may take a while."""
        if watched.health is None or self._clock_s() - watched.heard_at_s > START_TIMEOUT_S:
            return False
        try:
            os.kill(watched.health.pid, 0)
        except ProcessLookupError:
            return True
        return False

    async def _replace(self, watched: Watched) -> None:
        """Give the name to a new process. The old one may still run: its lease is gone with the new one's start."""
        watched.is_being_replaced = True
        try:
            self._processes.end(watched.spec.name)
            self._processes.start(watched.spec)
            watched.health = await watched.endpoint.health(START_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - as above: it is tried again
            self._on_event("host_replacement_failed", {"host": watched.spec.name, "reason": str(error)})
            return
        finally:
            watched.is_being_replaced = False
        watched.replacements += 1
        watched.strikes, watched.heard_at_s = 0, self._clock_s()
        self._on_event("host_replaced", {"host": watched.spec.name, "pid": watched.health.pid})
