"""The only module that knows Ray. Plain classes become processes here, and calls become asyncio futures.

Ray is closed by default: node ip 127.0.0.1 and token authentication, because its ports run code for whoever reaches
them. Retries are ours (`max_task_retries=0`): Ray's reorder and duplicate.
"""

import asyncio
import logging
import os
import secrets
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec

# Ray reads its authentication mode once, while it is imported. A cluster that is run without says so itself.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray._private import node, ray_constants, worker
from ray.exceptions import (
    RayError,
    RayTaskError,
)

from actors.payment_shard import Health
from actors.telemetry import Telemetry, start_telemetry
from domain.errors import FencedError, RetryableError, TerminalError

NAMESPACE = "recount"
PENDING_CALLS_MAX = 1_000
# What every hosted class answers beside its work; a group of its own, so that a busy host still says that it lives.
HEALTH_GROUP = "health"


class _Cluster:
    """The cluster that this process is in: which one in turn, and whether it is away, being started.

    A handle of an earlier one says nothing. Ray would start a cluster of its own making for whoever asks it for an
    actor while there is none, so nobody asks then.
    """

    def __init__(self) -> None:
        self.number = 0
        self.is_away = False

    def is_here(self) -> bool:
        return not self.is_away and ray.is_initialized()

    def check(self) -> None:
        """Raise `RetryableError` while it is away, or was never there."""
        if not self.is_here():
            raise RetryableError("Ray is being started", retry_after_s=1)


_cluster = _Cluster()
# Of a cluster that is started here. Ray's core keeps the first one that it reads, so it stays for the process.
_TOKEN = secrets.token_hex(32)


class Hosting(msgspec.Struct, frozen=True, kw_only=True):
    """How a class is hosted: threads for its calls, and groups of methods with threads of their own."""

    threads: int = 1
    groups: dict[str, int] = {}
    methods: dict[str, str] = {}


class _Head(node.Node):
    """A node of Ray without what nobody asks here, which costs a third of the start: three processes that import Ray.

    There is nothing to scale, no dashboard, and logs are read where they lie.
    """

    def start_monitor(self) -> None: ...

    def start_log_monitor(self) -> None: ...

    def start_api_server(self, **_: object) -> None:
        self._webui_url = ""


def start_ray(address: str, *, object_store_bytes: int = 128 * 1024**2) -> None:
    """Join the cluster at `address`, or start one on this machine for `local`.

    Raises `TerminalError` if there is none to join.
    """
    common: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "configure_logging": False}
    with _own_signal_handlers():
        if address != "local":
            try:
                ray.init(address=address, **common)
            except ConnectionError as error:
                raise TerminalError(f"ray.address {address!r}: no cluster answers there: {error}") from error
            return
        os.environ["RAY_AUTH_TOKEN"] = _TOKEN
        # Ray takes 127.0.0.1 for a mistake and puts an interface's address in its place, unless it is told that this
        # is no cluster, for which it has a constant and no option; with 127.0.0.1 its servers bind to loopback.
        ray_constants.ENABLE_RAY_CLUSTER = False
        node.Node = _Head  # type: ignore[misc]  # as above: there is no option to leave them out
        ray.init(
            address="local",
            num_cpus=max(4, os.cpu_count() or 1),
            include_dashboard=False,
            object_store_memory=object_store_bytes,
            _node_ip_address="127.0.0.1",
            # Else it waits for two processes that nobody asked for yet, and no other thread of ours runs meanwhile.
            _system_config={"prestart_worker_first_driver": False},
            **common,
        )


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep our SIGTERM handler: Ray puts one in its place that leaves at once, with everything else still running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def lost_parts() -> list[str]:
    """Which of Ray's own processes have died, of a cluster that was started here: without them nothing is hosted."""
    head: Any = worker._global_node  # noqa: SLF001 - Ray tells nobody of its own
    essential = {ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER}
    return [name for name, _ in head.dead_processes() if name in essential] if head is not None else []


def stop_ray() -> None:
    """Leave the cluster; a local one ends with its processes."""
    ray.shutdown()


async def bring_up_ray(address: str) -> None:
    """Start Ray beside what the event loop does meanwhile, or anew after its own processes died.

    Until it is there, every call to a host is refused at once. Raises whatever keeps it from starting; then it stays
    away. Who is cancelled waits for the thread that starts it.
    """
    _cluster.is_away = True

    def start() -> None:
        stop_ray()
        # That it leaves our SIGTERM handler alone, because this is not the main thread, is worth no warning.
        logging.getLogger(worker.__name__).setLevel(logging.ERROR)
        start_ray(address)

    with _own_signal_handlers():
        starting = asyncio.get_running_loop().run_in_executor(None, start)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            raise
    _cluster.number += 1
    _cluster.is_away = False


