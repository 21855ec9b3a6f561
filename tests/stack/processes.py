"""Processes as the operating system knows them."""

import subprocess
from collections import defaultdict
from typing import NamedTuple


class Process(NamedTuple):
    parent: int
    state: str
    name: str


def processes() -> dict[int, Process]:
    """Every process of this machine, by pid."""
    listed = subprocess.run(["ps", "-Awwo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True)
    found = {}
    for line in listed.stdout.splitlines():
        pid, parent, state, *words = line.split(maxsplit=3)
        found[int(pid)] = Process(int(parent), state, " ".join(words))
    return found


def descendants(pid: int) -> set[int]:
    """The children of a process, and theirs."""
    children = defaultdict(set)
    for child, process in processes().items():
        children[process.parent].add(child)
    found: set[int] = set()
    waiting = {pid}
    while waiting:
        waiting = set().union(*(children[each] for each in waiting)) - found
        found |= waiting
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    process = processes().get(pid)
    return process is not None and not process.state.startswith("Z")


def name_of(pid: int) -> str:
    process = processes().get(pid)
    return process.name if process else "gone"
