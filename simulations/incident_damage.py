"""A view edited behind the log's back, and the check that sees it: its payments against a refold of the log."""

import sqlite3
from collections.abc import Awaitable, Callable, Collection
from contextlib import closing
from pathlib import Path

import msgspec

from domain.fact import Fact, RecordedFact
from domain.payment import view
from domain.state_hash import state_hash
from projections.feed import Feed
from projections.retrieval import AnyFound, GetPayment, PaymentFound
from simulations.incident_refold import Refold

# What somebody's script made of the statuses of refunds: it meant to tidy up.
EDITED = {"failed": "succeeded", "succeeded": "pending", "pending": "failed"}

_decode_fact = msgspec.msgpack.Decoder(RecordedFact).decode
_decode_found = msgspec.msgpack.Decoder(list[AnyFound | None]).decode
_encode = msgspec.msgpack.Encoder().encode


def edited(fact: Fact) -> Fact:
    """The fact as the script leaves it."""
    if fact.kind != "refund":
        return fact
    return msgspec.structs.replace(fact, status=EDITED.get(fact.status, fact.status))


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """What was edited: the payments, and where in the log the facts lie that say something else now."""

    payments: list[str]
    positions: list[int]


def damage(facts_file: Path, only: Collection[str] | None = None) -> Damage:
    """Edit the refunds of all payments, or of some, in a view's file, and their rows to go with them."""
    with closing(sqlite3.connect(facts_file, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute("SELECT position, reference, body FROM facts ORDER BY position").fetchall()
        facts = [(position, reference, _decode_fact(body)) for position, reference, body in rows]
        refunded = [reference for _, reference, recorded in facts if recorded.fact.kind == "refund"]
        chosen = [each for each in dict.fromkeys(refunded) if only is None or each in only]
        positions = []
        for payment_id in chosen:
            left = []
            for position, reference, recorded in facts:
                if reference != payment_id:
                    continue
                left.append(msgspec.structs.replace(recorded, fact=edited(recorded.fact)))
                if left[-1] != recorded:
                    positions.append(position)
                    connection.execute("UPDATE facts SET body=? WHERE position=?", (_encode(left[-1]), position))
            folded = view(payment_id, left)
            assert folded is not None, "there is a fact at least"
            connection.execute(
                "UPDATE payments SET status=?, body=? WHERE payment_id=?", (folded.status, _encode(folded), payment_id)
            )
        connection.execute("COMMIT")
    return Damage(payments=chosen, positions=positions)


class ViewCheck:
    """Compares the payments that a node answers from with the log, folded from nothing.

    Args:
        query: asks the index shard of a tenant.
        projected: how far payments are projected.
        feed: the log.
    """

    def __init__(
        self, query: Callable[[str, bytes], Awaitable[bytes]], projected: Callable[[], int], feed: Feed
    ) -> None:
        self._query = query
        self._projected = projected
        self._refold = Refold(feed)
        self._wanted: dict[tuple[str, str], tuple[int, str]] = {}

    async def differing(self, tenant: str) -> list[str]:
        """The payments whose view is not what the log says. Raises `RetryableError` if nobody answers for it.

        Asked for are the row that lists show and the fold of the view's own facts, from which answers are composed.
        """
        self._read()
        payment_ids = [each for of, each in self._wanted if of == tenant]
        projected = self._projected()
        queries = [
            GetPayment(tenant=tenant, payment_id=each, known_at=known_at)
            for each in payment_ids
            for known_at in (None, projected)
        ]
        found = _decode_found(await self._query(tenant, _encode(queries)))
        # What was recorded while it was asked is in the log by now.
        self._read()
        return [
            payment_id
            for payment_id, row, fold in zip(payment_ids, found[::2], found[1::2], strict=True)
            if self._differs(tenant, payment_id, row, projected) or self._differs(tenant, payment_id, fold, projected)
        ]

    def _read(self) -> None:
        self._refold.read()
        for tenant, payment_id in self._refold.take_touched():
            folded = self._refold.view(tenant, payment_id)
            if folded is None:
                self._wanted.pop((tenant, payment_id), None)
            else:
                self._wanted[tenant, payment_id] = folded.position, state_hash(folded)

    def _differs(self, tenant: str, payment_id: str, found: AnyFound | None, projected: int) -> bool:
        position, name = self._wanted.get((tenant, payment_id), (0, ""))
        if not isinstance(found, PaymentFound) or found.payment is None:
            return 0 < position <= projected
        if found.payment.position == position:
            return state_hash(found.payment) != name
        # Either the view is about to hear of it, or it was a moment ahead of what is read here.
        return found.payment.position < position <= projected
