"""`recount import`: the rows of an export to the stream, resumable, each durable before it is counted."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import msgspec
from nats.errors import Error as NatsError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from domain.errors import Rejection, RetryableError, TerminalError
from domain.ids import SOURCE_RE, is_tenant
from gateway.bus import Outgoing, Publisher, connect, ingest_subject
from gateway.importing_rows import ENCODINGS, Dialect, Place, Record, Records
from gateway.intake import CORRELATION_HEADER
from gateway.sources import Sources
from gateway.sources.csv_rows import UNDECIDED, RowMessage, Tabular
from gateway.sources.port import SourceModule, Unreadable

# As many rows are under way at once, and at most as many are sent again after a kill.
CHUNK_ROWS = 2_000
NAMED_BY_BYTES = 1_048_576
CONNECT_TIMEOUT_S = 10.0
_ID_CHARS = 16

_encode = msgspec.json.Encoder().encode


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """What is imported where, and how the file is written."""

    tenant: str
    source: str
    file: Path
    dialect: Dialect = Dialect()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. Rows that cannot be read are published too: the quarantine shows their lines."""

    rows: int
    published: int
    unreadable: int
    bytes: int
    took_s: float
    resumed_at_line: int = 0


class Checkpoint:
    """How far an import has come: a file that a finished import removes.

    It is named by the tenant, the source, how the file is read, its size and its first mebibyte, so that another file
    begins anew.
    """

    def __init__(self, folder: Path, job: Import) -> None:
        with job.file.open("rb") as file:
            digest = hashlib.sha256(file.read(NAMED_BY_BYTES))
        how = (job.tenant, job.source, job.dialect.encoding, job.dialect.delimiter, job.file.stat().st_size)
        digest.update(repr(how).encode())
        self.id = digest.hexdigest()[:_ID_CHARS]
        self._path = folder / f"{self.id}.json"

    def load(self) -> Place | None:
        """Where to go on, `None` at the beginning."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Place)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return None  # Half of a file: a crash of the machine. To begin anew costs time and changes nothing.

    def save(self, place: Place) -> None:
        """Everything before `place` is durable."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        beside.write_bytes(_encode(place))
        beside.replace(self._path)

    def done(self) -> None:
        self._path.unlink(missing_ok=True)


async def import_file(
    job: Import,
    *,
    url: str,
    sources: Sources,
    folder: Path,
    talk: Console,
    clock_s: Callable[[], float] = time.monotonic,
) -> Summary:
    """Publish every row of a file, going on where an earlier run was ended.

    Args:
        job: what, where to.
        url: of the NATS server.
        sources: by which it is told whether the file is what the source reads.
        folder: where it is kept how far the import has come.
        talk: for the progress, on a terminal.
        clock_s: for the summary.

    Raises:
        TerminalError: the file cannot be read, or is not what the source reads.
        RetryableError: the stream does not take messages; what was sent before is durable, and the next run goes on.
    """
    started_s = clock_s()
    source = _source(job, sources)
    try:
        checkpoint = Checkpoint(folder, job)
        with job.file.open("rb") as file:
            records = Records(file, job.dialect)
            columns, after_header = records.columns()
            resumed = checkpoint.load()
            with _Progress(talk, job) as progress:
                run = _Run(job, columns, _wanted(source, columns, job), checkpoint, progress)
                run.check(source, next(records.read(after_header), None))
                await run.publish(url, records, resumed or after_header)
    except OSError as error:
        raise TerminalError(f"{job.file}: {error.strerror or error}") from error
    checkpoint.done()
    return Summary(
        rows=run.rows,
        published=run.published,
        unreadable=run.unreadable,
        bytes=run.place.offset - (resumed or Place()).offset,
        took_s=round(clock_s() - started_s, 3),
        resumed_at_line=resumed.line if resumed else 0,
    )


