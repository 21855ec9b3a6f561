"""The simulated provider as a real HTTP server that sends its webhooks."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import httpx
import uvicorn

from domain.errors import TerminalError
from simulations.provider import Provider
from simulations.provider_http import ProviderApp
from simulations.provider_scenario import Scenario


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: whoever runs it decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(
    provider: Provider, listen: str = "127.0.0.1:0", *, sends_webhooks: bool = True
) -> AsyncIterator[str]:
    """The provider on HOST:PORT (0 takes a free one), sending its webhooks; the URL. All has ended with the block.

    Without `sends_webhooks` they stay due, for whoever takes them from there.

    Raises `TerminalError` if the address cannot be had.
    """
    bound = _bind(listen)
    app = ProviderApp(provider)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    # The socket listens already, so that a call made before the server is ready waits for it.
    serving = asyncio.create_task(server.serve([bound]))
    sending = asyncio.create_task(_send(provider, app.changed)) if sends_webhooks else None
    host, port = bound.getsockname()[:2]
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        if sending is not None:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        server.should_exit = True
        await serving
        bound.close()


async def serve(scenario: Scenario, listen: str, *, on_ready: Callable[[str], None]) -> None:
    """Run a provider until SIGTERM or SIGINT; `on_ready` gets its URL. Raises `TerminalError`."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with running(Provider(scenario), listen) as url:
        on_ready(url)
        await stopping.wait()


async def _send(provider: Provider, changed: asyncio.Event) -> None:
    """Send what is due, whenever something has become due."""
    async with httpx.AsyncClient() as client:
        while True:
            changed.clear()
            provider.clock.catch_up()
            await provider.webhooks.send_due(client)
            # A clock that stands still brings nothing due by itself.
            wait_s = None if provider.scenario.is_frozen else provider.clock.next_s()
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), wait_s)


def _bind(listen: str) -> socket.socket:
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or not host:
        raise TerminalError(f"--http {listen!r}: write HOST:PORT, e.g. 127.0.0.1:8090")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TerminalError(f"--http {listen!r}: {reason}; name another, or port 0 for a free one") from error
