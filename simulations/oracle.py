"""The log refolded from nothing, in the plainest way: what views and answers are compared with."""

import msgspec

from domain.answer import AnswerGiven, AnswerRepeated
from domain.document import DocumentPublished, DocumentWithdrawn
from domain.fact import Fact, RecordedFact
from domain.payment import PaymentView, view
from domain.payment_saga import FactRecorded, PaymentLinked
from domain.webhook import WebhookSeen
from projections.feed import Feed, LogEntry

POSITION_MAX = 2**62


class History:
    """Everything in a log, read as it grows."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._position = 0
        self._facts: dict[tuple[str, str], list[RecordedFact]] = {}
        self._links: dict[str, list[tuple[int, str, str]]] = {}
        self._documents: dict[tuple[str, str], tuple[int, bool]] = {}
        self._ids: set[tuple[str, str, str]] = set()
        self._known: dict[tuple[str, str], list[Fact]] = {}
        # Every event's stream, version, epoch and position.
        self.entries: list[tuple[str, int, int, int]] = []
        # Facts that are in one stream more than once, as (stream, fact id).
        self.repeated: list[tuple[str, str]] = []
        self.seen: set[tuple[str, str]] = set()
        self.answers: list[tuple[str, str, AnswerGiven | AnswerRepeated]] = []

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
            return  # The poison that the run began with.
        self.entries.append((entry.stream, entry.version, envelope.epoch, entry.position))
        tenant, key = entry.tenant, entry.key
        match envelope.event:
            case FactRecorded(fact=fact):
                if (tenant, key, fact.fact_id) in self._ids:
                    self.repeated.append((entry.stream, fact.fact_id))
                self._ids.add((tenant, key, fact.fact_id))
                self._known.setdefault((tenant, fact.fact_id), []).append(fact)
                self._facts.setdefault((tenant, key), []).append(
                    RecordedFact(
                        fact=fact,
                        position=entry.position,
                        recorded_at=envelope.recorded_at,
                        correlation_id=envelope.trace.correlation_id,
                    )
                )
            case PaymentLinked(payment_id=payment_id):
                self._links.setdefault(tenant, []).append((entry.position, key, payment_id))
            case WebhookSeen():
                self.seen.add((tenant, key))
            case DocumentPublished(version=version):
                self._documents[tenant, key] = (version, True)
            case DocumentWithdrawn(version=version):
                self._documents[tenant, key] = (version, False)
            case AnswerGiven() | AnswerRepeated() as event:
                self.answers.append((tenant, key, event))

    def has(self, tenant: str, fact: Fact) -> bool:
        """Whether a fact with this id and content is in the log."""
        return any(fact.asserts_same_as(other) for other in self._known.get((tenant, fact.fact_id), []))

    def view(self, tenant: str, payment_id: str, known_at: int = POSITION_MAX) -> PaymentView | None:
        """A payment folded from all facts that came under it or what is linked to it, known at a position."""
        target = {key: (to, position) for position, key, to in self._links.get(tenant, []) if position <= known_at}
        facts: dict[str, RecordedFact] = {}
        joined: dict[str, int] = {}
        for (of_tenant, key), recorded in self._facts.items():
            root, linked_at = _root(key, target)
            if of_tenant == tenant and root == payment_id:
                for each in recorded:
                    before = facts.get(each.fact.fact_id)
                    if each.position <= known_at and (before is None or each.position < before.position):
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
        roots = sorted({_root(key, target)[0] for of_tenant, key in self._facts if of_tenant == tenant})
        found = {root: self.view(tenant, root) for root in roots}
        return {root: folded for root, folded in found.items() if folded is not None}

    def documents(self, tenant: str) -> dict[str, int]:
        """The current version of each document that is not withdrawn."""
        return {
            key: version
            for (of_tenant, key), (version, is_there) in self._documents.items()
            if of_tenant == tenant and is_there
        }

    def versions(self, tenant: str) -> dict[str, int]:
        """The last version of each document, withdrawn or not."""
        return {key: version for (of_tenant, key), (version, _) in self._documents.items() if of_tenant == tenant}


def _root(key: str, target: dict[str, tuple[str, int]]) -> tuple[str, int]:
    """Where the links lead, and the position of the last of them."""
    seen, linked_at = {key}, 0
    while (further := target.get(key)) is not None and further[0] not in seen:
        key = further[0]
        seen.add(key)
        linked_at = max(linked_at, further[1])
    return key, linked_at
