"""The node that is made to suffer: `recount up` in a process of its own, kept alive as a service manager would."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from domain.errors import TerminalError
from gateway.nats_server import NatsServer
from simulations.chaos.experiment import TargetSpec
from simulations.chaos.links import HOST, Link
from simulations.chaos.merchant import SECRET, Merchant
from simulations.chaos.processes import descendants, process
from simulations.chaos.proxy import Proxy
from simulations.chaos.shim import Shim
from simulations.chaos.tunnel import missing as missing_tunnel
from simulations.chaos.undo import End, Remove, UndoJournal
from simulations.chaos.wire import Wire
from simulations.postgres_server import PostgresServer

TENANTS = ("acme", "globex")
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 45.0
RESTART_AFTER_S = 1.0
# Thirty days are six hours: an alert's short window is two and a half seconds.
TIME_SCALE = 120
STREAM_BYTES_MAX = 48 * 1024**2
OPERATOR_KEY = "operator-key-of-chaos"
_PID_RE = re.compile(r"pid (\d+)")
# Programs of Ray's by what their command lines say.
_OF_RAY = {"raylet": "raylet/raylet", "gcs": "gcs/gcs_server"}


def api_key(tenant: str) -> str:
    return f"key-of-{tenant}"


def secret(tenant: str) -> str:
    return f"whsec_of_{tenant}"


class Target:
    """One node with what belongs to it.

    Args:
        spec: what it is like.
        directory: for everything that it writes.
        journal: what ends it if we do not.
    """

    def __init__(self, spec: TargetSpec, directory: Path, journal: UndoJournal) -> None:
        self.spec = spec
        self.data = directory / "var"
        self.log_file = directory / "node.log"
        self._config = directory / "recount.toml"
        self._directory = directory
        self._journal = journal
        self._planned: list[int] = []
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._port = 0
        self.database: PostgresServer | None = None
        self._bus: NatsServer | None = None
        self.links: dict[str, Link] = {}
        self.merchant = Merchant()
        self.shim = Shim(directory / "shim") if spec.is_shimmed else None
        self.url = ""
        self.restarts = 0

    async def start(self) -> None:
        """Start everything. Raises `TerminalError` with the node's last words if it does not."""
        self._planned.append(self._journal.plan(Remove(path=str(self._directory))))
        if self.shim is not None:
            await asyncio.to_thread(self.shim.build)
        await self.merchant.start()
        store = await self._start_store()
        nats = await self._start_bus()
        self._config.write_text(_configuration(store, nats, self.merchant.url))
        await self._spawn()
        client = await self._linked("client", self._port)
        self.url = f"http://{client}"
        self._keeping = asyncio.create_task(self._keep_alive())

    async def stop(self) -> None:
        """End everything in good order, and remove what it wrote."""
        self._is_stopping = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self.merchant.stop()
        if self._bus is not None:
            await self._bus.stop()
        if self.database is not None:
            await asyncio.to_thread(self.database.__exit__)
        for link in self.links.values():
            await link.stop()
        # Whatever did not end in good order ends now: what was planned for the case that we die is done.
        for number in reversed(self._planned):
            await asyncio.to_thread(self._journal.apply, number)

    def pid_of(self, part: str) -> int:
        """The process of `gateway`, `bus`, `database`, `raylet`, `gcs` or a host; 0 while there is none."""
        match part:
            case "gateway":
                return self._gateway_pid
            case "database":
                return self.database.pid if self.database is not None else 0
            case "bus" if self._bus is not None:
                return self._bus.pid
            case "bus":
                return next((each.pid for each in descendants(self._gateway_pid) if "nats-server" in each.command), 0)
            case _ if part in _OF_RAY:
                return next((each.pid for each in descendants(self._gateway_pid) if _OF_RAY[part] in each.command), 0)
            case _:
                found = _PID_RE.fullmatch(str(self.parts().get(part, {}).get("detail", "")))
                return int(found[1]) if found else 0

    def parts(self) -> dict[str, Any]:
        """The parts of the node as it says itself, ready or not; none while it does not answer."""
        try:
            parts: dict[str, Any] = httpx.get(f"http://{HOST}:{self._port}/readyz", timeout=2).json()["parts"]
        except (httpx.HTTPError, ValueError, KeyError):
            return {}
        return parts

    @property
    def direct_url(self) -> str:
        """Where the node answers, past the proxy."""
        return f"http://{HOST}:{self._port}"

    @property
    def store(self) -> str:
        """Where its log is, for whoever reads it beside the node."""
        return self.database.address() if self.database is not None else str(self.data / "log.sqlite")

    def logged(self, after_byte: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The whole lines of the gateway's log from a place on, and where to read on."""
        with self.log_file.open("rb") as file:
            file.seek(after_byte)
            said = file.read()
        whole = said[: said.rfind(b"\n") + 1]
        lines = []
        for line in whole.split(b"\n"):
            if line.startswith(b"{"):
                with suppress(msgspec.DecodeError):
                    lines.append(msgspec.json.decode(line))
        return lines, after_byte + len(whole)

    @property
    def _gateway_pid(self) -> int:
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def _start_store(self) -> str:
        if self.spec.store == "sqlite":
            return "sqlite"
        wire = await self._wire("database")
        server = PostgresServer() if wire is None else PostgresServer(host=wire.host, entering=wire.entering)
        self.database = await asyncio.to_thread(server.__enter__)
        self.plan_end(self.database.pid)
        self._planned.append(self._journal.plan(Remove(path=str(self.database.small_disk.parent))))
        place = await self._linked("database", self.database.port)
        return urlsplit(self.database.address())._replace(netloc=f"{self.database.user}@{place}").geturl()

    async def _start_bus(self) -> str:
        if "bus" not in self.spec.links:
            return "embedded"
        wire = await self._wire("bus")
        start = partial(NatsServer, self._directory / "nats", port=0, on_event=lambda event, fields: None)
        self._bus = start() if wire is None else start(host=wire.host, entering=wire.entering)
        await self._bus.start()
        self.plan_end(self._bus.pid)
        return f"nats://{await self._linked('bus', int(self._bus.url.rpartition(':')[2]))}"

    async def _wire(self, link: str) -> Wire | None:
        """What leads to a server that is yet to be started, where packets can be had."""
        if link not in self.spec.links or await asyncio.to_thread(missing_tunnel) != "":
            return None
        wire = Wire()
        try:
            await wire.start()
        except OSError as error:
            raise TerminalError(f"there is no wire for the {link}: {error.strerror or error}") from error
        self.links[link] = wire
        return wire

    async def _linked(self, name: str, port: int) -> str:
        """Where a link to a port begins: at a wire's end or a proxy's, if it is to be made to suffer."""
        if name not in self.spec.links:
            return f"{HOST}:{port}"
        link = self.links.get(name)
        if link is None:
            link = self.links[name] = Proxy(port)
            await link.start()
        else:
            link.port = port
        return f"{link.host}:{link.port}"

    async def _spawn(self) -> None:
        """Start the node's process and wait until it is ready."""
        command = [sys.executable, "-m", "simulations", "up", "--config", str(self._config), "--data", str(self.data)]
        command += ["--http", f"{HOST}:{self._port}"]
        if self.spec.volume:
            volume = self.data / self.spec.volume
            volume.mkdir(parents=True, exist_ok=True)
            command = on_small_volume(volume, self.spec.volume_bytes, command)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RECOUNT_")}
        if self.shim is not None:
            environment |= self.shim.environment
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        self.plan_end(self._process.pid)
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = (await self._process.stdout.readline()).decode()
        except TimeoutError:
            line = ""
        if not line.startswith("ready "):
            said = await asyncio.to_thread(self.log_file.read_text, errors="replace")
            raise TerminalError(f"the node did not start:\n{said[-2000:]}")
        self._port = int(dict(part.split("=", 1) for part in line.split()[1:])["http"].rpartition(":")[2])

    def plan_end(self, pid: int) -> None:
        """Have the process ended with us."""
        found = process(pid)
        assert found is not None, f"{pid} was started a moment ago"
        self._planned.append(self._journal.plan(End(pid=pid, started=found.started)))

    async def _keep_alive(self) -> None:
        while True:
            assert self._process is not None
            await self._process.wait()
            await asyncio.sleep(RESTART_AFTER_S)
            self.restarts += 1
            try:
                await self._spawn()
            except TerminalError:
                continue  # As a service manager: again, until whoever waits for the node gives up.


def on_small_volume(directory: Path, size_bytes: int, command: list[str]) -> list[str]:
    """The command with a small file system in memory on a directory, that it and what it starts alone can see.

    Whoever may make user namespaces may mount in them, as their root.
    """
    mount = 'mount -t tmpfs -o "size=$0" tmpfs "$1" && shift && exec "$@"'
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "sh", "-c", mount, str(size_bytes), str(directory), *command]


def _configuration(store: str, nats: str, merchant: str) -> str:
    lines = [
        *("[telemetry]", 'log_level = "info"', "[ask]", "wait_s = 2.0"),
        *("[nats]", f'url = "{nats}"', "port = 0", f"stream_bytes_max = {STREAM_BYTES_MAX}"),
        *("[store]", f'url = "{store}"'),
        *("[slo]", f"time_scale = {TIME_SCALE}"),
        *("[remediation]", f'operator_keys = ["{OPERATOR_KEY}"]', "cool_down_s = 5", "runs_max = 10"),
    ]
    for tenant in TENANTS:
        lines += [
            f"[tenants.{tenant}]",
            f'api_keys = ["{api_key(tenant)}"]',
            'corrections = "notify"',
            f"[tenants.{tenant}.notify]",
            f'url = "{merchant}{tenant}"',
            f'secrets = ["{SECRET}"]',
            f"[tenants.{tenant}.sources.stripe]",
            f'secrets = ["{secret(tenant)}"]',
        ]
    return "\n".join(lines) + "\n"
