"""The naive peer: the same webhooks in the order of their arrival, last write wins, answers from a cache with a TTL.

It drops events that it has seen, as providers advise, and looks at nothing but what arrives.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.replaying.samples import Sample
from simulations.incident_books import BooksWord
from simulations.naive import INTENT_STATUS

Row = Mapping[str, Any]
_FIELDS = ("status", "amount_minor", "captured_minor", "refunded_minor", "refunds")


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that the gateway took, and when."""

    at: datetime
    body: bytes


class PeerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the peer would have told: answers that were not as the books say, while it lasted and when all was over."""

    asked: int
    wrong: int
    asked_after: int
    wrong_after: int


class Peer:
    """Rows by object, written over by whatever arrives, and a cache of answers.

    Args:
        ttl: how long an answer is given again without looking.
    """

    def __init__(self, ttl: timedelta) -> None:
        self._ttl = ttl
        self._seen: set[str] = set()
        self._rows: dict[str, Row] = {}
        self._cache: dict[str, tuple[datetime, Row]] = {}

    def take(self, body: bytes) -> None:
        """A webhook."""
        event = msgspec.json.decode(body)
        if event["id"] not in self._seen:
            self._seen.add(event["id"])
            told = event["data"]["object"]
            self._rows[told["id"]] = told

    def answer(self, payment_id: str, at: datetime) -> Row:
        """What it tells of a payment: what it told before, for as long as that is fresh."""
        kept = self._cache.get(payment_id)
        if kept is None or at - kept[0] >= self._ttl:
            kept = self._cache[payment_id] = at, self._composed(payment_id)
        return kept[1]

    def _composed(self, payment_id: str) -> Row:
        intent = self._rows.get(payment_id)
        if intent is None:
            return {}
        tried = "failed" if intent["last_payment_error"] else "pending"
        refunds = [
            row for row in self._rows.values() if row["object"] == "refund" and row["payment_intent"] == payment_id
        ]
        return {
            "status": INTENT_STATUS.get(intent["status"], tried),
            "amount_minor": intent["amount"],
            "captured_minor": intent["amount_received"],
            "refunded_minor": sum(row["amount"] for row in refunds if row["status"] == "succeeded"),
            "refunds": {row["id"]: row["status"] for row in refunds},
        }


def answers_of_peer(arrived: Sequence[Arrived], asked: Iterable[Sample], *, ttl: timedelta, after: str) -> PeerReport:
    """Put the same questions to the peer at the same times; those of the phase `after` are counted apart."""
    peer, waiting = Peer(ttl), deque(sorted(arrived, key=lambda each: each.at))
    counts = {False: [0, 0], True: [0, 0]}
    for question in sorted(asked, key=lambda each: (each.at, each.number)):
        while waiting and waiting[0].at <= question.at:
            peer.take(waiting.popleft().body)
        said = peer.answer(question.data["payment_id"], question.at)
        if not said:
            continue
        truth = msgspec.convert(question.data["books"], BooksWord).truth
        count = counts[question.data["phase"] == after]
        count[0] += 1
        count[1] += any(said[field] != getattr(truth, field) for field in _FIELDS)
    return PeerReport(
        asked=counts[False][0], wrong=counts[False][1], asked_after=counts[True][0], wrong_after=counts[True][1]
    )
