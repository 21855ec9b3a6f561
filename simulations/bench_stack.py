"""A stack of its own for a benchmark: `recount up` in a process group, so that it and the load do not share a loop."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from domain.errors import TerminalError

TENANT = "bench"
API_KEY = "bench-key-of-bench"
SECRET = "whsec_bench"  # noqa: S105 - of a tenant that lives as long as the benchmark
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60

_CONFIG = f"""
[http]
listen = "127.0.0.1:0"
[nats]
port = 0
[telemetry]
log_level = "warning"
[tenants.{TENANT}]
api_keys = ["{API_KEY}"]
[tenants.{TENANT}.sources.stripe]
secrets = ["{SECRET}"]
"""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stack answers, in parts."""

    host: str
    port: int

    @property
    def netloc(self) -> str:
        return f"{self.host}:{self.port}"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stack answers and writes."""

    http_url: str
    nats_url: str
    data: Path
    pid: int

    @property
    def address(self) -> Address:
        """Of `http_url`."""
        at = urlsplit(self.http_url)
        assert at.hostname is not None, f"{self.http_url} names no host"
        assert at.port is not None, f"{self.http_url} names no port"
        return Address(host=at.hostname, port=at.port)


@asynccontextmanager
async def stack(*, more: str = "", prepare: Callable[[Path], None] = lambda data: None) -> AsyncIterator[Running]:
    """A fresh stack on free ports, gone with its data at the end. Raises `TerminalError` if it does not start.

    Args:
        more: further configuration, as TOML.
        prepare: puts data into the node's directory before the start.
    """
    with tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        config = Path(directory) / "recount.toml"
        config.write_text(_CONFIG + more)
        await asyncio.to_thread(prepare, Path(directory) / "var")
        log = (Path(directory) / "stack.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "simulations",
            "up",
            "--config",
            str(config),
            "--data",
            str(Path(directory) / "var"),
            stdout=subprocess.PIPE,
            stderr=log,
            env={name: value for name, value in os.environ.items() if not name.startswith("RECOUNT_")},
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_TIMEOUT_S):
                line = (await process.stdout.readline()).decode()
            if not line.startswith("ready "):
                said = await asyncio.to_thread(Path(log.name).read_text)
                raise TerminalError(f"the stack did not start:\n{said[-2000:]}")
            urls = dict(part.split("=", 1) for part in line.split()[1:])
            yield Running(http_url=urls["http"], nats_url=urls["nats"], data=Path(directory) / "var", pid=process.pid)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            log.close()
