"""The outbox: what is outstanding by the log (effects, deadlines, escalations), and who has it in hand.

Everything here but the leases is derived from the log. A lease that is lost with the file only means that an effect is
performed again, under the same idempotency key.
"""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from domain.codec import Envelope, tag_of
from domain.effects import (
    Effect,
    EffectFailed,
    EffectGivenUp,
    EffectPerformed,
    EffectRequested,
    addressed,
)
from domain.errors import TerminalError
from domain.ids import StreamId
from domain.message import Trace
from domain.payment_saga import (
    DeadlineExtended,
    DeadlinePassed,
    EscalationResolved,
    PaymentEscalated,
    PaymentSettled,
    PaymentStarted,
)
from projections.feed import Feed, LogEntry
from projections.store import Store

TOPICS = tuple(
    tag_of(each)
    for each in (
        EffectRequested,
        EffectFailed,
        EffectPerformed,
        EffectGivenUp,
        PaymentStarted,
        DeadlineExtended,
        DeadlinePassed,
        PaymentEscalated,
        EscalationResolved,
        PaymentSettled,
    )
)
PAGE_MAX = 500
_ERRAND = "effect:"

log = structlog.get_logger("effects")

# Times are microseconds since 1970: SQLite has no type for them, and a float has too few digits to compare.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS effects (
    stream TEXT NOT NULL, step TEXT NOT NULL, tenant TEXT NOT NULL, account TEXT NOT NULL, due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL, effect BLOB NOT NULL, trace BLOB NOT NULL, reason TEXT NOT NULL,
    leased_until INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '', PRIMARY KEY (stream, step)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS effects_due ON effects (tenant, account, due_at);
