"""The parts of a node in one process: a log in a file, a clock that ticks, shards, and short ways to write commands."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from actors.journal import Journal
from actors.log import Log
from actors.payment_shard import KINDS, ROLE
from actors.recorder import LogRecorder, open_log
from actors.shard import Kind, Shard
from domain.codec import AnyCommand, AnyEvent, Envelope, Submission, decode_submissions, encode_envelope, encode_replies
from domain.document import Document, DocumentDecider
from domain.errors import FencedError, RetryableError
from domain.fact import Fact
from domain.ids import stream_id
from domain.message import Reply, Trace
from domain.payment_saga import FactRecorded, LinkPayment, PaymentLinked, RecordFact
from domain.settings import ShardSettings
from domain.sharding import BUCKET_COUNT
from projections.feed import LogEntry
from tests.domain.examples import PAYMENT, fact
from tests.spec import NOON
from tests.stores import Recorder

TENANT = "acme"
KINDS_WITH_DOCUMENTS = {**KINDS, "document": Kind(decider=DocumentDecider(), state=Document)}


class Clock:
    """A wall clock that moves on by a millisecond whenever it is read."""

    def __init__(self, at: datetime = NOON) -> None:
        self._at = at

    def __call__(self) -> datetime:
        self._at += timedelta(milliseconds=1)
        return self._at

    def forward(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


def ids(prefix: str = "commit") -> Callable[[], str]:
    """Makes `commit-1`, `commit-2` ..."""
    made = 0

    def new_id() -> str:
        nonlocal made
        made += 1
        return f"{prefix}-{made}"

    return new_id


def new_log(directory: Path) -> LogRecorder:
    """The log of a directory."""
    return open_log(str(directory / "log.sqlite"))


def new_shard(recorder: Log, *, owner: str = "first", **options: Any) -> Shard:
    """A shard of payments (and documents) that hosts every bucket unless `options` say otherwise."""
    given: dict[str, Any] = {"role": ROLE, "buckets": range(BUCKET_COUNT), "clock": Clock(), "new_id": ids(owner)}
    kinds = options.pop("kinds", KINDS_WITH_DOCUMENTS)
    return Shard(Journal(recorder), kinds, owner=owner, **{**given, **options})


def small(aggregates_max: int = 20_000, snapshot_every: int = 100) -> ShardSettings:
    """A shard's settings, smaller than a node may have them."""
    return ShardSettings(aggregates_max=aggregates_max, snapshot_every=snapshot_every)


def of_payment(key: str, command: AnyCommand) -> Submission:
    """A command for a payment's stream."""
    return Submission(stream=stream_id("payment", TENANT, key), command=command, trace=Trace(correlation_id="c-1"))


def record(number: int = 1, key: str = PAYMENT, **fields: Any) -> Submission:
    """The command to record fact `evt_<number>` of a payment: its charge `ch_<number>` was captured."""
    return of_payment(key, RecordFact(fact=numbered(number, key, **fields)))


def numbered(number: int, key: str = PAYMENT, **fields: Any) -> Fact:
    """The fact that `record` records."""
    given = {"payment_id": key, "amount_minor": 4900, "captured_minor": 4900, **fields}
    return fact(f"stripe:evt_{number}", f"charge:ch_{number}", "captured", number, **given)


def link(reference: str, payment_id: str) -> Submission:
    """The command to link a reference to its payment."""
    return of_payment(reference, LinkPayment(payment_id=payment_id))


def facts_in(recorder: Recorder) -> dict[str, list[str]]:
    """The ids of the facts in the log by the key of their stream, as often as they are there, in log order."""
    found: dict[str, list[str]] = {}
    for entry in entries_in(recorder):
        event = entry.envelope().event
        if isinstance(event, FactRecorded):
            found.setdefault(entry.key, []).append(event.fact.fact_id)
    return found


def entries_in(recorder: Recorder) -> list[LogEntry]:
    """Everything in the log, in order."""
    return [
        LogEntry(
            position=each.id,
            stream=str(each.originator_id),
            version=each.originator_version,
            topic=each.topic,
            state=each.state,
        )
        for each in recorder.select_notifications(None, 1_000_000)
    ]


class Entries:
    """Makes log entries as a shard would append them: positions and versions go on from entry to entry."""

    def __init__(self) -> None:
        self._position = 0
        self._versions: dict[str, int] = {}

    def __call__(self, stream: str, event: AnyEvent) -> LogEntry:
        """The next entry, with `event` in `stream`."""
        self._position += 1
        self._versions[stream] = self._versions.get(stream, 0) + 1
        topic, state = encode_envelope(
            Envelope(
                event=event,
                recorded_at=NOON + timedelta(seconds=self._position),
                trace=Trace(correlation_id=f"c-{self._position}"),
            )
        )
        return LogEntry(
            position=self._position, stream=stream, version=self._versions[stream], topic=topic, state=state
        )

    def fact(self, told: Fact, *, under: str = "", tenant: str = TENANT) -> LogEntry:
        """The next entry: a fact, under the payment it names or under a reference."""
        return self(stream_id("payment", tenant, under or told.payment_id), FactRecorded(fact=told))

    def link(self, reference: str, payment_id: str, *, tenant: str = TENANT) -> LogEntry:
        """The next entry: a reference is linked to its payment."""
        return self(stream_id("payment", tenant, reference), PaymentLinked(payment_id=payment_id))


class LocalHost:
    """An endpoint to a shard in this process. It keeps the sizes of the batches that came; `failures` come first."""

    def __init__(self, shard: Shard, failures: Iterable[Exception] = ()) -> None:
        self._shard = shard
        self._failures = list(failures)
        self.sizes: list[int] = []

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "handle"
        batch = decode_submissions(payload)
        self.sizes.append(len(batch))
        if self._failures:
            raise self._failures.pop(0)
        try:
            return encode_replies(self._shard.handle(batch))
        except FencedError as error:
            raise RetryableError(error.reason) from error


def handled(shard: Shard) -> Callable[[Sequence[Submission]], Any]:
    """A `submit` that goes straight to a shard."""

    async def submit(batch: Sequence[Submission]) -> list[Reply]:
        return shard.handle(batch)

    return submit
