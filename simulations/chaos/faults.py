"""Every fault by its name: what it needs of this machine and its target, and who injects it.

A fault plans its undo in the journal before it strikes, and proves that it bit: what did not bite makes a trial void.
"""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from domain.errors import TerminalError
from simulations.chaos import faults_database, faults_network, faults_process, faults_storage
from simulations.chaos.injection import Injection, Place
from simulations.chaos.shim import compiler


def _no_proc() -> str:
    return "" if Path("/proc/self/stat").exists() else "processes are not shown under /proc here"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault. `backend` is what injects it here; `missing` is why nothing can, empty if something does."""

    inject: Callable[..., Awaitable[Injection]]
    backend: str
    is_over_at_once: bool = False
    missing: Callable[[], str] = _no_proc


def _no_namespaces() -> str:
    return "" if shutil.which("unshare") and Path("/proc/self/ns/mnt").exists() else "unshare(1) is not here"


def _no_compiler() -> str:
    return "" if compiler() else "there is no C compiler for the shim"


FAULTS: Mapping[str, Fault] = {
    "kill": Fault(inject=faults_process.kill, backend="SIGKILL", is_over_at_once=True),
    "pause": Fault(inject=faults_process.pause, backend="SIGSTOP"),
    "starve_cpu": Fault(inject=faults_process.starve_cpu, backend="SIGSTOP and SIGCONT in turn"),
    "exhaust_files": Fault(inject=faults_process.exhaust_files, backend="prlimit RLIMIT_NOFILE"),
    "exhaust_memory": Fault(inject=faults_process.exhaust_memory, backend="prlimit RLIMIT_AS"),
    "partition": Fault(inject=faults_network.partition, backend="TCP proxy"),
    "slow_down": Fault(inject=faults_network.slow_down, backend="TCP proxy"),
    "lose": Fault(inject=faults_network.lose, backend="TCP proxy"),
    "kill_session": Fault(inject=faults_database.kill_session, backend="SIGKILL of a session", is_over_at_once=True),
    "crash_database": Fault(inject=faults_database.crash_database, backend="immediate shutdown"),
    "make_read_only": Fault(inject=faults_database.make_read_only, backend="default_transaction_read_only"),
    "exhaust_connections": Fault(inject=faults_database.exhaust_connections, backend="all of max_connections"),
    "fill_disk": Fault(inject=faults_storage.fill_disk, backend="tmpfs in a mount namespace", missing=_no_namespaces),
    "fail_fsync": Fault(inject=faults_storage.fail_fsync, backend="LD_PRELOAD shim", missing=_no_compiler),
    "skew_clock": Fault(inject=faults_storage.skew_clock, backend="LD_PRELOAD shim", missing=_no_compiler),
}


def fault_named(name: str) -> Fault:
    """Raises `TerminalError` for a name that is none."""
    found = FAULTS.get(name)
    if found is None:
        raise TerminalError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    return found


async def inject(name: str, place: Place, arguments: Mapping[str, Any]) -> Injection:
    """Inject a fault. Raises `TerminalError` where it cannot be, in words."""
    fault = fault_named(name)
    if missing := fault.missing():
        raise TerminalError(f"{name}: {missing}")
    try:
        return await fault.inject(place, **arguments)
    except TypeError as error:
        raise TerminalError(f"{name}: {error}") from error
    except OSError as error:
        raise TerminalError(f"{name}: {error.strerror or error}") from error


def who() -> str:
    """As whom faults are injected: what an unprivileged user cannot do is named in the report."""
    return "root" if os.geteuid() == 0 else "an unprivileged user"
