"""What a log takes in: group commits on SQLite and PostgreSQL, with the library's own recorders as peers in one run."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import msgspec
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from actors.log import log_at
from actors.postgres_recorder import LogDatastore, PostgresLogRecorder
from actors.recorder import LogRecorder
from domain.sharding import BUCKET_COUNT
from simulations.postgres_server import PostgresServer

SIZES = (1, 100, 500)
STATE = bytes(300)
TARGET_EVENTS_PER_S = 10_000

Insert = Callable[[Sequence[StoredEvent]], object]


class Commits(msgspec.Struct, frozen=True, kw_only=True):
    """Group commits of one size: events per second of ours and of the library's recorder, and ours in its terms."""

    size: int
    events_per_s: float
    library_events_per_s: float
    ratio: float


class StoreFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures by store, and how many small writes a second the disk makes durable."""

    fsyncs_per_s: float
    stores: dict[str, list[Commits]]
    meets_target: bool


def bench_store(directory: Path, url: str, seconds: float, say: Callable[[str], None]) -> StoreFigures:
    """Append to both stores; PostgreSQL is the empty database at `url`, or a server of the run's own.

    Raises `TerminalError` if there is neither.
    """
    with ExitStack() as stack:
        address = url or stack.enter_context(PostgresServer()).address()
        stores = {}
        for name, place in (("sqlite", str(directory / "log.sqlite")), ("postgresql", address)):
            log = log_at(place)
            assert isinstance(log, LogRecorder | PostgresLogRecorder)
            stack.callback(log.datastore.close)
            peer = _library(directory, place, stack)
            stores[name] = [_commits(name, log, peer, size, seconds, say) for size in SIZES]
        fsyncs = _fsyncs_per_s(directory / "fsync", seconds)
    largest = [commits[-1].events_per_s for commits in stores.values()]
    return StoreFigures(fsyncs_per_s=fsyncs, stores=stores, meets_target=min(largest) >= TARGET_EVENTS_PER_S)


def _commits(
    name: str,
    log: LogRecorder | PostgresLogRecorder,
    peer: Insert,
    size: int,
    seconds: float,
    say: Callable[[str], None],
) -> Commits:
    leases = log.take_leases([f"bench/{bucket}" for bucket in range(min(size, BUCKET_COUNT))], "bench")
    ours = _events_per_s(lambda events: log.append(events, leases=leases), size, seconds)
    theirs = _events_per_s(peer, size, seconds)
    say(f"{name}: {ours:,.0f} events/s in commits of {size}; the library's recorder {theirs:,.0f}")
    return Commits(
        size=size, events_per_s=round(ours), library_events_per_s=round(theirs), ratio=round(ours / theirs, 2)
    )


def _library(directory: Path, place: str, stack: ExitStack) -> Insert:
    """The library's recorder on the same store: no leases, no check for gaps."""
    if place.startswith(str(directory)):
        file = SQLiteDatastore(str(directory / "library.sqlite"), originator_id_type="text")
        stack.callback(file.close)
        recorder: SQLiteApplicationRecorder | PostgresApplicationRecorder = SQLiteApplicationRecorder(file)
    else:
        server = LogDatastore(place)
        stack.callback(server.close)
        recorder = PostgresApplicationRecorder(server, events_table_name="library_events")
    recorder.create_table()
    return recorder.insert_events


def _events_per_s(append: Insert, size: int, seconds: float) -> float:
    """Append one event to each of `size` streams, again and again."""
    started_s = time.perf_counter()
    appended = 0
    for batch in _batches(size):
        append(batch)
        appended += size
        if (took_s := time.perf_counter() - started_s) >= seconds:
            return appended / took_s
    raise AssertionError("batches never end")


def _batches(size: int) -> Iterator[list[StoredEvent]]:
    for version in count(1):
        yield [
            StoredEvent(f"payment:bench/of_{size}_{number}", version, "bench.event", STATE) for number in range(size)
        ]


def _fsyncs_per_s(file: Path, seconds: float) -> float:
    done = 0
    with file.open("ab", buffering=0) as opened:
        started_s = time.perf_counter()
        while (took_s := time.perf_counter() - started_s) < seconds:
            opened.write(bytes(4_096))
            os.fsync(opened)
            done += 1
    return round(done / took_s)
