"""A stack of a test's own: `recount up` in a process of its own, on free ports, in a directory that the test gives."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Self

import httpx

from actors.log import place_of
from domain.codec import Envelope
from gateway.bootstrap import load_settings
from projections.feeds import feed_at
from simulations.disorder import stripe_headers
from tests.stack.processes import alive, descendants, name_of

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 45.0
DRAIN_TIMEOUT_S = 90.0
LOOK_EVERY_S = 0.02
OPERATOR_KEY = "key-of-the-operator"
# They write nothing of ours, and find out that their Ray is gone after a minute.
RAY_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")

Json = dict[str, Any]


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Wait until the condition gives something true, and return that; fails with `what` after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(LOOK_EVERY_S)
    return value


def api_key(tenant: str) -> str:
    return f"key-of-{tenant}"


def secret(tenant: str) -> str:
    return f"whsec_of_{tenant}"


class Stack:
    """One `recount up`.

    Args:
        directory: for the configuration, the log of the process and the node's data.
        tenants: who exists, each with an API key and a Stripe secret.
        more: further configuration, as TOML.
    """

    def __init__(self, directory: Path, tenants: Sequence[str] = ("acme", "globex"), *, more: str = "") -> None:
        self.data = directory / "var"
        self.log_file = directory / "stack.log"
        self.config = directory / "recount.toml"
        self.config.write_text(_configuration(tenants) + more)
        self._tenants = tenants
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, httpx.Client] = {}
        self._orphans: set[int] = set()
        self.url = ""
        self.nats_url = ""
        self.starts = 0

    @property
    def pid(self) -> int:
        """The gateway's own process: the node's main one."""
        assert self._process is not None, "the stack was not started"
        return self._process.pid

    def start(self) -> Self:
        """Start, and wait until it says that it is ready. A second start listens where the first one did."""
        self.begin()
        return self.await_ready()

    def begin(self) -> None:
        """Start, and wait for nothing."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        options: dict[str, str | Path] = {"--config": self.config, "--data": self.data, "--http": listen}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "simulations", "up", *chain.from_iterable(options.items())],
                stdout=subprocess.PIPE,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("RECOUNT_")},
            )

    def await_ready(self) -> Self:
        """Wait until it says that it is ready."""
        line = self._first_line()
        assert line.startswith("ready "), f"the stack did not start:\n{self.log_file.read_text()[-4000:]}"
        urls = dict(part.split("=", 1) for part in line.split()[1:])
        self.url, self.nats_url = urls["http"], urls["nats"]
        self.starts += 1
        return self

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
        return self._process.stdout.readline().decode() if ready else ""

    def stop(self) -> None:
        """End it as an operator does, and see that it ended well: status 0, none of its processes left, ports free."""
        assert self._process is not None
        below = descendants(self.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        finally:
            self.kill()
        assert status == 0, f"the stack ended with status {status}:\n{self.log_file.read_text()[-2000:]}"
        self._end_orphans()
        left = {pid: name_of(pid) for pid in below if alive(pid)}
        assert not left, f"processes of the stack are left: {left}"

    def kill(self) -> None:
        """End the main process at once, as a crash does, if it still runs; the others end with it."""
        assert self._process is not None
        if self._process.poll() is None:
            below = descendants(self.pid)
            self.note_orphans()
            self._process.kill()
            self._process.wait()
            ours = below - self._orphans
            until(lambda: not any(map(alive, ours)), "the processes below a killed gateway end with it")
        assert self._process.stdout is not None
        self._process.stdout.close()
        while self._clients:
            self._clients.popitem()[1].close()

    def note_orphans(self) -> None:
        """Before Ray, or a part of it, is killed: what outlives it ends with the stack."""
        self._orphans |= {pid for pid in descendants(self.pid) if name_of(pid).startswith(RAY_AGENTS)}

    def _end_orphans(self) -> None:
        while self._orphans:
            with suppress(ProcessLookupError):
                os.kill(self._orphans.pop(), signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.stop()
        else:
            self.kill()
            self._end_orphans()

    def client(self, tenant: str = "") -> httpx.Client:
        """A client with the tenant's credential, or without any."""
        if tenant not in self._clients:
            headers = {"Authorization": f"Bearer {api_key(tenant)}"} if tenant else {}
            self._clients[tenant] = httpx.Client(base_url=self.url, headers=headers, timeout=30)
        return self._clients[tenant]

    def get(self, path: str, tenant: str = "acme", **params: str | int) -> Json:
        """The JSON of a resource that is there."""
        response = self.client(tenant).get(path, params=params)
        assert response.status_code == httpx.codes.OK, f"{path}: {response.status_code} {response.text}"
        body: Json = response.json()
        return body

    def post(self, body: bytes, tenant: str = "acme", **headers: str) -> httpx.Response:
        """Send one signed webhook, once."""
        signed = stripe_headers(body, secret(tenant), datetime.now(UTC))
        return self.client().post(f"/v1/{tenant}/webhooks/stripe", content=body, headers={**signed, **headers})

    def lag(self) -> Json | None:
        """The lag, `None` while a part does not answer."""
        try:
            response = self.client(self._tenants[0]).get("/v1/lag")
        except httpx.TransportError:
            return None
        lag: Json = response.json()
        return lag if response.is_success else None

    def drained(self, timeout_s: float = DRAIN_TIMEOUT_S) -> Json:
        """Wait until all that was accepted is visible, and return the last lag."""

        def drained_lag() -> Json | None:
            lag = self.lag()
            is_drained = lag and lag["ingest_pending"] == 0 and set(lag["projected"].values()) == {lag["head"]}
            return lag if is_drained else None

        lag: Json = until(drained_lag, "everything that was accepted is visible", timeout_s)
        return lag

    def parts(self) -> dict[str, Json]:
        """The parts of the node as it says itself, ready or not; none while it does not answer."""
        try:
            parts: dict[str, Json] = self.client().get("/readyz").json()["parts"]
        except httpx.TransportError:
            return {}
        return parts

    def pid_of(self, host: str) -> int:
        """The process of a host, e.g. `payments-0` or `intake-0`; 0 while it does not answer."""
        words = str(self.parts().get(host, {}).get("detail", ""))
        return int(words.removeprefix("pid ")) if re.fullmatch(r"pid \d+", words) else 0

    def nats_pid(self) -> int:
        """The process of nats-server that was started last."""
        return int(self.logged("nats_started")[-1]["pid"])

    def logged(self, event: str) -> list[Json]:
        """The lines about an event in the log of the main process."""
        return [line for line in _lines(self.log_file) if line.get("event") == event]

    def hosts_logged(self, event: str) -> list[Json]:
        """The lines about an event in the logs of the hosts."""
        files = (self.data / "logs").iterdir()
        return [line for file in files for line in _lines(file) if line.get("event") == event]

    def payments(self, tenant: str = "acme") -> dict[str, Json]:
        """Every payment view of the tenant, by id."""
        found: dict[str, Json] = {}
        cursor: dict[str, str] = {}
        while True:
            page = self.get(f"/v1/{tenant}/payments", tenant, limit=200, **cursor)
            found |= {view["payment_id"]: view for view in page["payments"]}
            if page["cursor"] is None:
                return found
            cursor = {"cursor": page["cursor"]}

    def log(self, after: int = 0) -> list[tuple[int, str, Envelope]]:
        """The log from a position on, as it lies in its store: position, stream, envelope."""
        feed = feed_at(place_of(load_settings(self.config, environment={}).store.url, self.data))
        entries = feed.read(after, limit=1_000_000).entries
        feed.close()
        return [(entry.position, entry.stream, entry.envelope()) for entry in entries]


def _lines(file: Path) -> Iterator[Json]:
    # By line feeds alone: a path in a line may hold what `splitlines` takes for the end of one.
    for line in file.read_text().split("\n"):
        if line.startswith("{"):
            yield json.loads(line)


def _configuration(tenants: Sequence[str]) -> str:
    lines = ["[nats]", "port = 0", "[ask]", "wait_s = 2.0"]
    for tenant in tenants:
        lines += [
            f"[tenants.{tenant}]",
            f'api_keys = ["{api_key(tenant)}"]',
            f"[tenants.{tenant}.sources.stripe]",
            f'secrets = ["{secret(tenant)}"]',
        ]
    return "\n".join(lines) + "\n"
