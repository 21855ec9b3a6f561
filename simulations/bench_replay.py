"""`recount bench replay`: reading the log and folding it, rebuilding the payments view, and `recount replay` itself."""

import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from actors.journal import Journal
from actors.payment_shard import KINDS, ROLE
from actors.recorder import open_log
from actors.shard import Shard
from domain.codec import Submission, decode_envelope, encode_envelope
from domain.errors import TerminalError
from domain.fact import Fact
from domain.message import Accepted, Trace, Unchanged
from domain.payment import fold
from domain.payment_saga import FactRecorded, PaymentLinked
from domain.settings import BATCH_MAX
from domain.sharding import BUCKET_COUNT
from gateway.replaying.history import History, Moment, write_entries
from gateway.replaying.replay import replay
from gateway.sources.port import Unreadable, submissions
from gateway.sources.stripe import read
from projections.feed import LogEntry, SqliteFeed
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector
from simulations.bench_ingest import bodies_of

TENANT = "bench"
SEED = 13
TARGET_FOLDED_PER_SECOND = 50_000
TARGET_REPLAYED_PER_SECOND = 1_000_000 / 60
PAGE = 5_000


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """Events per second through each way of reading the log again."""

    events: int
    payments: int
    append_per_second: float
    read_per_second: float
    fold_per_second: float
    rebuild_view_per_second: float
    fold_to_read: float
    replayed_events: int
    replay_s: float
    meets_target: bool


def bench_replay(data: Path, webhooks: int, replayed: int, say: Callable[[str], None]) -> ReplayReport:
    """Fill a log with simulated traffic, then read, fold and rebuild it; and replay one of `replayed` events."""
    path = str(data / "log.sqlite")
    say(f"appending what {webhooks} webhooks say")
    append_per_second = _fill(path, bodies_of(webhooks, SEED))
    feed = SqliteFeed(path)
    events = feed.head()
    say("reading")
    started_s = time.perf_counter()
    entries = sum(len(page) for page in _pages(feed))
    read_s = time.perf_counter() - started_s
    say("reading, decoding and folding")
    started_s = time.perf_counter()
    payments = _fold_all(feed)
    fold_s = time.perf_counter() - started_s
    say("rebuilding the payments view")
    started_s = time.perf_counter()
    count = _rebuild(feed, data)
    rebuild_s = time.perf_counter() - started_s
    if count != payments:
        raise TerminalError(f"the view has {count} payments and the log {payments}")
    say(f"multiplying it to {replayed} events")
    write_entries(_multiplied(list(_pages(feed)), replayed), data / "multiplied")
    say("replaying those into projections of their own")
    started_s = time.perf_counter()
    replay(History(data / "multiplied"), data / "replayed", Moment())
    replay_s = time.perf_counter() - started_s
    return ReplayReport(
        events=events,
        payments=payments,
        append_per_second=round(append_per_second, 1),
        read_per_second=round(entries / read_s, 1),
        fold_per_second=round(events / fold_s, 1),
        rebuild_view_per_second=round(events / rebuild_s, 1),
        fold_to_read=round(read_s / fold_s, 2),
        replayed_events=replayed,
        replay_s=round(replay_s, 1),
        meets_target=events / fold_s >= TARGET_FOLDED_PER_SECOND and replayed / replay_s >= TARGET_REPLAYED_PER_SECOND,
    )


def _fill(path: str, bodies: Sequence[bytes]) -> float:
    """Append everything through a shard, 500 commands at a time, and return commands per second."""
    shard = Shard(
        Journal(open_log(path)),
        KINDS,
        role=ROLE,
        buckets=range(BUCKET_COUNT),
        owner="bench",
        clock=lambda: datetime.now(UTC),
        new_id=lambda: uuid.uuid4().hex,
    )
    commands: list[Submission] = []
    for number, body in enumerate(bodies):
        reading = read(body, headers={}, ref=f"bench:{number}")
        if isinstance(reading, Unreadable):
            raise TerminalError(f"simulated traffic is unreadable: {reading.detail}")
        commands += submissions(TENANT, reading, source="stripe", trace=Trace())
    started_s = time.perf_counter()
    for start in range(0, len(commands), BATCH_MAX):
        for reply in shard.handle(commands[start : start + BATCH_MAX]):
            if not isinstance(reply, Accepted | Unchanged):
                raise TerminalError(f"simulated traffic was refused: {reply}")
    return len(commands) / (time.perf_counter() - started_s)


def _pages(feed: SqliteFeed) -> Iterator[list[LogEntry]]:
    """The log in pages, from the start to its head."""
    position = 0
    while entries := feed.read(position, limit=PAGE).entries:
        position = entries[-1].position
        yield entries


def _multiplied(pages: Sequence[list[LogEntry]], count: int) -> Iterator[list[LogEntry]]:
    """The log as often as it takes, each time with payments, customers and facts of its own."""
    position = 0
    for copy in itertools.count():
        for page in pages:
            entries = [_copied(each, f"-{copy}", position + number) for number, each in enumerate(page, start=1)]
            yield entries[: count - position]
            position += len(page)
            if position >= count:
                return


def _copied(entry: LogEntry, suffix: str, position: int) -> LogEntry:
    envelope = entry.envelope()
    event = envelope.event
    match event:
        case FactRecorded(fact=fact):
            named = {name: f"{each}{suffix}" for name in ("fact_id", "payment_id") if (each := getattr(fact, name))}
            customer_id = fact.customer_id and f"{fact.customer_id}{suffix}"
            refers_to = tuple(_renamed(each, suffix) for each in fact.refers_to)
            event = FactRecorded(
                fact=msgspec.structs.replace(
                    fact, **named, object=_renamed(fact.object, suffix), customer_id=customer_id, refers_to=refers_to
                )
            )
        case PaymentLinked(payment_id=payment_id):
            event = PaymentLinked(payment_id=f"{payment_id}{suffix}")
        case _:
            pass
    topic, state = encode_envelope(msgspec.structs.replace(envelope, event=event))
    return LogEntry(
        position=position, stream=f"{entry.stream}{suffix}", version=entry.version, topic=topic, state=state
    )


def _renamed(object_key: str, suffix: str) -> str:
    return f"{object_key}{suffix}" if ":" in object_key else object_key


def _fold_all(feed: SqliteFeed) -> int:
    """Fold every payment from the log's bytes; returns how many there are."""
    facts: dict[str, list[Fact]] = {}
    for page in _pages(feed):
        for entry in page:
            event = decode_envelope(entry.state).event
            if isinstance(event, FactRecorded):
                facts.setdefault(event.fact.payment_id, []).append(event.fact)
    for payment_id, of_payment in facts.items():
        fold(payment_id, of_payment)
    return len(facts)


def _rebuild(feed: SqliteFeed, data: Path) -> int:
    store = PaymentStore(data / "rebuilt")
    projector = Projector(feed, topics=TOPICS, store_of=lambda _: store)
    head = feed.head()
    while projector.position < head:
        projector.run_once()
    count = store.count()
    store.close()
    return count
