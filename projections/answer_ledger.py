"""The answers that a changed payment may have made wrong, found by the payments that they stated.

An answer is due for judging when the log has something of a payment that it stated and that it did not know: it may
have been recorded before the answer or after it. What is due is kept in the same transaction as what made it so, and
stays until it is judged.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from weakref import WeakValueDictionary, finalize

import msgspec

from domain.answer import (
    AnswerGiven,
    AnswerInvalidated,
    AnswerRecord,
    AnswerReinstated,
    AnswerRepeated,
    StatedPayment,
    Untruth,
)
from domain.codec import tag_of
from domain.conversation import MessageAnswered
from domain.fact import RecordedFact
from domain.ids import stream_id
from domain.payment_saga import FactRecorded, PaymentLinked
from projections.feed import Feed, LogEntry
from projections.store import Store

_FACT = tag_of(FactRecorded)
_LINK = tag_of(PaymentLinked)
_ANSWERS = tuple(tag_of(each) for each in (AnswerGiven, AnswerRepeated, AnswerInvalidated, AnswerReinstated))
_CHAT = tag_of(MessageAnswered)
TOPICS = (*_ANSWERS, _FACT, _LINK, _CHAT)

# There may be thousands of tenants, and each takes three open files.
STORES_OPEN_MAX = 100

_SCHEMA = """
CREATE TABLE IF NOT EXISTS relied (
    payment_id TEXT NOT NULL, answer_id TEXT NOT NULL, known_to INTEGER NOT NULL,
    PRIMARY KEY (payment_id, answer_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS relied_answer ON relied (answer_id);
CREATE TABLE IF NOT EXISTS changed (reference TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links (reference TEXT PRIMARY KEY, payment_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_payment ON links (payment_id);
CREATE TABLE IF NOT EXISTS due (answer_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chats (answer_id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS corrections (
    answer_id TEXT PRIMARY KEY, position INTEGER NOT NULL, is_wrong INTEGER NOT NULL,
    is_published INTEGER NOT NULL, is_sent INTEGER NOT NULL, was_sent INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS corrections_position ON corrections (position);
CREATE INDEX IF NOT EXISTS corrections_open ON corrections (position) WHERE is_published=0 OR is_sent=0;
"""

# All references whose facts are those of one payment, for each of the origins: up the links to where they end, and from
# all of those down again. Links in a circle end as well, because a union has each of them once.
_FAMILIES = """
WITH RECURSIVE origins (origin) AS (VALUES {origins}),
up (origin, reference) AS (
    SELECT origin, origin FROM origins
    UNION SELECT up.origin, links.payment_id FROM up CROSS JOIN links ON links.reference = up.reference),
family (origin, reference) AS (
    SELECT origin, reference FROM up
    UNION SELECT family.origin, links.reference FROM family CROSS JOIN links ON links.payment_id = family.reference)
"""
_LATEST = "SELECT origin, max(position) FROM family JOIN changed USING (reference) GROUP BY origin"
_ORIGINS_MAX = 500


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the log the last word about an answer lies: that it was wrong, or right after all.

    `conversation_id` is where it was given, empty for one that was given to whoever asked.
    """

    answer_id: str
    position: int
    is_wrong: bool
    is_published: bool
    is_sent: bool
    conversation_id: str


class AnswerStore:
    """One tenant's answers by what they relied on."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path, _SCHEMA)

    def apply(self, entries: Sequence[LogEntry], position: int) -> set[str]:
        """Returns the ids of the answers that were given, given again or judged."""
        given: list[tuple[str, str, int]] = []
        answers: set[str] = set()
        links: list[tuple[str, str]] = []
        changed: dict[str, int] = {}
        chats: list[tuple[str, str]] = []
        corrections: dict[str, tuple[int, bool]] = {}
        for entry in entries:
            if entry.topic == _FACT:
                changed[entry.key] = entry.position
                continue
            match entry.envelope().event:
                case PaymentLinked(payment_id=payment_id):
                    changed[entry.key] = entry.position
                    links.append((entry.key, payment_id))
                case AnswerGiven(record=record):
                    answers.add(entry.key)
                    given += [(said.payment_id, entry.key, record.basis.known_to) for said in _judged(record)]
                case AnswerRepeated():
                    answers.add(entry.key)
                case AnswerInvalidated():
                    corrections[entry.key] = (entry.position, True)
                case AnswerReinstated():
                    corrections[entry.key] = (entry.position, False)
                case MessageAnswered(answer_id=answer_id):
                    chats.append((answer_id, entry.key))
                case other:
                    raise AssertionError(f"{type(other).__name__} is none of {TOPICS}")
        with self.store.writing(position) as connection:
            connection.executemany("INSERT OR IGNORE INTO relied VALUES (?,?,?)", given)
            connection.executemany("INSERT OR IGNORE INTO links VALUES (?,?)", links)
            connection.executemany("INSERT OR REPLACE INTO changed VALUES (?,?)", changed.items())
            connection.executemany("INSERT OR REPLACE INTO chats VALUES (?,?)", chats)
            for answer_id, (at, is_wrong) in corrections.items():
                self._correct(answer_id, at, is_wrong=is_wrong)
            due = self._relying_on(changed.keys()) | self._overtaken(answers)
            connection.executemany("INSERT OR IGNORE INTO due VALUES (?)", [(answer_id,) for answer_id in due])
        return answers | corrections.keys()

    def _correct(self, answer_id: str, position: int, *, is_wrong: bool) -> None:
        """The last word about an answer. Nobody is told that what they were not told is taken back."""
        with self.store.reading() as connection:
            connection.execute(
                "INSERT INTO corrections VALUES (?,?,?,0,0,0) ON CONFLICT (answer_id) DO UPDATE SET "
                "was_sent = was_sent OR is_sent, is_sent = NOT excluded.is_wrong AND NOT (was_sent OR is_sent), "
                "position=excluded.position, is_wrong=excluded.is_wrong, is_published=0",
                (answer_id, position, is_wrong),
            )

    def _relying_on(self, references: Collection[str]) -> set[str]:
        """The answers that stated a payment to which one of the references belongs, and did not know all of it."""
        return self._overtaken(
            self._column(references, "SELECT DISTINCT answer_id FROM family JOIN relied ON payment_id = reference")
        )

    def _overtaken(self, answer_ids: Collection[str]) -> set[str]:
        """Those of the answers of whose payments there is something that they did not know."""
        overtaken: set[str] = set()
        with self.store.reading() as connection:
            for chunk in _chunks(answer_ids):
                relied = connection.execute(
                    f"SELECT payment_id, answer_id, known_to FROM relied WHERE answer_id IN ({_marks(chunk)})",  # noqa: S608 - placeholders only
                    chunk,
                ).fetchall()
                latest: dict[str, int] = {}
                for origins in _chunks({payment_id for payment_id, _, _ in relied}):
                    statement = _FAMILIES.format(origins=_values(origins)) + _LATEST
                    latest |= connection.execute(statement, origins).fetchall()
                overtaken |= {
                    answer_id for payment_id, answer_id, known_to in relied if latest.get(payment_id, 0) > known_to
                }
        return overtaken

    def family(self, payment_id: str) -> set[str]:
        """All references whose facts are those of a payment, by any of them; itself if nothing is linked to it."""
        return self._column([payment_id], "SELECT reference FROM family")

    def _column(self, origins: Collection[str], select: str) -> set[str]:
        found: set[str] = set()
        with self.store.reading() as connection:
            for chunk in _chunks(origins):
                rows = connection.execute(_FAMILIES.format(origins=_values(chunk)) + select, chunk)
                found |= {row[0] for row in rows}
        return found

    def due(self, limit: int) -> list[str]:
        """Up to `limit` answers that are to be judged."""
        with self.store.reading() as connection:
            rows = connection.execute("SELECT answer_id FROM due ORDER BY answer_id LIMIT ?", (limit,)).fetchall()
        return [row[0] for row in rows]

    def judged(self, answer_ids: Iterable[str]) -> None:
        """These answers are judged by all that is applied."""
        with self.store.writing(0) as connection:
            connection.executemany("DELETE FROM due WHERE answer_id=?", [(answer_id,) for answer_id in answer_ids])

    def corrections(self, after: int, *, limit: int, is_open: bool = False) -> list[Correction]:
        """The last word about each answer that was ever found wrong, if it lies after a position, in log order.

        `is_open` leaves out those that were published and sent.
        """
        condition = "AND (is_published=0 OR is_sent=0)" if is_open else ""
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT answer_id, position, is_wrong, is_published, is_sent, coalesce(conversation_id, '') "  # noqa: S608 - constant
                f"FROM corrections LEFT JOIN chats USING (answer_id) WHERE position>? {condition} "
                "ORDER BY position LIMIT ?",
                (after, limit),
            ).fetchall()
        return [
            Correction(
                answer_id=row[0],
                position=row[1],
                is_wrong=bool(row[2]),
                is_published=bool(row[3]),
                is_sent=bool(row[4]),
                conversation_id=row[5],
            )
            for row in rows
        ]

    def settle(self, correction: Correction, *, is_published: bool, is_sent: bool) -> None:
        """What became of a correction, unless a newer one stands in its place."""
        with self.store.writing(0) as connection:
            connection.execute(
                "UPDATE corrections SET is_published=?, is_sent=? WHERE answer_id=? AND position=?",
                (is_published, is_sent, correction.answer_id, correction.position),
            )

    def conversation_of(self, answer_id: str) -> str:
        """The conversation in which an answer was given, empty if in none."""
        with self.store.reading() as connection:
            row = connection.execute("SELECT conversation_id FROM chats WHERE answer_id=?", (answer_id,)).fetchone()
        return row[0] if row else ""

    def close(self) -> None:
        self.store.close()


class AnswerFound(msgspec.Struct, kw_only=True):
    """An answer as the ledger has it: when it was given again, and what was found untrue of it last, and where.

    `text` is the last word about it to the customer.
    """

    record: AnswerRecord
    correlation_id: str
    repeated_at: list[datetime] = []
    times_given: int = 1
    untrue: tuple[Untruth, ...] = ()
    text: str = ""
    judged_at: datetime | None = None
    position: int = 0


class AnswerLedger:
    """Every tenant's answers, from the log. Any number of threads may use it, one at a time.

    Args:
        feed: the log.
        directory: where each tenant has a directory.
    """

    def __init__(self, feed: Feed, directory: Path) -> None:
        self._feed = feed
        self._directory = directory
        self._lock = threading.RLock()
        # Those that were used last are held here. Any other is closed when whoever has it lets go of it, and until
        # then it is the tenant's only one: opened twice, the first would be fenced.
        self._recent: OrderedDict[str, AnswerStore] = OrderedDict()
        self._alive: WeakValueDictionary[str, AnswerStore] = WeakValueDictionary()

    def store(self, tenant: str) -> AnswerStore:
        """The tenant's store."""
        with self._lock:
            store = self._alive.get(tenant)
            if store is None:
                store = AnswerStore(self._directory / tenant / "answers.sqlite")
                finalize(store, store.store.close)
                self._alive[tenant] = store
            self._recent[tenant] = store
            self._recent.move_to_end(tenant)
            while len(self._recent) > STORES_OPEN_MAX:
                self._recent.popitem(last=False)
            return store

    def answer(self, tenant: str, answer_id: str) -> AnswerFound | None:
        """The answer, `None` if it was never given."""
        with self._lock:
            entries = self._feed.stream(stream_id("answer", tenant, answer_id))
        found: AnswerFound | None = None
        for entry in entries:
            envelope = entry.envelope()
            match envelope.event:
                case AnswerGiven(record=record):
                    found = AnswerFound(record=record, correlation_id=envelope.trace.correlation_id)
                case AnswerRepeated(given_at=given_at, count=count) if found:
                    found.repeated_at.append(given_at)
                    found.times_given += count
                case AnswerInvalidated() | AnswerReinstated() as event if found:
                    found.untrue = event.untrue if isinstance(event, AnswerInvalidated) else ()
                    found.text = event.text
                    found.judged_at = envelope.recorded_at
                    found.position = entry.position
        return found

    def facts(self, tenant: str, payment_id: str) -> list[RecordedFact]:
        """All facts of a payment by any of its references, in log order; each is known since it came first."""
        streams = [stream_id("payment", tenant, each) for each in self.store(tenant).family(payment_id)]
        with self._lock:
            entries = [entry for stream in streams for entry in self._feed.stream(stream) if entry.topic == _FACT]
        facts: dict[str, RecordedFact] = {}
        for entry in sorted(entries, key=lambda each: each.position):
            envelope = entry.envelope()
            assert isinstance(envelope.event, FactRecorded)
            facts.setdefault(
                envelope.event.fact.fact_id,
                RecordedFact(
                    fact=envelope.event.fact,
                    position=entry.position,
                    recorded_at=envelope.recorded_at,
                    correlation_id=envelope.trace.correlation_id,
                ),
            )
        return list(facts.values())

    def tenants(self) -> list[str]:
        """Those that have a store."""
        return sorted(path.parent.name for path in self._directory.glob("*/answers.sqlite"))

    def close(self) -> None:
        """Close every tenant's store."""
        with self._lock:
            for store in list(self._alive.values()):
                store.close()
            self._recent.clear()
            self._alive.clear()


def _judged(record: AnswerRecord) -> Sequence[StatedPayment]:
    """What a later fact can make wrong of an answer: nothing, if it was asked for as known at a position."""
    return record.stated if record.basis.known_at is None else ()


def _chunks(values: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(values)
    return (ordered[start : start + _ORIGINS_MAX] for start in range(0, len(ordered), _ORIGINS_MAX))


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


def _values(values: Sequence[str]) -> str:
    return ",".join(["(?)"] * len(values))
