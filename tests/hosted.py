"""Hosts that a supervisor has started, without processes: how each answers is a test's to say."""

from collections.abc import Callable

import msgspec

from actors.payment_shard import Health
from actors.remote import Hosting
from actors.supervisor import Endpoint, HostSpec
from actors.telemetry import Telemetry
from domain.errors import RetryableError


class Hosted:
    """What would be a process: it answers unless it is silent, and tells what it was asked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stats: dict[str, float] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.is_silent = False
        self.reply: Callable[[str, bytes], bytes] = lambda method, payload: b""

    async def call(self, method: str, payload: bytes) -> bytes:
        """Raises `RetryableError` while it is silent."""
        if self.is_silent:
            raise RetryableError("it does not answer")
        self.asked.append((method, payload))
        return self.reply(method, payload)


class Way:
    """A way to whatever is hosted under a name."""

    def __init__(self, hosts: "Hosts", name: str) -> None:
        self._hosts = hosts
        self._name = name

    async def call(self, method: str, payload: bytes, *, timeout_s: float | None = None) -> bytes:  # noqa: ARG002 - it answers at once or never
        return await self._hosts.found(self._name).call(method, payload)

    async def health(self, timeout_s: float) -> Health:
        host = self._hosts.found(self._name)
        await self.call("ping", b"", timeout_s=timeout_s)
        return Health(pid=host.pid, stats=dict(host.stats))


class Hosts:
    """Starts and ends them. `on_start` prepares one that starts."""

    def __init__(self, on_start: Callable[[HostSpec, Hosted], None] = lambda spec, host: None) -> None:
        self.there: dict[str, Hosted] = {}
        self.on_start = on_start
        self._pids = 0

    def start(self, spec: HostSpec) -> None:
        if spec.name not in self.there:
            self._pids += 1
            self.there[spec.name] = Hosted(self._pids)
            self.on_start(spec, self.there[spec.name])

    def end(self, name: str) -> None:
        self.there.pop(name, None)

    def endpoint(self, name: str) -> Endpoint:
        return Way(self, name)

    def found(self, name: str) -> Hosted:
        """Raises `RetryableError` if there is none of that name."""
        if name not in self.there:
            raise RetryableError(f"{name} is not there")
        return self.there[name]


def spec_of(name: str, place: object = None) -> HostSpec:
    """A host of that name; `place` is what it is told."""
    return HostSpec(
        name=name,
        hosted=Hosted,
        place=msgspec.msgpack.encode(place),
        hosting=Hosting(),
        telemetry=Telemetry(host=name, log_file="", log_level="info", otlp_endpoint=""),
    )
