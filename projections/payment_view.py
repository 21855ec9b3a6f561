"""The payments view: every fact of a tenant by payment, and what each payment adds up to."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from domain.codec import tag_of
from domain.fact import RecordedFact
from domain.payment import PaymentView, view
from domain.payment_saga import FactRecorded, PaymentLinked
from projections.feed import LogEntry
from projections.store import Store
from projections.tracing import span

TOPICS = (tag_of(FactRecorded), tag_of(PaymentLinked))
CACHED_MAX = 10_000
POSITION_MAX = 2**63 - 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (
    reference TEXT NOT NULL, fact_id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (reference, fact_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links (
    reference TEXT PRIMARY KEY, payment_id TEXT NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_payment ON links (payment_id);
CREATE TABLE IF NOT EXISTS objects (
    object_id TEXT PRIMARY KEY, reference TEXT NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payments (
    payment_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, status TEXT NOT NULL, occurred_at INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS payments_customer ON payments (customer_id, occurred_at, payment_id);
CREATE INDEX IF NOT EXISTS payments_recent ON payments (occurred_at, payment_id);
"""

_encode = msgspec.msgpack.Encoder().encode
_decode_fact = msgspec.msgpack.Decoder(RecordedFact).decode
_decode_view = msgspec.msgpack.Decoder(PaymentView).decode


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A page of payments, newest first; `cursor` continues after it, empty at the end."""

    payments: list[PaymentView]
    cursor: str


class PaymentStore:
    """One tenant's payments in one generation."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "facts.sqlite", _SCHEMA)
        self._facts: OrderedDict[str, dict[str, RecordedFact]] = OrderedDict()

    def apply(self, entries: Sequence[LogEntry], position: int) -> set[str]:
        try:
            return self._apply(entries, position)
        except BaseException:
            # The cache holds what the transaction would have written.
            self._facts.clear()
            raise

    def _apply(self, entries: Sequence[LogEntry], position: int) -> set[str]:
        facts: list[tuple[str, RecordedFact]] = []
        links: list[tuple[str, str, int]] = []
        for entry in entries:
            envelope = entry.envelope()
            if envelope.trace.traceparent:
                # A mark on the message's trace rather than a duration: a batch is applied as one.
                with span("projection.apply", envelope.trace.traceparent, stream=entry.stream, position=entry.position):
                    pass
            match envelope.event:
                case FactRecorded(fact=fact):
                    recorded = RecordedFact(
                        fact=fact,
                        position=entry.position,
                        recorded_at=envelope.recorded_at,
                        correlation_id=envelope.trace.correlation_id,
                    )
                    facts.append((entry.key, recorded))
                case PaymentLinked(payment_id=payment_id):
                    if payment_id != entry.key:
                        links.append((entry.key, payment_id, entry.position))
                case other:
                    raise AssertionError(f"{type(other).__name__} is none of {TOPICS}")
        with self.store.writing(position) as connection:
            connection.executemany("INSERT OR IGNORE INTO links VALUES (?,?,?)", links)
            connection.executemany(
                "INSERT OR IGNORE INTO facts VALUES (?,?,?)",
                [(reference, recorded.fact.fact_id, _encode(recorded)) for reference, recorded in facts],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO objects VALUES (?,?,?)",
                [(recorded.fact.object_id, reference, recorded.position) for reference, recorded in facts],
            )
            return self._refold(facts, links)

    def _refold(self, facts: Sequence[tuple[str, RecordedFact]], links: Sequence[tuple[str, str, int]]) -> set[str]:
        """Fold every payment that a fact or a link touches again; returns the keys of what changed.

        Those are the payments and their customers, and every id whose payment may be another than before: an answer
        that nothing is known of a refund must go when the refund comes.
        """
        keys: set[str] = set()
        touched: dict[str, list[RecordedFact]] = {}
        # What is remembered as a payment is no reference to another, unless it has just become one.
        linked_now = {reference for reference, _, _ in links}
        roots: dict[str, str] = {each: each for each, _ in facts if each in self._facts and each not in linked_now}
        for reference, recorded in facts:
            if reference not in roots:
                roots[reference] = self._linked(reference)
            touched.setdefault(roots[reference], []).append(recorded)
            keys |= {reference, recorded.fact.object_id}
        moved = []
        for reference, payment_id, _ in links:
            keys.add(reference)
            if self._facts.pop(reference, None) is not None or self._has_facts(reference):
                self._facts.pop(payment_id, None)
                touched.setdefault(payment_id, [])
                moved.append(reference)
        rows = []
        for payment_id, new in touched.items():
            current = self._of(payment_id, new)
            folded = view(payment_id, list(current.values()))
            if folded is None:
                continue
            keys |= {payment_id, f"customer:{folded.customer_id}"}
            rows.append((payment_id, folded.customer_id, folded.status, _micros(folded.occurred_at), _encode(folded)))
        with self.store.reading() as connection:
            connection.executemany("INSERT OR REPLACE INTO payments VALUES (?,?,?,?,?)", rows)
            connection.executemany("DELETE FROM payments WHERE payment_id=?", [(reference,) for reference in moved])
        return keys

    def _of(self, payment_id: str, new: Sequence[RecordedFact]) -> dict[str, RecordedFact]:
        cached = self._facts.get(payment_id)
        if cached is None:
            cached = {recorded.fact.fact_id: recorded for recorded in self._read(payment_id)}
            self._facts[payment_id] = cached
            if len(self._facts) > CACHED_MAX:
                self._facts.popitem(last=False)
        for recorded in new:
            cached.setdefault(recorded.fact.fact_id, recorded)
        self._facts.move_to_end(payment_id)
        return cached

    def _has_facts(self, reference: str) -> bool:
        with self.store.reading() as connection:
            return (
                connection.execute("SELECT 1 FROM facts WHERE reference=? LIMIT 1", (reference,)).fetchone() is not None
            )

    def resolve(self, reference: str, known_at: int | None = None) -> str:
        """The payment that a payment's, charge's, refund's or dispute's id belongs to; itself if nothing is known.

        `known_at` is the log position as of which it is known.
        """
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT reference FROM objects WHERE object_id=? AND position<=?", (reference, _until(known_at))
            ).fetchone()
        return self._linked(row[0] if row else reference, known_at)

    def _linked(self, reference: str, known_at: int | None = None) -> str:
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT payment_id FROM links WHERE reference=? AND position<=?", (reference, _until(known_at))
            ).fetchone()
        return row[0] if row else reference

    def facts(self, payment_id: str, *, known_at: int | None = None) -> list[RecordedFact]:
        """All facts of a payment (by any of its ids) that are known at a log position, in log order."""
        return self._read(self.resolve(payment_id, known_at), known_at)

    def _read(self, payment_id: str, known_at: int | None = None) -> list[RecordedFact]:
        until = _until(known_at)
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT body FROM facts WHERE reference=?1 "
                "UNION ALL SELECT body FROM links JOIN facts USING (reference) WHERE payment_id=?1 AND position<=?2",
                (payment_id, until),
            ).fetchall()
        # A fact that came under several references is one fact, known since it came first.
        found: dict[str, RecordedFact] = {}
        for recorded in sorted((_decode_fact(row[0]) for row in rows), key=lambda each: each.position):
            if recorded.position <= until:
                found.setdefault(recorded.fact.fact_id, recorded)
        return list(found.values())

    def payment(self, payment_id: str) -> PaymentView | None:
        """The payment as it is known now, by any of its ids."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT body FROM payments WHERE payment_id=?", (self.resolve(payment_id),)
            ).fetchone()
        return _decode_view(row[0]) if row else None

    def payment_at(self, payment_id: str, *, as_of: datetime | None, known_at: int | None) -> PaymentView | None:
        """The payment as of a time in the world, as known at a log position."""
        if as_of is None and known_at is None:
            return self.payment(payment_id)
        resolved = self.resolve(payment_id, known_at)
        return view(resolved, self._read(resolved, known_at), as_of=as_of, known_at=known_at)

    def payments(self, *, customer_id: str = "", status: str = "", limit: int = 50, cursor: str = "") -> Listed:
        """A page of payments, newest first, of one customer or in one status if given."""
        conditions, params = ["1"], list[str | int]()
        if customer_id:
            conditions.append("customer_id=?")
            params.append(customer_id)
        if status:
            conditions.append("status=?")
            params.append(status)
        if cursor:
            at, _, after = cursor.partition(".")
            conditions.append("(occurred_at, payment_id) < (?,?)")
            params += [int(at), after]
        with self.store.reading() as connection:
            rows = connection.execute(
                f"SELECT occurred_at, payment_id, body FROM payments WHERE {' AND '.join(conditions)} "  # noqa: S608 - placeholders only
                "ORDER BY occurred_at DESC, payment_id DESC LIMIT ?",
                (*params, limit + 1),
            ).fetchall()
        has_more = len(rows) > limit
        return Listed(
            payments=[_decode_view(row[2]) for row in rows[:limit]],
            cursor=f"{rows[limit - 1][0]}.{rows[limit - 1][1]}" if has_more else "",
        )

    def count(self) -> int:
        """How many payments there are."""
        with self.store.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM payments").fetchone()[0])

    def close(self) -> None:
        self.store.close()


def _until(known_at: int | None) -> int:
    return POSITION_MAX if known_at is None else min(known_at, POSITION_MAX)


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
