"""Every fault by its name: what it needs of this machine and its target, and who injects it.

A fault plans its undo in the journal before it strikes, and proves that it bit: what did not bite makes a trial void.
"""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from domain.errors import TerminalError
from simulations.chaos import (
    control_groups,
    faults_database,
    faults_network,
    faults_process,
    faults_resource,
    faults_storage,
    tunnel,
)
from simulations.chaos.injection import Injection, Place
from simulations.chaos.proxy import Proxy
from simulations.chaos.shim import compiler
from simulations.chaos.wire import Wire


def _no_proc() -> str:
    return "" if Path("/proc/self/stat").exists() else "processes are not shown under /proc here"


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """What can inject a fault. `missing` is why it cannot here, empty if it can."""

    name: str
    missing: Callable[[], str] = _no_proc


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault. `backends` are what can inject it, the strongest first: the first that is not missing here does."""

    inject: Callable[..., Awaitable[Injection]]
    backends: tuple[Backend, ...]
    is_over_at_once: bool = False

    @property
    def backend(self) -> str:
        """The name of what injects it here, empty if nothing can."""
        return next((each.name for each in self.backends if not each.missing()), "")

    def missing(self) -> str:
        """Why nothing can inject it here, empty if something does."""
        return "" if self.backend else "; ".join(each.missing() for each in self.backends)

    def weaker(self) -> str:
        """Why it is not the strongest that does, empty if it is."""
        return "" if not self.backend else self.backends[0].missing()


def _no_namespaces() -> str:
    return "" if shutil.which("unshare") and Path("/proc/self/ns/mnt").exists() else "unshare(1) is not here"


def _no_compiler() -> str:
    return "" if compiler() else "there is no C compiler for the shim"


# Packets are had on the way to a server that the target starts; clients go through the proxy everywhere.
_LINK = (
    Backend(name=f"{Wire.backend}; {Proxy.backend} for clients", missing=tunnel.missing),
    Backend(name=Proxy.backend),
)
_QUOTA = Backend(name=faults_resource.QUOTA, missing=partial(control_groups.missing, "cpu"))
_MEMORY = Backend(name=faults_resource.OUT_OF_MEMORY, missing=partial(control_groups.missing, "memory"))
_SMALL_DISK = Backend(name="tmpfs in a mount namespace", missing=_no_namespaces)
_SHIM = Backend(name="LD_PRELOAD shim", missing=_no_compiler)


def _by(name: str) -> tuple[Backend, ...]:
    return (Backend(name=name),)


FAULTS: Mapping[str, Fault] = {
    "kill": Fault(inject=faults_process.kill, backends=_by("SIGKILL"), is_over_at_once=True),
    "pause": Fault(inject=faults_process.pause, backends=_by("SIGSTOP")),
    "starve_cpu": Fault(inject=faults_resource.starve_cpu, backends=(_QUOTA, *_by(faults_resource.TURNS))),
    "exhaust_files": Fault(inject=faults_resource.exhaust_files, backends=_by("prlimit RLIMIT_NOFILE")),
    "exhaust_memory": Fault(
        inject=faults_resource.exhaust_memory, backends=(_MEMORY, *_by(faults_resource.ADDRESS_SPACE))
    ),
    "partition": Fault(inject=faults_network.partition, backends=_LINK),
    "slow_down": Fault(inject=faults_network.slow_down, backends=_LINK),
    "lose": Fault(inject=faults_network.lose, backends=_LINK),
    "kill_session": Fault(
        inject=faults_database.kill_session, backends=_by("SIGKILL of a session"), is_over_at_once=True
    ),
    "crash_database": Fault(inject=faults_database.crash_database, backends=_by("immediate shutdown")),
    "make_read_only": Fault(inject=faults_database.make_read_only, backends=_by("default_transaction_read_only")),
    "exhaust_connections": Fault(inject=faults_database.exhaust_connections, backends=_by("all of max_connections")),
    "fill_disk": Fault(inject=faults_storage.fill_disk, backends=(_SMALL_DISK,)),
    "fail_fsync": Fault(inject=faults_storage.fail_fsync, backends=(_SHIM,)),
    "skew_clock": Fault(inject=faults_storage.skew_clock, backends=(_SHIM,)),
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
