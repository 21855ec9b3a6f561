"""The payments view: every fact of a tenant by payment, and what each payment adds up to."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from domain.codec import tag_of
from domain.fact import RecordedFact
from domain.payment import PaymentView, known, view
from domain.payment_saga import FactRecorded, PaymentLinked
from projections.code_version import code_of
from projections.feed import LogEntry
from projections.store import Store
from projections.tracing import span

TOPICS = (tag_of(FactRecorded), tag_of(PaymentLinked))
CACHED_MAX = 10_000
POSITION_MAX = 2**63 - 1
LAYOUT = 3
# The key of the changes that tells that some payout changed.
PAYOUTS = "payouts"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (
    position INTEGER PRIMARY KEY, reference TEXT NOT NULL, occurred_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS facts_reference ON facts (reference, occurred_at);
CREATE INDEX IF NOT EXISTS facts_occurred ON facts (occurred_at, position, reference);
CREATE TABLE IF NOT EXISTS links (
    reference TEXT PRIMARY KEY, payment_id TEXT NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_payment ON links (payment_id);
CREATE TABLE IF NOT EXISTS objects (
    object_id TEXT PRIMARY KEY, reference TEXT NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS customers (
    customer_id TEXT NOT NULL, reference TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (customer_id, reference)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payments (
    payment_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, status TEXT NOT NULL, occurred_at INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS payments_customer ON payments (customer_id, occurred_at, payment_id);
CREATE TABLE IF NOT EXISTS payouts (
    payment_id TEXT PRIMARY KEY, occurred_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS payments_recent ON payments (occurred_at, payment_id);
"""

# Every reference that leads to one of the roots over the links up to a position, the roots included. A reference may
# lead to its payment over another: PayPal's refund names its capture, the capture its authorization, that its order.
# `joined` is where the last of the links on the way lies.
_MEMBERS = """
WITH RECURSIVE roots (root) AS (VALUES {roots}), members (root, reference, joined) AS (
    SELECT root, root, 0 FROM roots
    UNION SELECT root, links.reference, max(members.joined, links.position)
    FROM members CROSS JOIN links ON links.payment_id = members.reference
    WHERE links.position <= ?)
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.msgpack.Encoder().encode
_decode_fact = msgspec.msgpack.Decoder(RecordedFact).decode
_decode_view = msgspec.msgpack.Decoder(PaymentView).decode


class PaymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A payment's facts in log order.

    `joined` says by fact id from which log position on a fact was known to be the payment's, where that is later than
    its own: the last link on the way lies there.
    """

    payment_id: str
    facts: list[RecordedFact]
    joined: Mapping[str, int] = {}

    def view(self, as_of: datetime | None = None) -> PaymentView | None:
        """The payment as of a time in the world; known at its `position` it is and will be the same."""
        return self.at_its_position(view(self.payment_id, self.facts, as_of=as_of), as_of)

    def at_its_position(self, folded: PaymentView | None, as_of: datetime | None = None) -> PaymentView | None:
        """The fold of these facts with the position from which on all this was known, links included."""
        if folded is None or not self.joined:
            return folded
        chosen = known(self.facts, as_of=as_of)
        joined = max(self.joined.get(recorded.fact.fact_id, 0) for recorded in chosen)
        return msgspec.structs.replace(folded, position=max(folded.position, joined))


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A page of payments, newest first; `cursor` continues after it, empty at the end."""

    payments: list[PaymentView]
    cursor: str


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """Where the links lead from a reference, and the position of the last link on the way; 0 without any."""

    payment_id: str
    joined: int = 0


class _Remembered(msgspec.Struct):
    """A payment's facts by id, and where the last link that brought one of them lies."""

    facts: dict[str, RecordedFact]
    joined: int = 0