CREATE TABLE IF NOT EXISTS deadlines (
    stream TEXT PRIMARY KEY, due_at INTEGER NOT NULL, trace BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deadlines_due ON deadlines (due_at);
CREATE TABLE IF NOT EXISTS escalations (
    tenant TEXT NOT NULL, payment_id TEXT NOT NULL, number INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    escalated_at INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (tenant, payment_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS escalations_order ON escalations (tenant, position);
CREATE TABLE IF NOT EXISTS given_up (
    tenant TEXT NOT NULL, position INTEGER NOT NULL, stream TEXT NOT NULL, effect BLOB NOT NULL,
    attempts INTEGER NOT NULL, reason TEXT NOT NULL, ended_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, position)) WITHOUT ROWID;
"""
# A file without what was given up is read again from the log.
_LAYOUT = 1
# Of one tenant; a person looks at the last ones.
GIVEN_UP_MAX = 1_000


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that a runner has in hand until `leased_until`; `attempts` counts those that failed before."""

    stream: StreamId
    effect: Effect
    account: str
    attempts: int
    leased_until: datetime
    trace: Trace


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many effects may be taken now, beside those that are in hand.

    Args:
        tenant_max: of each tenant at most, those in hand included.
        in_hand: how many of a tenant are in hand.
        accounts: (tenant, account) -> how many its circuit breaker lets through; any number where it has no entry.
        held: stream and step of what is in the caller's own hand. It is not taken again, whatever becomes of its lease:
            an outcome that comes after its own lease ran out ends that of whoever has the effect in hand by then.
    """

    tenant_max: int
    in_hand: Mapping[str, int] = {}
    accounts: Mapping[tuple[str, str], int] = {}
    held: frozenset[tuple[str, str]] = frozenset()

    def of_tenant(self, tenant: str) -> int:
        return max(self.tenant_max - self.in_hand.get(tenant, 0), 0)

    def of_account(self, tenant: str, account: str) -> int:
        of_tenant = self.of_tenant(tenant)
        return min(of_tenant, self.accounts.get((tenant, account), of_tenant))


class _Due(NamedTuple):
    """A row of an effect that is due."""

    due_at: int
    stream: str
    step: str
    tenant: str
    account: str
    attempts: int
    effect: bytes
    trace: bytes


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An outstanding effect: when it is tried next, how many attempts failed, and what the last one said."""

    effect: Effect
    due_at: datetime
    attempts: int
    reason: str


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """An errand (a reply, a notification) that is not tried any more, since `ended_at`, and why."""

    effect: Effect
    ended_at: datetime
    attempts: int
    reason: str


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """A payment about which a person is asked, since `escalated_at`."""

    payment_id: str
    number: int
    reason: str
    detail: str
    escalated_at: datetime
    position: int


class OutboxCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much is outstanding, and how long the effect that is due longest has been due, in seconds."""

    effects: int
    deadlines: int
    escalations: int
    overdue_s: float


class Outbox:
    """What is outstanding. Several runners may share one; the last process that opened the file owns it.

    Args:
        path: the file; it is made again from the log if it is lost.
        feed: the log.
    """

    def __init__(self, path: Path, feed: Feed) -> None:
        self._store = Store(path, _SCHEMA, layout=_LAYOUT)
        self._feed = feed

    def follow(self) -> bool:
        """Read on in the log. Returns whether there may be more. One caller at a time.

        Raises `FencedError` once another process has opened the file.
        """
        page = self._feed.read(self._store.position(), limit=PAGE_MAX, topics=TOPICS)
        if page.position > self._store.position():
            with self._store.writing(page.position) as connection:
                for entry in page.entries:
                    _apply(connection, entry)
        return len(page.entries) == PAGE_MAX

    def position(self) -> int:
        """How far the log is read."""
        return self._store.position()

    def check_log(self) -> None:
        """Raises `TerminalError` if the log ends before what was read of it: it is another one, or an older copy."""
        position, head = self.position(), self._feed.head()
        if position > head:
            raise TerminalError(
                f"what is derived under data comes from a log of at least {position} events, and this one has {head}: "
                "set store.url to that log, copy it here (recount store copy), or remove what is derived"
            )

    def claim(self, *, owner: str, now: datetime, lease_s: float, limit: int, room: Room) -> list[Claimed]:
        """Take up to `limit` effects that are due and in nobody's hand, those that are due longest first.

        `room` bounds how many of each tenant and account. Raises `FencedError` as `follow`.
        """
        until = now + timedelta(seconds=lease_s)
        with self._store.writing(self._store.position()) as connection:
            chosen = _chosen(connection, _us(now), limit, room)
            connection.executemany(
                "UPDATE effects SET leased_until=?, owner=? WHERE stream=? AND step=?",
                [(_us(until), owner, row.stream, row.step) for row in chosen],
            )
        return [
            Claimed(
                stream=StreamId(row.stream),
                effect=addressed(msgspec.msgpack.decode(row.effect, type=Effect), row.stream),
                account=row.account,
                attempts=row.attempts,
                leased_until=until,
                trace=msgspec.msgpack.decode(row.trace, type=Trace),
            )
            for row in chosen
        ]

    def passed_deadlines(self, *, now: datetime, limit: int, again_s: float) -> list[tuple[StreamId, Trace]]:
        """The payments whose deadline has passed, with what ties it to the start of the payment.

        Each is told again after `again_s`, until the log has it.
        """
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT stream, trace FROM deadlines WHERE due_at<=? ORDER BY due_at LIMIT ?", (_us(now), limit)
            ).fetchall()
        if not rows:
            return []
        with self._store.writing(self._store.position()) as connection:
            later = _us(now + timedelta(seconds=again_s))
            connection.executemany("UPDATE deadlines SET due_at=? WHERE stream=?", [(later, row[0]) for row in rows])
        return [(StreamId(stream), msgspec.msgpack.decode(trace, type=Trace)) for stream, trace in rows]

    def outstanding(self, tenant: str, *, limit: int) -> list[Waiting]:
        """The effects of a tenant that are neither performed nor given up, those that are due next first."""
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT stream, effect, due_at, attempts, reason FROM effects WHERE tenant=? ORDER BY due_at LIMIT ?",
                (tenant, limit),
            ).fetchall()
        return [
            Waiting(
                effect=addressed(msgspec.msgpack.decode(effect, type=Effect), stream),
                due_at=_time(due_at),
                attempts=attempts,
                reason=reason,
            )
            for stream, effect, due_at, attempts, reason in rows
        ]

    def given_up(self, tenant: str, *, limit: int) -> list[GivenUp]:
        """The errands of a tenant that are not tried any more, the last one first; at most `GIVEN_UP_MAX` are kept.

        What a payment's saga gave up is not among them: it reads the provider, or asks a person.
        """
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT stream, effect, ended_at, attempts, reason FROM given_up WHERE tenant=?"
                " ORDER BY position DESC LIMIT ?",
                (tenant, limit),
            ).fetchall()
        return [
            GivenUp(
                effect=addressed(msgspec.msgpack.decode(effect, type=Effect), stream),
                ended_at=_time(ended_at),
                attempts=attempts,
                reason=reason,
            )
            for stream, effect, ended_at, attempts, reason in rows
        ]

    def escalations(self, tenant: str, *, after: int = 0, limit: int) -> list[Escalation]:
        """The payments of a tenant that wait for a person, the longest first; `after` is a position."""
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT payment_id, number, reason, detail, escalated_at, position FROM escalations"
                " WHERE tenant=? AND position>? ORDER BY position LIMIT ?",
                (tenant, after, limit),
            ).fetchall()
        return [
            Escalation(
                payment_id=row[0],
                number=row[1],
                reason=row[2],
                detail=row[3],
                escalated_at=_time(row[4]),
                position=row[5],
            )
            for row in rows
        ]

    def counts(self, now: datetime) -> OutboxCounts:
        """How much is outstanding."""
        with self._store.reading() as connection:
            effects, first = connection.execute("SELECT count(*), min(due_at) FROM effects").fetchone()
            [deadlines] = connection.execute("SELECT count(*) FROM deadlines").fetchone()
            [escalations] = connection.execute("SELECT count(*) FROM escalations").fetchone()
        overdue_s = 0.0 if first is None else max((_us(now) - first) / 1e6, 0.0)
        return OutboxCounts(effects=effects, deadlines=deadlines, escalations=escalations, overdue_s=overdue_s)

    def close(self) -> None:
        self._store.close()


def _chosen(connection: sqlite3.Connection, now_us: int, limit: int, room: Room) -> list[_Due]:
    """The effects to take, those that are due longest first; no account and no tenant gets more than its room."""
    accounts = connection.execute("SELECT DISTINCT tenant, account FROM effects WHERE due_at<=?", (now_us,)).fetchall()
    due: list[_Due] = []
    for tenant, account in accounts:
        most = min(limit, room.of_account(tenant, account))
        rows = connection.execute(
            "SELECT due_at, stream, step, tenant, account, attempts, effect, trace FROM effects"
            " WHERE tenant=? AND account=? AND due_at<=? AND leased_until<=? ORDER BY due_at LIMIT ?",
            (tenant, account, now_us, now_us, most + len(room.held)),
        )
        free = (row for row in map(_Due._make, rows) if (row.stream, row.step) not in room.held)
        due += islice(free, most)
    left = {tenant: room.of_tenant(tenant) for tenant, _ in accounts}
    chosen: list[_Due] = []
    for row in sorted(due):
        if left[row.tenant] > 0 and len(chosen) < limit:
            left[row.tenant] -= 1
            chosen.append(row)
    return chosen


def account_of(effect: Effect) -> str:
    """What an effect shares its circuit breaker with: the provider's account, the merchant's endpoint, the chat."""
    match effect.kind:
        case "notify":
            return f"notify/{effect.to}"
        case "reply":
            return "reply"
        case _:
            return effect.provider


def _apply(connection: sqlite3.Connection, entry: LogEntry) -> None:
    try:
        envelope = entry.envelope()
    except msgspec.DecodeError as error:
        log.exception("effect_unreadable", position=entry.position, stream=entry.stream, exc_info=error)
        return
    stream = entry.stream
    match envelope.event:
        case EffectRequested(effect=effect):
            connection.execute(
                "INSERT OR REPLACE INTO effects"
                " (stream, step, tenant, account, due_at, attempts, effect, trace, reason) VALUES (?,?,?,?,?,0,?,?,'')",
                (
                    stream,
                    effect.step,
                    entry.tenant,
                    account_of(effect),
                    _us(effect.due_at),
                    msgspec.msgpack.encode(effect),
                    msgspec.msgpack.encode(envelope.trace),
                ),
            )
        case EffectFailed(step=step, attempts=attempts, retry_at=retry_at, reason=reason):
            connection.execute(
                "UPDATE effects SET attempts=?, due_at=?, reason=?, leased_until=0, owner='' WHERE stream=? AND step=?",
                (attempts, _us(retry_at), reason, stream, step),
            )
        case EffectPerformed(step=step) | EffectGivenUp(step=step):
            if isinstance(envelope.event, EffectGivenUp) and stream.startswith(_ERRAND):
                _keep_given_up(connection, entry, envelope.event, envelope.recorded_at)
            connection.execute("DELETE FROM effects WHERE stream=? AND step=?", (stream, step))
        case _:
            _apply_to_payment(connection, entry, envelope)


def _keep_given_up(connection: sqlite3.Connection, entry: LogEntry, event: EffectGivenUp, ended_at: datetime) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO given_up SELECT tenant, ?, stream, effect, attempts + 1, ?, ? FROM effects"
        " WHERE stream=? AND step=?",
        (entry.position, event.reason, _us(ended_at), entry.stream, event.step),
    )
    connection.execute(
        "DELETE FROM given_up WHERE tenant=? AND position <="
        " (SELECT position FROM given_up WHERE tenant=? ORDER BY position DESC LIMIT 1 OFFSET ?)",
        (entry.tenant, entry.tenant, GIVEN_UP_MAX),
    )


def _apply_to_payment(connection: sqlite3.Connection, entry: LogEntry, envelope: Envelope) -> None:
    stream = entry.stream
    match envelope.event:
        case PaymentStarted(deadline_at=deadline_at) | DeadlineExtended(deadline_at=deadline_at):
            trace = msgspec.msgpack.encode(envelope.trace)
            connection.execute("INSERT OR REPLACE INTO deadlines VALUES (?,?,?)", (stream, _us(deadline_at), trace))
        case DeadlinePassed():
            connection.execute("DELETE FROM deadlines WHERE stream=?", (stream,))
        case PaymentEscalated(number=number, reason=reason, detail=detail):
            connection.execute("DELETE FROM deadlines WHERE stream=?", (stream,))
            connection.execute(
                "INSERT OR REPLACE INTO escalations VALUES (?,?,?,?,?,?,?)",
                (entry.tenant, entry.key, number, reason, detail, _us(envelope.recorded_at), entry.position),
            )
        case EscalationResolved():
            connection.execute("DELETE FROM escalations WHERE tenant=? AND payment_id=?", (entry.tenant, entry.key))
        case PaymentSettled():
            connection.execute("DELETE FROM deadlines WHERE stream=?", (stream,))
            connection.execute("DELETE FROM escalations WHERE tenant=? AND payment_id=?", (entry.tenant, entry.key))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _us(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
