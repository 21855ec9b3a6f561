"""Processes of this machine, by pid and the moment of their start: a pid alone may be another's by now."""

import os
from collections import defaultdict
from pathlib import Path

import msgspec

_PROC = Path("/proc")
# Fields of /proc/<pid>/stat behind the name, which may hold anything (proc(5)): state, parent, ..., start time.
_STATE, _PARENT, _UTIME, _STIME, _STARTED = 0, 1, 11, 12, 19


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process. `started` is in clock ticks since the machine was booted."""

    pid: int
    parent: int
    state: str
    started: int
    command: str

    @property
    def is_running(self) -> bool:
        """Whether it has not ended; one that waits for its parent to notice has."""
        return self.state not in {"Z", "X"}

    @property
    def is_stopped(self) -> bool:
        return self.state in {"T", "t"}


def process(pid: int) -> Process | None:
    """The process of that pid, `None` if there is none."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    return Process(
        pid=pid, parent=int(fields[_PARENT]), state=fields[_STATE], started=int(fields[_STARTED]), command=command
    )


def is_same(pid: int, started: int) -> bool:
    """Whether the process that started then still runs."""
    found = process(pid)
    return found is not None and found.started == started and found.is_running


def available_bytes() -> int:
    """How much memory the machine has for whoever asks (proc(5), MemAvailable)."""
    lines = (_PROC / "meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def cpu_s(pid: int) -> float:
    """How much processor time it has used, 0 if it is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int) -> int:
    """The size of its address space, which RLIMIT_AS limits; 0 if it is gone."""
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return 0


def open_files(pid: int) -> set[int]:
    """The numbers of its open files. Raises `OSError` if it is gone or another user's."""
    return {int(each.name) for each in (_PROC / str(pid) / "fd").iterdir()}


def descendants(pid: int) -> list[Process]:
    """The children of a process, and theirs, those that run."""
    children: defaultdict[int, list[Process]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (found := process(int(entry.name))) is not None and found.is_running:
            children[found.parent].append(found)
    found_below: list[Process] = []
    waiting = [pid]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found_below += below
        waiting += [each.pid for each in below]
    return found_below
