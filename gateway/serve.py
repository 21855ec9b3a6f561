"""`recount up`: the node and its HTTP server until SIGTERM or SIGINT."""

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvicorn

from actors.remote import lost_parts, ray_beside
from actors.telemetry import configure_logging, configure_tracing
from domain.errors import TerminalError
from domain.settings import NodeSettings
from domain.slo import SloAlert
from gateway.canary import with_canary
from gateway.data_directory import claim
from gateway.listening import bind
from gateway.prober import probing

if TYPE_CHECKING:
    from litestar.types import ASGIApp

    from gateway.node import Node

DRAIN_S = 10
LOOK_EVERY_S = 1.0
RAY_AGAIN_S = 120

log = structlog.get_logger("serve")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the node decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(
    settings: NodeSettings,
    *,
    bound: socket.socket | None = None,
    on_progress: Callable[[str], None] = lambda words: None,
    on_alert: Callable[[SloAlert], None] = lambda alert: None,
) -> AsyncIterator[tuple["Node", str]]:
    """A running node and the URL of its gateway; everything has ended when the block is left.

    Whoever wants to hear of alerts on objectives beside the node's own remediation gives `on_alert`; `bound` is the
    socket for HTTP, where there is one already.
    """
    bound = bound or bind(settings.http.listen)
    configure_logging(settings.telemetry.log_level, host="gateway")
    configure_tracing(settings.telemetry.otlp_endpoint, service="gateway")
    settings = with_canary(settings, new_secret=secrets.token_hex)
    # Claimed before anything is started that a node on another's directory would have to end again.
    with bound, claim(Path(settings.data)):
        on_progress("ray")
        async with ray_beside(settings.ray.address) as ray:
            from gateway.app import make_app  # noqa: PLC0415 - a second of imports, in which Ray starts
            from gateway.node import Node  # noqa: PLC0415 - as above

            node = Node(settings, on_progress=on_progress, on_alert=on_alert, is_claimed=True)
            await node.start()
            try:
                on_progress("gateway")
                async with _serving(make_app(node), bound):
                    # Webhooks are taken from here on: what the hosts make of them comes later anyway.
                    await ray
                    await node.start_hosts()
                    url = _url_of(bound)
                    async with probing(settings, url):
                        yield node, url
            finally:
                await node.stop()


@asynccontextmanager
async def _serving(app: "ASGIApp", bound: socket.socket) -> AsyncIterator[None]:
    """The HTTP server, from when it answers until it has answered everything that it took."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=DRAIN_S,
        server_header=False,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([bound]))
    await _started(server, serving)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _url_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _started(server: uvicorn.Server, serving: "asyncio.Task[None]") -> None:
    while not server.started:
        if serving.done():
            await serving
            raise TerminalError("the HTTP server ended while it was starting; see the log")
        await asyncio.sleep(0.01)


async def serve(
    settings: NodeSettings,
    bound: socket.socket,
    *,
    on_ready: Callable[[str, str], None],
    on_progress: Callable[[str], None],
) -> None:
    """Run until SIGTERM or SIGINT. What is lost of Ray itself is started again; a node that cannot ends.

    `on_ready` gets the URLs of HTTP and NATS once everything answers.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with running(settings, bound=bound, on_progress=on_progress) as (node, url):
        for listener in node.listeners:
            await listener.wait_for((), 0, DRAIN_S)
        on_ready(url, node.nats_url)
        while not stopping.is_set():
            if lost := lost_parts():
                await _start_ray_again(node, lost)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stopping.wait()


async def _start_ray_again(node: "Node", lost: list[str]) -> None:
    """Webhooks are taken and what is cached is answered meanwhile: the hosts alone went with Ray.

    If it does not start, the process ends at once, without asking the hosts to: whoever keeps services alive starts it
    anew. What was accepted is durable, and on Linux everything that the node started ends with it.
    """
    log.error("ray_lost", parts=lost)
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(RAY_AGAIN_S):
            await node.start_ray_again()
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing is hosted here any more
        log.error("ray_gone", reason=f"{type(error).__name__}: {error}")  # noqa: TRY400 - a reason, not a trace
        os._exit(1)
    log.warning("ray_started_again", seconds=round(time.monotonic() - started_s, 1))