class PaymentStore:
    """One tenant's payments in one generation.

    Facts, links, objects and customers are only ever added to, in log order, so what they say of a past position stays.
    """

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "facts.sqlite", _SCHEMA, layout=LAYOUT, code=code_of(__name__))
        self._facts: OrderedDict[str, _Remembered] = OrderedDict()

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
            keys = self._refold(facts, links)
            connection.executemany(
                "INSERT OR IGNORE INTO facts VALUES (?,?,?,?)",
                [
                    (recorded.position, reference, micros(recorded.fact.occurred_at), _encode(recorded))
                    for reference, recorded in facts
                ],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO objects VALUES (?,?,?)",
                [(recorded.fact.object_id, reference, recorded.position) for reference, recorded in facts],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO customers VALUES (?,?,?)",
                [
                    (recorded.fact.customer_id, reference, recorded.position)
                    for reference, recorded in facts
                    if recorded.fact.customer_id
                ],
            )
        return keys

    def _refold(self, facts: Sequence[tuple[str, RecordedFact]], links: Sequence[tuple[str, str, int]]) -> set[str]:
        """Fold every payment again that a fact (not yet stored) or a link touches; returns the keys of what changed.

        Those are the payments and their customers, and every id whose payment may be another than before: an answer
        that nothing is known of a refund must go when the refund comes.
        """
        linked = dict.fromkeys(reference for reference, _, _ in links)
        references = {reference for reference, _ in facts}
        # What is remembered as a payment is no reference to another, unless it has just become one.
        roots = self.roots({each for each in references if each not in self._facts} | linked.keys())
        keys = references | linked.keys()
        touched: dict[str, list[tuple[RecordedFact, int]]] = {}
        for reference, recorded in facts:
            root = roots.get(reference, Root(payment_id=reference))
            touched.setdefault(root.payment_id, []).append((recorded, root.joined))
            keys.add(recorded.fact.object_id)
        moved = []
        for reference in self._with_facts(linked):
            self._facts.pop(reference, None)
            root = roots[reference]
            self._facts.pop(root.payment_id, None)
            touched.setdefault(root.payment_id, [])
            if reference != root.payment_id:
                moved.append(reference)
        self._remember(touched)
        rows, payouts = [], []
        for payment_id in touched:
            remembered = self._facts[payment_id]
            folded = view(payment_id, list(remembered.facts.values()))
            if folded is None:
                continue
            folded = msgspec.structs.replace(folded, position=max(folded.position, remembered.joined))
            keys |= {payment_id, f"customer:{folded.customer_id}"}
            rows.append((payment_id, folded.customer_id, folded.status, micros(folded.occurred_at), _encode(folded)))
            if folded.payouts:
                keys.add(PAYOUTS)
                payouts.append((payment_id, micros(folded.occurred_at)))
        with self.store.reading() as connection:
            connection.executemany("INSERT OR REPLACE INTO payments VALUES (?,?,?,?,?)", rows)
            connection.executemany("INSERT OR REPLACE INTO payouts VALUES (?,?)", payouts)
            connection.executemany("DELETE FROM payments WHERE payment_id=?", [(reference,) for reference in moved])
        while len(self._facts) > CACHED_MAX:
            self._facts.popitem(last=False)
        return keys

    def _remember(self, touched: Mapping[str, Sequence[tuple[RecordedFact, int]]]) -> None:
        """Have the facts of these payments in memory, the stored ones and the new ones."""
        stored = self.read([payment_id for payment_id in touched if payment_id not in self._facts])
        for payment_id, of_payment in stored.items():
            self._facts[payment_id] = _Remembered(
                facts={recorded.fact.fact_id: recorded for recorded in of_payment.facts},
                joined=max(of_payment.joined.values(), default=0),
            )
        for payment_id, new in touched.items():
            remembered = self._facts[payment_id]
            for recorded, joined in new:
                if remembered.facts.setdefault(recorded.fact.fact_id, recorded) is recorded:
                    remembered.joined = max(remembered.joined, joined)
            self._facts.move_to_end(payment_id)

    def _with_facts(self, references: Collection[str]) -> list[str]:
        """Those of the references that have facts, under themselves or under what leads to them."""
        rows = self._of_members(references, "SELECT DISTINCT root FROM members CROSS JOIN facts USING (reference)")
        found = {row[0] for row in rows}
        return [reference for reference in references if reference in found]

    def _of_members(self, roots: Collection[str], select: str, until: int = POSITION_MAX) -> list[tuple[Any, ...]]:
        """What `select` finds among all that leads to the roots up to a position, in one statement for all of them."""
        if not roots:
            return []
        members = _MEMBERS.format(roots=",".join(["(?)"] * len(roots)))
        with self.store.reading() as connection:
            return connection.execute(members + select, (*roots, until)).fetchall()

    def resolve(self, reference: str, known_at: int | None = None) -> str:
        """The payment that a payment's, charge's, refund's or dispute's id belongs to; itself if nothing is known.

        `known_at` is the log position as of which it is known.
        """
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT reference FROM objects WHERE object_id=? AND position<=?", (reference, _until(known_at))
            ).fetchone()
            found = row[0] if row else reference
            return self.roots([found], known_at)[found].payment_id

    def roots(self, references: Collection[str], known_at: int | None = None) -> dict[str, Root]:
        """Where the links lead from each reference. Of links in a circle, the least member stands for all of them."""
        links: dict[str, tuple[str, int]] = {}
        followed: set[str] = set()
        ahead = set(references)
        with self.store.reading() as connection:
            while ahead:
                marks = ",".join("?" * len(ahead))
                rows = connection.execute(
                    f"SELECT reference, payment_id, position FROM links WHERE reference IN ({marks}) AND position<=?",  # noqa: S608 - placeholders only
                    (*ahead, _until(known_at)),
                ).fetchall()
                links |= {reference: (payment_id, position) for reference, payment_id, position in rows}
                followed |= ahead
                ahead = {payment_id for payment_id, _ in links.values()} - followed
        return {reference: _root(reference, links) for reference in references}

    def facts(self, payment_id: str, *, known_at: int | None = None) -> list[RecordedFact]:
        """All facts of a payment (by any of its ids) that are known at a log position, in log order."""
        return self.facts_of(payment_id, known_at=known_at).facts

    def facts_of(self, payment_id: str, *, known_at: int | None = None) -> PaymentFacts:
        """The same, and since when they were known to be this payment's."""
        with self.store.reading():  # Nothing may be linked between the two steps.
            resolved = self.resolve(payment_id, known_at)
            return self.read([resolved], known_at)[resolved]

    def read(self, payment_ids: Collection[str], known_at: int | None = None) -> dict[str, PaymentFacts]:
        """The stored facts of each payment, by its own id."""
        until = _until(known_at)
        rows = self._of_members(
            payment_ids, "SELECT root, joined, body FROM members CROSS JOIN facts USING (reference)", until
        )
        # A fact that came under several references is one fact, known since it came first.
        found: dict[str, dict[str, RecordedFact]] = {payment_id: {} for payment_id in payment_ids}
        joined_of: dict[str, dict[str, int]] = {payment_id: {} for payment_id in payment_ids}
        decoded = [(root, joined, _decode_fact(body)) for root, joined, body in rows]
        for root, joined, recorded in sorted(decoded, key=lambda each: (each[2].position, each[1])):
            fact_id = recorded.fact.fact_id
            if recorded.position > until or fact_id in found[root]:
                continue
            found[root][fact_id] = recorded
            if joined > recorded.position:
                joined_of[root][fact_id] = joined
        return {
            payment_id: PaymentFacts(payment_id=payment_id, facts=list(facts.values()), joined=joined_of[payment_id])
            for payment_id, facts in found.items()
        }

    def times(self, references: Sequence[str], known_at: int, until: int) -> list[tuple[int, str]]:
        """When the facts occurred of the payments that the references lead to, each with its payment: up to `until`."""
        roots = {root.payment_id for root in self.roots(references, known_at).values()}
        rows = self._of_members(
            roots,
            "SELECT DISTINCT occurred_at, root, position FROM members CROSS JOIN facts USING (reference)",
            _until(known_at),
        )
        return [(at, root) for at, root, position in rows if position <= known_at and at <= until]

    def payment(self, payment_id: str) -> PaymentView | None:
        """The payment as it is known now, by any of its ids."""
        with self.store.reading() as connection:  # As above.
            row = connection.execute(
                "SELECT body FROM payments WHERE payment_id=?", (self.resolve(payment_id),)
            ).fetchone()
        return _decode_view(row[0]) if row else None

    def payment_at(self, payment_id: str, *, as_of: datetime | None, known_at: int | None) -> PaymentView | None:
        """The payment as of a time in the world, as known at a log position."""
        if as_of is None and known_at is None:
            return self.payment(payment_id)
        return self.facts_of(payment_id, known_at=known_at).view(as_of)

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

    def payouts(self) -> list[str]:
        """The payments that are payouts, the latest first. A merchant has one a day at most, or few more."""
        with self.store.reading() as connection:
            rows = connection.execute("SELECT payment_id FROM payouts ORDER BY occurred_at DESC, payment_id DESC")
            return [row[0] for row in rows]

    def count(self) -> int:
        """How many payments there are."""
        with self.store.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM payments").fetchone()[0])

    def close(self) -> None:
        self.store.close()


def _root(reference: str, links: Mapping[str, tuple[str, int]]) -> Root:
    path: list[str] = []
    end = reference
    while end not in path and end in links:
        path.append(end)
        end = links[end][0]
    if end in path:
        end = min(path[path.index(end) :])
    way = path[: path.index(end)] if end in path else path
    return Root(payment_id=end, joined=max((links[each][1] for each in way), default=0))


def _until(known_at: int | None) -> int:
    return POSITION_MAX if known_at is None else min(known_at, POSITION_MAX)


def micros(at: datetime) -> int:
    """A time as microseconds since 1970, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)
