"""The spool: webhooks that the stream does not take now lie on this node's disk, and go to the stream when it does.

A provider that is refused sends again when it likes, and with growing pauses: Adyen after two minutes, and Zalo after
an hour for the last time. Ten seconds without a stream were minutes without news. What lies here is accepted: it is
durable, and gets into the stream at least once. What goes there twice changes nothing.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec
import structlog

from actors.tasks import is_to_end
from domain.errors import RetryableError, TerminalError
from gateway.bus import STREAM, Outgoing

# A stream on the same disk takes a message within a tenth of this while it is busy.
STREAM_WAIT_S = 0.5
AGAIN_S = 0.5
BATCH_MAX = 200

T = TypeVar("T")

log = structlog.get_logger("spool")
_headers = msgspec.json.Decoder(dict[str, str])


class _Spooled(NamedTuple):
    """A message that lies here."""

    number: int
    size_bytes: int
    message: Outgoing


class Stream(Protocol):
    """Where messages go."""

    def check_size(self, message: Outgoing) -> None:
        """Raises `TerminalError` for a message that is larger than is ever taken."""

    async def publish(self, message: Outgoing) -> int:
        """Returns the message's sequence once it is durable; raises `RetryableError` if it is not taken now."""
        ...


class Spool:
    """Accepts messages for the stream, whether or not it takes them now. For one event loop.

    Args:
        path: the SQLite file; what a former process left in it is given to the stream first.
        stream: where messages go.
        bytes_max: how much may lie here. 0: nothing; what the stream does not take is refused.
    """

    def __init__(self, path: Path, stream: Stream, *, bytes_max: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = stream
        self._bytes_max = bytes_max
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # Whole bodies of payments: what was given to the stream is overwritten here.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS spooled (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " subject TEXT NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL)"
        )
        [(self.messages, self.bytes)] = self._connection.execute(
            "SELECT count(*), coalesce(sum(length(headers) + length(body)), 0) FROM spooled"
        )
        # One after the other, also after whoever waits for it was cancelled.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._waiting: deque[tuple[Outgoing, asyncio.Future[int]]] = deque()
        self._flush: asyncio.Task[None] | None = None
        self._filled = asyncio.Event()
        # Those that a stream with other limits will never take: they stay here, and are told of once.
        self._stuck: set[int] = set()
        if self.messages:
            self._filled.set()

    async def accept(self, message: Outgoing) -> str:
        """Returns where the message lies once it is durable: `INGEST:<sequence>` or `SPOOL:<number>`.

        Raises `RetryableError` if neither takes it, `TerminalError` if it is larger than the stream ever takes.
        """
        self._stream.check_size(message)
        if self._bytes_max == 0:
            return f"{STREAM}:{await self._stream.publish(message)}"
        if not self.messages:
            try:
                async with asyncio.timeout(STREAM_WAIT_S):
                    return f"{STREAM}:{await self._stream.publish(message)}"
            except RetryableError as error:
                reason = error.reason
            except TimeoutError:
                reason = f"no answer within {STREAM_WAIT_S:g} s"
            if not self.messages:
                log.warning("spool_began", reason=reason)
        return f"SPOOL:{await self.put(message)}"

    async def put(self, message: Outgoing) -> int:
        """Keep a message until the stream takes it; returns its number once it is durable here.

        Raises `RetryableError` if there is no room.
        """
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, done))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._write_all())
        return await done

    async def run(self) -> None:
        """Give what lies here to the stream as soon as it takes it, for ever."""
        behind = given = 0
        while not is_to_end():
            await self._filled.wait()
            batch = await self._read(behind)
            if not batch:
                behind = 0
                if self.messages:
                    await asyncio.sleep(AGAIN_S)  # Only what the stream will never take is left.
                    continue
                self._filled.clear()
                log.info("spool_emptied", messages=given)
                given = 0
                continue
            taken, is_refused = await self._give(batch)
            given += taken
            behind = 0 if is_refused else batch[-1].number
            if is_refused:
                await asyncio.sleep(AGAIN_S)

    async def close(self) -> None:
        """What still lies here is given to the stream after the next start."""
        await self._on_disk(self._connection.close)
        self._disk.shutdown()

    async def _write_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
            try:
                numbers = await self._insert([message for message, _ in batch])
            except (RetryableError, sqlite3.Error) as error:
                refused = error if isinstance(error, RetryableError) else RetryableError(f"the spool: {error}")
                for _, done in batch:
                    if not done.done():
                        done.set_exception(refused)
                continue
            for (_, done), number in zip(batch, numbers, strict=True):
                if not done.done():
                    done.set_result(number)

    async def _insert(self, messages: Sequence[Outgoing]) -> list[int]:
        rows = [(each.subject, msgspec.json.encode(each.headers), each.body) for each in messages]
        size = sum(len(headers) + len(body) for _, headers, body in rows)
        if self.bytes + size > self._bytes_max:
            raise RetryableError(f"the stream takes nothing, and the spool holds {self.bytes} bytes already")

        def insert() -> int:
            with _transaction(self._connection):
                self._connection.executemany("INSERT INTO spooled (subject, headers, body) VALUES (?,?,?)", rows)
                [(last,)] = self._connection.execute("SELECT max(number) FROM spooled")
            return int(last)

        last = await self._on_disk(insert)
        self.messages += len(rows)
        self.bytes += size
        self._filled.set()
        return list(range(last - len(rows) + 1, last + 1))

    async def _read(self, behind: int) -> list[_Spooled]:
        """The next messages behind a number."""

        def select() -> list[tuple[int, str, bytes, bytes]]:
            return self._connection.execute(
                "SELECT number, subject, headers, body FROM spooled WHERE number > ? ORDER BY number LIMIT ?",
                (behind, BATCH_MAX),
            ).fetchall()

        rows = await self._on_disk(select)
        return [
            _Spooled(number, len(kept) + len(body), Outgoing(subject, body, _headers.decode(kept)))
            for number, subject, kept, body in rows
        ]

    async def _give(self, batch: Sequence[_Spooled]) -> tuple[int, bool]:
        """Give messages to the stream and forget those that it took: how many, and whether it refused any for now."""
        outcomes = await asyncio.gather(*(self._stream.publish(each.message) for each in batch), return_exceptions=True)
        taken = [each for each, outcome in zip(batch, outcomes, strict=True) if isinstance(outcome, int)]
        for each, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, TerminalError) and each.number not in self._stuck:
                self._stuck.add(each.number)
                log.error("spool_stuck", number=each.number, reason=outcome.reason)
            elif isinstance(outcome, BaseException) and not isinstance(outcome, RetryableError | TerminalError):
                raise outcome
        if taken:
            await self._forget(taken)
        return len(taken), any(isinstance(each, RetryableError) for each in outcomes)

    async def _forget(self, taken: Sequence[_Spooled]) -> None:
        def delete() -> None:
            with _transaction(self._connection):
                self._connection.executemany("DELETE FROM spooled WHERE number = ?", [(each.number,) for each in taken])
            if not self._connection.execute("SELECT EXISTS (SELECT 1 FROM spooled)").fetchone()[0]:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        await self._on_disk(delete)
        self.messages -= len(taken)
        self.bytes -= sum(each.size_bytes for each in taken)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
