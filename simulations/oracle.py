"""The log refolded from nothing, in the plainest way: what views, answers and corrections are compared with."""

from datetime import datetime

import msgspec

from domain.answer import AnswerGiven, AnswerInvalidated, AnswerRecord, AnswerReinstated, AnswerRepeated
from domain.document import DocumentPublished, DocumentWithdrawn
from domain.fact import Fact, RecordedFact
from domain.ids import stream_id
from domain.message import Event
from domain.payment import PaymentView, view
from domain.payment_saga import FactRecorded, Payment, PaymentDecider, PaymentEvent, PaymentLinked
from domain.webhook import WebhookSeen
from projections.feed import Feed, LogEntry

POSITION_MAX = 2**62


class Told(msgspec.Struct, kw_only=True):
    """An answer as the log has it: when it was given again, and each judgement of it with its position."""

    records: list[AnswerRecord] = []
    times: int = 0
    repeated_at: list[datetime] = []
    judged: list[tuple[int, AnswerInvalidated | AnswerReinstated]] = []


class History:
    """Everything in a log, read as it grows."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._position = 0
        # By tenant: what was recorded under each reference, and the links between them.
        self._facts: dict[str, dict[str, list[RecordedFact]]] = {}
        self._links: dict[str, list[tuple[int, str, str]]] = {}
        self._ids: set[tuple[str, str, str]] = set()
        self._known: dict[tuple[str, str], list[Fact]] = {}
        self._stuck: set[str] = set()
        # Every event's stream, version, epoch and position; 0 for the epoch of one that cannot be decoded.
        self.entries: list[tuple[str, int, int, int]] = []
        # Every event that can be decoded, by its stream.
        self.events: dict[str, list[Event]] = {}
        # Facts that are in one stream more than once, as (stream, fact id).
        self.repeated: list[tuple[str, str]] = []
        self.seen: set[tuple[str, str]] = set()
        # By tenant: the positions of what nobody can decode, and of what lies behind it in its stream.
        self.parked: dict[str, list[int]] = {}
        self.answers: dict[tuple[str, str], Told] = {}
        # By tenant: the last version of each document.
        self.documents: dict[str, dict[str, DocumentPublished | DocumentWithdrawn]] = {}

    def read(self) -> None:
        """Take in what is new."""
        while entries := self._feed.read(self._position, limit=10_000).entries:
            for entry in entries:
                self._take_in(entry)
            self._position = entries[-1].position

    def _take_in(self, entry: LogEntry) -> None:
        try:
            envelope = entry.envelope()
        except ValueError:
            self._stuck.add(entry.stream)
            self.entries.append((entry.stream, entry.version, 0, entry.position))
        else:
            self.entries.append((entry.stream, entry.version, envelope.epoch, entry.position))
        tenant, key = entry.tenant, entry.key
        if entry.stream in self._stuck:
            self.parked.setdefault(tenant, []).append(entry.position)
            return
        self.events.setdefault(entry.stream, []).append(envelope.event)
        match envelope.event:
            case FactRecorded(fact=fact):
                recorded = RecordedFact(
                    fact=fact,
                    position=entry.position,
                    recorded_at=envelope.recorded_at,
                    correlation_id=envelope.trace.correlation_id,
                )
                self._record(tenant, key, recorded)
            case PaymentLinked(payment_id=payment_id):
                self._links.setdefault(tenant, []).append((entry.position, key, payment_id))
            case WebhookSeen():
                self.seen.add((tenant, key))
            case DocumentPublished() | DocumentWithdrawn() as version:
                self.documents.setdefault(tenant, {})[key] = version
            case AnswerGiven() | AnswerRepeated() | AnswerInvalidated() | AnswerReinstated() as event:
                self._tell(self.answers.setdefault((tenant, key), Told()), event, entry.position)

    def _record(self, tenant: str, key: str, recorded: RecordedFact) -> None:
        fact = recorded.fact
        if (tenant, key, fact.fact_id) in self._ids:
            self.repeated.append((stream_id("payment", tenant, key), fact.fact_id))
        self._ids.add((tenant, key, fact.fact_id))
        self._known.setdefault((tenant, fact.fact_id), []).append(fact)
        self._facts.setdefault(tenant, {}).setdefault(key, []).append(recorded)

    def _tell(
        self, told: Told, event: AnswerGiven | AnswerRepeated | AnswerInvalidated | AnswerReinstated, position: int
    ) -> None:
        match event:
            case AnswerGiven(record=record):
                told.records.append(record)
                told.times += 1
            case AnswerRepeated(given_at=given_at, count=count):
                told.repeated_at.append(given_at)
                told.times += count
            case AnswerInvalidated() | AnswerReinstated():
                told.judged.append((position, event))

    def has(self, tenant: str, fact: Fact) -> bool:
        """Whether a fact with this id and content is in the log."""
        return any(fact.asserts_same_as(other) for other in self._known.get((tenant, fact.fact_id), []))

    def view(
        self, tenant: str, payment_id: str, known_at: int = POSITION_MAX, as_of: datetime | None = None
    ) -> PaymentView | None:
        """A payment folded from all facts that came under it or what is linked to it, known at a position."""
        target = {key: (to, position) for position, key, to in self._links.get(tenant, []) if position <= known_at}
        facts: dict[str, RecordedFact] = {}
        joined: dict[str, int] = {}
        for key, recorded in self._facts.get(tenant, {}).items():
            root, linked_at = _root(key, target)
            if root != payment_id:
                continue
            for each in recorded:
                before = facts.get(each.fact.fact_id)
                is_known = each.position <= known_at and (as_of is None or each.fact.occurred_at <= as_of)
                if is_known and (before is None or each.position < before.position):
                    facts[each.fact.fact_id] = each
                    joined[each.fact.fact_id] = linked_at
        folded = view(payment_id, list(facts.values()))
        if folded is None:
            return None
        # A payment is what it is only since the last link that brought one of its facts.
        return msgspec.structs.replace(folded, position=max(folded.position, *joined.values()))

    def views(self, tenant: str) -> dict[str, PaymentView]:
        """Every payment of a tenant."""
        target = {key: (to, position) for position, key, to in self._links.get(tenant, [])}
        roots = sorted({_root(key, target)[0] for key in self._facts.get(tenant, {})})
        found = {root: self.view(tenant, root) for root in roots}
        return {root: folded for root, folded in found.items() if folded is not None}

    def positions(self, tenant: str) -> list[int]:
        """Where facts and links of a tenant lie: between two of them nothing of its payments changes."""
        facts = [each.position for recorded in self._facts.get(tenant, {}).values() for each in recorded]
        return sorted([*facts, *(position for position, _, _ in self._links.get(tenant, []))])

    def saga(self, tenant: str, payment_id: str) -> Payment:
        """The state of a payment's own stream."""
        decider = PaymentDecider()
        state = decider.initial()
        for event in self.events.get(stream_id("payment", tenant, payment_id), []):
            assert isinstance(event, PaymentEvent), f"{type(event).__name__} is in a payment's stream"
            state = decider.evolve(state, event)
        return state


def _root(key: str, target: dict[str, tuple[str, int]]) -> tuple[str, int]:
    """Where the links lead, and the position of the last of them."""
    seen, linked_at = {key}, 0
    while (further := target.get(key)) is not None and further[0] not in seen:
        key = further[0]
        seen.add(key)
        linked_at = max(linked_at, further[1])
    return key, linked_at