@asynccontextmanager
async def ray_beside(address: str) -> AsyncIterator["asyncio.Task[None]"]:
    """Ray, which starts beside the block and ends with it; the task is done when hosts can be started.

    It raises `TerminalError` if there is no cluster to join.
    """
    starting = asyncio.create_task(bring_up_ray(address))
    # Its thread begins now, whatever keeps the event loop busy next.
    await asyncio.sleep(0)
    try:
        yield starting
    finally:
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(stop_ray)


def run_tasks(function: Callable[..., bytes], calls: Sequence[tuple[Any, ...]]) -> Iterator[bytes]:
    """Call a function once per tuple of arguments, spread over the cluster; results in the order in which they come.

    A task whose worker dies is run again: what is called must not mind.
    """
    task = ray.remote(num_cpus=1, max_retries=3)(function)
    waiting = [task.remote(*arguments) for arguments in calls]
    while waiting:
        done, waiting = ray.wait(waiting)
        for each in done:
            result: bytes = ray.get(each)
            yield result


def start_host(hosted: type[Any], name: str, place: bytes, hosting: Hosting, telemetry: Telemetry) -> None:
    """Start a process that hosts `hosted(place)` under `name`, or find the one that is there."""
    _cluster.check()
    methods = {"ping": HEALTH_GROUP, **hosting.methods}

    def start(self: Any, place: bytes) -> None:  # noqa: ANN401 - an instance of any hosted class
        start_telemetry(telemetry)
        hosted.__init__(self, place)

    wrapped = type(hosted.__name__, (hosted,), {"__init__": start})
    for method, group in methods.items():
        setattr(wrapped, method, ray.method(concurrency_group=group)(_forward(hosted, method)))
    options: dict[str, Any] = {
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": hosting.threads,
        "concurrency_groups": {HEALTH_GROUP: 1, **hosting.groups},
    }
    ray.remote(**options)(wrapped).options(
        name=name,
        get_if_exists=True,
        lifetime="detached",  # A host outlives whoever started it; otherwise it ends with the last handle to it.
        max_pending_calls=PENDING_CALLS_MAX,
    ).remote(place)


def _forward(hosted: type[Any], method: str) -> Any:  # noqa: ANN401 - a method of any hosted class
    def forward(self: Any, payload: bytes = b"") -> bytes:  # noqa: ANN401
        result: bytes = getattr(hosted, method)(self, payload)
        return result

    forward.__name__ = method
    return forward


def kill_host(name: str) -> None:
    """End a host for good, so that its name is free. The lease, not this, keeps a paused one from writing."""
    if not _cluster.is_here():
        return  # It ended with what hosted it, or never ran.
    try:
        ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
    except ValueError:
        return  # It is gone already.


class RayEndpoint:
    """The way to a hosted class by its name. Whatever fails is retryable: the name may have a new host next time."""

    def __init__(self, name: str, *, timeout_s: float = 10.0) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._handle: Any = None
        self._cluster_number = 0

    async def call(self, method: str, payload: bytes, *, timeout_s: float | None = None) -> bytes:
        _cluster.check()
        try:
            if self._handle is None or self._cluster_number != _cluster.number:
                self._handle = ray.get_actor(self._name, namespace=NAMESPACE)
                self._cluster_number = _cluster.number
            # Not wait_for: that of Python 3.11 keeps a cancellation to itself that comes together with the result.
            async with asyncio.timeout(self._timeout_s if timeout_s is None else timeout_s):
                future = asyncio.wrap_future(getattr(self._handle, method).remote(payload).future())
                result: bytes = await future
        except RayTaskError as error:
            self._handle = None
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, FencedError | RetryableError | RayError):
                raise RetryableError(f"{self._name}: {cause}") from error
            raise TerminalError(f"{self._name}.{method} failed: {cause}") from error
        except (RayError, TimeoutError, ValueError) as error:
            self._handle = None
            raise RetryableError(f"{self._name} does not answer: {type(error).__name__}") from error
        return result

    async def health(self, timeout_s: float) -> Health:
        """Ask how the host is. Raises `RetryableError` if it does not say within `timeout_s`."""
        try:
            return msgspec.msgpack.decode(await self.call("ping", b"", timeout_s=timeout_s), type=Health)
        except msgspec.DecodeError as error:
            raise RetryableError(f"{self._name} says something else than how it is: {error}") from error