def _source(job: Import, sources: Sources) -> SourceModule:
    if not is_tenant(job.tenant) or SOURCE_RE.fullmatch(job.source) is None:
        raise TerminalError(f"{job.tenant!r}, {job.source!r}: a tenant and a source are lower-case letters and digits")
    if job.dialect.encoding not in ENCODINGS:
        raise TerminalError(f"encoding {job.dialect.encoding!r}: one of {', '.join(ENCODINGS)}")
    if len(job.dialect.delimiter) != 1:
        raise TerminalError(f"delimiter {job.dialect.delimiter!r}: one character")
    source = sources.of(job.tenant, job.source)
    if isinstance(source, Unreadable):
        raise TerminalError(source.detail)
    if not isinstance(source, Tabular):
        raise TerminalError(f"source {job.source!r} reads no exports; docs/sources/csv.md has the kinds that do")
    return source


def _wanted(source: SourceModule, columns: Sequence[str], job: Import) -> Sequence[str]:
    assert isinstance(source, Tabular), "looked at before"
    try:
        return source.wanted(columns)
    except Rejection as refused:
        raise TerminalError(f"{job.file}: {refused.detail}") from refused


class _Run:
    """One import under way."""

    def __init__(
        self,
        job: Import,
        columns: Sequence[str],
        wanted: Sequence[str],
        checkpoint: Checkpoint,
        progress: "_Progress",
    ) -> None:
        self.rows = self.published = self.unreadable = 0
        self.place = Place()
        self._job = job
        self._fields = [(index, column) for index, column in enumerate(columns) if column in set(wanted)]
        self._checkpoint = checkpoint
        self._progress = progress
        self._subject = ingest_subject(job.tenant, job.source)

    def check(self, source: SourceModule, first: Record | None) -> None:
        """Raises `TerminalError` if the source's settings leave open how the first row, and so every one, is read."""
        if first is None:
            return
        reading = source.read(self._message(first).body, headers={}, ref="")
        if isinstance(reading, Unreadable) and reading.code == UNDECIDED:
            raise TerminalError(f"{self._job.file}: {reading.detail}")

    async def publish(self, url: str, records: Records, start: Place) -> None:
        """Send the rows from `start` on, in chunks; after each the checkpoint moves on."""
        self.place = start
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                client = await connect(url, name="import")
        except (NatsError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise RetryableError(
                f"no NATS server answers at {url}: {reason}; `recount up` starts one and prints its URL, for --nats"
            ) from error
        try:
            publisher = Publisher(client)
            rows = records.read(start)
            while chunk := list(islice(rows, CHUNK_ROWS)):
                await self._publish(publisher, chunk)
        finally:
            await client.close()

    async def _publish(self, publisher: Publisher, chunk: Sequence[Record]) -> None:
        sends = [publisher.publish(self._message(record)) for record in chunk]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, RetryableError):
                advice = f"run it again, it goes on at line {self.place.line}"
                raise RetryableError(f"{outcome.reason}; {advice}") from outcome
            if isinstance(outcome, BaseException):
                raise outcome
        self.rows += len(chunk)
        self.published += len(outcomes)
        self.unreadable += sum(bool(record.problem) for record in chunk)
        self.place = chunk[-1].after
        self._checkpoint.save(self.place)
        self._progress.show(self.place.offset, self.rows)

    def _message(self, record: Record) -> Outgoing:
        """A row as a message, with the columns that the source reads and no other: the rest may be personal data."""
        row = None if record.problem else {column: record.fields[index] for index, column in self._fields}
        line = record.place.line
        body = RowMessage(line=line, file=self._job.file.name, row=row, problem=record.problem)
        return Outgoing(self._subject, _encode(body), {CORRELATION_HEADER: f"import-{self._checkpoint.id}-{line}"})


class _Progress:
    """A bar on a terminal: bytes of the file, rows in a second."""

    def __init__(self, talk: Console, job: Import) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(),
            console=talk,
            disable=not talk.is_terminal,
        )
        self._size = job.file.stat().st_size
        self._started_s = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("importing", total=self._size, pace="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, offset: int, rows: int) -> None:
        pace = rows / max(time.monotonic() - self._started_s, 0.001)
        self._bar.update(self._task, completed=offset, pace=f"{pace:,.0f} rows/s")
