"""Writers that run in a process of their own: `python -m tests.actors.processes <name> <arguments>`.

A test talks to them by lines: they print `ready`, wait for a line, do their work and print what came of it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventsourcing.persistence import StoredEvent

from actors.log import log_at
from domain.errors import FencedError
from tests.worlds import new_log, new_shard, record

ROOT = Path(__file__).resolve().parents[2]


def append_batches(place: str, stream: str, batches: str, size: str) -> object:
    """Append batches to a stream; the positions of each."""
    recorder = log_at(place)
    ready()
    given = []
    for number in range(int(batches)):
        versions = range(number * int(size) + 1, (number + 1) * int(size) + 1)
        given.append(list(recorder.append([StoredEvent(stream, each, "topic", b"") for each in versions], leases={})))
    return given


def pause_before_append(directory: str) -> object:
    """Host a shard that stops itself, as if by SIGSTOP, between its decision and its append."""

    def at_point(point: str) -> None:
        if point == "before_append":
            os.kill(os.getpid(), signal.SIGSTOP)

    shard = new_shard(new_log(Path(directory)), at_point=at_point)
    ready()
    try:
        return [type(reply).__name__ for reply in shard.handle([record(1), record(2, "pi_untouched")])]
    except FencedError as error:
        return {"lease": error.lease, "held": error.held, "current": error.current}


def ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


@contextmanager
def running(work: Callable[..., object], *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that does `work` once it is told to; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.actors.processes", work.__name__, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def go(process: subprocess.Popen[str]) -> None:
    """Let the work begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def outcome(process: subprocess.Popen[str]) -> object:
    """What came of the work."""
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return json.loads(said)


if __name__ == "__main__":
    works = {work.__name__: work for work in (append_batches, pause_before_append)}
    sys.stdout.write(json.dumps(works[sys.argv[1]](*sys.argv[2:])))
