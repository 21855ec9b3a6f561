"""Control groups: what the kernel lets the processes of a group have of the processor's time and of memory.

Of both versions (https://docs.kernel.org/admin-guide/cgroup-v1/, https://docs.kernel.org/admin-guide/cgroup-v2.html): a
machine may have some controllers in one and some in the other. A group of ours lies beside the system's own, which stay
as they are. It takes root.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from errno import EBUSY
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

Controller = Literal["cpu", "memory"]

PERIOD_US = 100_000
# The least quota that the kernel takes.
QUOTA_US_MIN = 1_000
DISSOLVE_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.02
_PROCESSES = "cgroup.procs"


class Hierarchy(msgspec.Struct, frozen=True, kw_only=True):
    """Where groups of a controller are made, and how they are written."""

    controller: Controller
    version: Literal[1, 2]
    root: Path

    def of(self, pid: int) -> Path:
        """The group of a process. Raises `OSError` if there is no such process."""
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if self.controller in controllers.split(",") if self.version == 1 else number == "0":
                return self.root / path.lstrip("/")
        return self.root


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group of ours, which is there from `make` on."""

    hierarchy: Hierarchy
    directory: Path

    def make(self, limits: Mapping[str, str]) -> None:
        """Raises `OSError` where it may not be made, or a limit not be set."""
        self.directory.mkdir()
        for name, value in limits.items():
            (self.directory / name).write_text(value)

    def take(self, pid: int) -> None:
        """From now on the process belongs to it, with what it starts."""
        (self.directory / _PROCESSES).write_text(str(pid))

    @property
    def throttled(self) -> int:
        """How often it had used up its time and was made to wait."""
        return self._count("cpu.stat", "nr_throttled")

    @property
    def killed(self) -> int:
        """How many of its processes the kernel killed because it had no memory left for them."""
        return self._count("memory.oom_control" if self.hierarchy.version == 1 else "memory.events", "oom_kill")

    def _count(self, file: str, name: str) -> int:
        lines = (line.split() for line in (self.directory / file).read_text().splitlines())
        return next(int(value) for found, value in lines if found == name)


def cpu_limits(hierarchy: Hierarchy, share: float) -> dict[str, str]:
    """That share of one processor's time."""
    quota_us = max(QUOTA_US_MIN, round(share * PERIOD_US))
    if hierarchy.version == 1:
        return {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota_us)}
    return {"cpu.max": f"{quota_us} {PERIOD_US}"}


def memory_limits(hierarchy: Hierarchy, size_bytes: int) -> dict[str, str]:
    """So much, and not on a disk."""
    if hierarchy.version == 1:
        return {"memory.limit_in_bytes": str(size_bytes), "memory.swappiness": "0"}
    return {"memory.max": str(size_bytes), "memory.swap.max": "0"}


def new_group(hierarchy: Hierarchy) -> Group:
    """One with a name that no other has; nothing is done yet."""
    return Group(hierarchy=hierarchy, directory=hierarchy.root / f"recount-chaos-{os.getpid()}-{os.urandom(4).hex()}")


def dissolve(group: Path, home: Path) -> None:
    """Put its processes back where they came from, and remove it. Raises `OSError` if it cannot be removed."""
    deadline_s = time.monotonic() + DISSOLVE_TIMEOUT_S
    while group.is_dir():
        back = home if home.is_dir() else group.parent
        for pid in (group / _PROCESSES).read_text().split():
            with suppress(ProcessLookupError):
                (back / _PROCESSES).write_text(pid)
        try:
            group.rmdir()
        except OSError as error:
            # A process that has ended belongs to it until the kernel is done with it.
            if error.errno != EBUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(LOOK_EVERY_S)


def hierarchy(controller: Controller) -> Hierarchy | None:
    """Where this machine has a controller; `None` if it has not, or nobody may have groups of it."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        root = Path(mount.split()[4])
        if kind == "cgroup" and controller in options.split(","):
            return Hierarchy(controller=controller, version=1, root=root)
        if kind == "cgroup2" and controller in (root / "cgroup.subtree_control").read_text().split():
            return Hierarchy(controller=controller, version=2, root=root)
    return None


def missing(controller: Controller) -> str:
    """Why processes cannot be limited by it here, empty if they can: a group is made and given a limit."""
    return probed(controller)


@cache
def probed(controller: Controller) -> str:
    try:
        found = hierarchy(controller)
        if found is None:
            return f"no control group can have the controller {controller}"
        if not found.of(os.getpid()).is_dir():
            return f"our own control group of {controller} is not to be seen"
        group = new_group(found)
        try:
            group.make(cpu_limits(found, 1.0) if controller == "cpu" else memory_limits(found, 1024**2))
        finally:
            dissolve(group.directory, found.root)
    except OSError as error:
        return f"no control group of {controller} can be made: {error.strerror or error}"
    return ""
