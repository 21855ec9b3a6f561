"""Starts the hosts, asks each how it is, and replaces the one that does not answer."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

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


class Watched(msgspec.Struct, kw_only=True):
    """What the supervisor knows of a host. `strikes` counts pings in a row that were not answered."""

    spec: HostSpec
    endpoint: Any
    health: Health | None = None
    strikes: int = 0
    replacements: int = 0
    heard_at_s: float = 0.0
    is_being_replaced: bool = False


class Supervisor:
    """Keeps one host per spec alive. A host whose process died is restarted by Ray; one that hangs is replaced here.

    Args:
        specs: the hosts.
        on_event: told (event, fields) about starts, replacements and failures, for the log.
        clock_s: a monotonic clock.
    """

    def __init__(
        self,
        specs: Sequence[HostSpec],
        *,
        on_event: Callable[[str, dict[str, object]], None] = lambda event, fields: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watched = {spec.name: Watched(spec=spec, endpoint=RayEndpoint(spec.name)) for spec in specs}
        self._on_event = on_event
        self._clock_s = clock_s
        self._watches: list[asyncio.Task[None]] = []

    def endpoint(self, name: str) -> RayEndpoint:
        """A way to a host that survives its replacement."""
        endpoint = self._watched[name].endpoint
        assert isinstance(endpoint, RayEndpoint)
        return endpoint

    def health(self) -> dict[str, Health | None]:
        """The last word of each host, `None` for one that does not answer."""
        return {name: None if watched.strikes else watched.health for name, watched in self._watched.items()}

    def replacements(self) -> dict[str, int]:
        """How often each host was replaced."""
        return {name: watched.replacements for name, watched in self._watched.items()}

    async def start(self) -> None:
        """Start every host and wait until each has answered. Raises `TerminalError` for one that never does."""
        for watched in self._watched.values():
            _start(watched.spec)
        await asyncio.gather(*(self._await_first(watched) for watched in self._watched.values()))
        self._watches = [asyncio.create_task(self._watch(watched)) for watched in self._watched.values()]

    async def start_again(self) -> None:
        """Start every host anew after all were lost. Raises `TerminalError` for one that does not start."""
        await end(self._watches)
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

    async def stop(self) -> None:
        """Stop watching, then end every host."""
        await end(self._watches)
        for name in self._watched:
            kill_host(name)

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
            kill_host(watched.spec.name)
            _start(watched.spec)
            watched.health = await watched.endpoint.health(START_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - as above: it is tried again
            self._on_event("host_replacement_failed", {"host": watched.spec.name, "reason": str(error)})
            return
        finally:
            watched.is_being_replaced = False
        watched.replacements += 1
        watched.strikes, watched.heard_at_s = 0, self._clock_s()
        self._on_event("host_replaced", {"host": watched.spec.name, "pid": watched.health.pid})


def _start(spec: HostSpec) -> None:
    start_host(spec.hosted, spec.name, spec.place, spec.hosting, spec.telemetry)
