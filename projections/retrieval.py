"""What the gateway asks of a tenant's projections, and what it is told: one union of questions, one of replies.

Every reply says from which log position it speaks.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice

import msgspec

from domain.evidence import PaymentEvidence, evidence
from domain.payment import PaymentView, known
from domain.timeline import TimelineEntry, timeline
from projections.embedder import TextEmbedder
from projections.knowledge import DocumentView, KnowledgeStore, Passage
from projections.past_payments import PastList, payments_at
from projections.payment_view import PAYOUTS, Listed, PaymentStore
from projections.reranking import Reranker

CUSTOMER_PAYMENTS_MAX = 50
PAYOUTS_MAX = 10


class Query(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question about one tenant. `min_position` is the log position that the answer must include."""

    tenant: str
    min_position: int = 0

    @property
    def needs_position(self) -> int:
        """How far the projection must be before it can answer."""
        return self.min_position


class PastQuery(Query, frozen=True, kw_only=True, omit_defaults=True):
    """A question at both clocks: as of a time in the world, as known at a log position; both are now by default."""

    as_of: datetime | None = None
    known_at: int | None = None

    @property
    def is_past(self) -> bool:
        return self.as_of is not None or self.known_at is not None

    @property
    def needs_position(self) -> int:
        """What was known at a position is certain only once all before it is projected."""
        return max(self.min_position, self.known_at or 0)

    def speaks_from(self, position: int) -> int:
        """The log position from which the reply speaks, of a projection that is at `position`."""
        return position if self.known_at is None else min(position, self.known_at)


class GetPayment(PastQuery, frozen=True, kw_only=True, tag="payment"):
    payment_id: str


class GetTimeline(PastQuery, frozen=True, kw_only=True, tag="timeline"):
    payment_id: str


class ListPayments(PastQuery, frozen=True, kw_only=True, tag="payments"):
    customer_id: str = ""
    status: str = ""
    limit: int = 50
    cursor: str = ""


class GetDocument(Query, frozen=True, kw_only=True, tag="document"):
    document_id: str


class Gather(PastQuery, frozen=True, kw_only=True, tag="gather"):
    """What a question needs: the payments of the ids it names, else of its customer, and passages if `top_k`.

    `scope_customer_id` restricts the payments to one customer: another's are as if they were not there. `is_beside`
    asks for the other payments of the named ones' customer as well. `wants_payouts` asks for the latest payouts, where
    no id and no customer is named: they are the merchant's. `filters` restricts the passages to documents whose
    metadata have all of it.
    """

    question: str
    object_ids: tuple[str, ...] = ()
    scope_customer_id: str = ""
    is_beside: bool = False
    wants_payouts: bool = False
    top_k: int = 0
    filters: Mapping[str, str] = {}


AnyQuery = GetPayment | GetTimeline | ListPayments | GetDocument | Gather


class PaymentFound(msgspec.Struct, frozen=True, kw_only=True, tag="payment"):
    position: int
    payment: PaymentView | None


class TimelineFound(msgspec.Struct, frozen=True, kw_only=True, tag="timeline"):
    position: int
    entries: list[TimelineEntry]


class PaymentsFound(msgspec.Struct, frozen=True, kw_only=True, tag="payments"):
    position: int
    payments: list[PaymentView]
    cursor: str


class DocumentFound(msgspec.Struct, frozen=True, kw_only=True, tag="document"):
    position: int
    document: DocumentView | None


class Gathered(msgspec.Struct, frozen=True, kw_only=True, tag="gathered"):
    """The evidence for one question.

    `looked_up` are all keys that it depends on, found or not. `lag_ms` is for how long the view has been behind the
    log, 0 if it is not. `knowledge_position` is how far documents are. `resolved` has for every id that was asked for
    and is not a payment's own the payment that it belongs to: an order number is found in no fact.
    """

    position: int
    knowledge_position: int
    generation: int
    lag_ms: int
    payments: list[PaymentEvidence]
    passages: list[Passage]
    looked_up: list[str]
    resolved: dict[str, str] = {}


class NotYet(msgspec.Struct, frozen=True, kw_only=True, tag="not_yet"):
    """The projection has not reached `min_position`; ask again."""

    position: int


AnyFound = PaymentFound | TimelineFound | PaymentsFound | DocumentFound | Gathered | NotYet


class TenantReader:
    """Answers queries from one tenant's stores in one generation."""

    def __init__(self, payments: PaymentStore, knowledge: KnowledgeStore, generation: int) -> None:
        self.payments = payments
        self.knowledge = knowledge
        self.generation = generation

    def look_up(self, query: GetPayment | GetTimeline | ListPayments | GetDocument, position: int) -> AnyFound:
        """The reply as of the projection's `position`."""
        match query:
            case GetPayment(payment_id=payment_id, as_of=as_of, known_at=known_at):
                payment = self.payments.payment_at(payment_id, as_of=as_of, known_at=known_at)
                return PaymentFound(position=query.speaks_from(position), payment=payment)
            case GetTimeline(payment_id=payment_id, as_of=as_of, known_at=known_at):
                of_payment = self.payments.facts_of(payment_id, known_at=known_at)
                entries = timeline(known(of_payment.facts, as_of=as_of), of_payment.joined)
                return TimelineFound(position=query.speaks_from(position), entries=entries)
            case ListPayments():
                listed = self._list(query)
                return PaymentsFound(
                    position=query.speaks_from(position), payments=listed.payments, cursor=listed.cursor
                )
            case GetDocument(document_id=document_id):
                return DocumentFound(position=position, document=self.knowledge.document(document_id))

    def _list(self, query: ListPayments) -> Listed:
        if query.is_past:
            return payments_at(
                self.payments,
                PastList(
                    as_of=query.as_of,
                    known_at=query.known_at,
                    customer_id=query.customer_id,
                    status=query.status,
                    limit=query.limit,
                    cursor=query.cursor,
                ),
            )
        return self.payments.payments(
            customer_id=query.customer_id, status=query.status, limit=query.limit, cursor=query.cursor
        )

    def passages(
        self, gathers: Sequence[Gather], embedder: TextEmbedder, reranker: Reranker | None = None
    ) -> list[list[Passage]]:
        """For each gathering its passages, best first: of the documents as they are, or as they were then."""
        found: list[list[Passage]] = [[] for _ in gathers]
        alike: dict[tuple[datetime | None, int | None, frozenset[tuple[str, str]]], list[int]] = {}
        for index, query in enumerate(gathers):
            if query.top_k:
                alike.setdefault((query.as_of, query.known_at, frozenset(query.filters.items())), []).append(index)
        for (as_of, known_at, filters), indices in alike.items():
            wanted = max(gathers[index].top_k for index in indices)
            of_questions = self.knowledge.search(
                [gathers[index].question for index in indices],
                embedder,
                top_k=wanted if reranker is None else reranker.depth(wanted),
                as_of=as_of,
                known_at=known_at,
                filters=dict(filters),
            )
            for index, passages in zip(indices, of_questions, strict=True):
                if reranker is None:
                    ranked = passages
                else:
                    # As many as it would see if this were asked alone: an answer depends on no one else's question.
                    seen = passages[: reranker.depth(gathers[index].top_k)]
                    ranked = reranker.rerank(gathers[index].question, seen)
                found[index] = ranked[: gathers[index].top_k]
        return found

    def resolved(self, query: Gather) -> dict[str, str]:
        """The payment of each id that was asked for and is not the payment's own."""
        found = {each: self.payments.resolve(each, query.known_at) for each in query.object_ids}
        return {each: payment_id for each, payment_id in found.items() if payment_id != each}

    def evidence(self, query: Gather) -> tuple[list[PaymentEvidence], list[str]]:
        """The payments that a question is about, newest first, and every key that the choice depends on."""
        looked_up = list(query.object_ids)
        found: list[PaymentEvidence] = []
        for payment_id in dict.fromkeys(self.payments.resolve(each, query.known_at) for each in query.object_ids):
            looked_up.append(payment_id)
            if (of_payment := self._evidence(payment_id, query)) is not None:
                found.append(of_payment)
        customers = [query.scope_customer_id] if query.scope_customer_id and not query.object_ids else []
        if query.is_beside:
            customers = sorted({*customers, *(of_payment.view.customer_id for of_payment in found)} - {""})
        for customer_id in customers:
            looked_up.append(f"customer:{customer_id}")
            found += self._of_customer(customer_id, query, {each.view.payment_id for each in found})
        if query.wants_payouts and not query.object_ids and not query.scope_customer_id:
            looked_up.append(PAYOUTS)
            evidences = (self._evidence(payment_id, query) for payment_id in self.payments.payouts())
            found += islice((each for each in evidences if each is not None), PAYOUTS_MAX)
        return found, list(dict.fromkeys([*looked_up, *(each.view.payment_id for each in found)]))

    def _evidence(self, payment_id: str, query: Gather) -> PaymentEvidence | None:
        """The payment (by its own id) as the query wants it; none of another customer than the one in scope."""
        of_payment = self.payments.read([payment_id], query.known_at)[payment_id]
        found = evidence(payment_id, of_payment.facts, as_of=query.as_of, known_at=query.known_at)
        if found is None:
            return None
        is_hidden = query.scope_customer_id and found.view.customer_id != query.scope_customer_id
        if is_hidden:
            return None
        return msgspec.structs.replace(found, view=of_payment.at_its_position(found.view, query.as_of))

    def _of_customer(self, customer_id: str, query: Gather, known_already: Collection[str]) -> list[PaymentEvidence]:
        """A customer's newest payments that are not known yet, as they were when the query wants them."""
        found: list[PaymentEvidence] = []
        cursor = ""
        while len(found) < CUSTOMER_PAYMENTS_MAX:
            page = self._list(
                ListPayments(
                    tenant=query.tenant,
                    as_of=query.as_of,
                    known_at=query.known_at,
                    customer_id=customer_id,
                    limit=CUSTOMER_PAYMENTS_MAX,
                    cursor=cursor,
                )
            )
            for payment in page.payments:
                if payment.payment_id in known_already:
                    continue
                if (of_payment := self._evidence(payment.payment_id, query)) is not None:
                    found.append(of_payment)
            cursor = page.cursor
            if not cursor:
                break
        return found[:CUSTOMER_PAYMENTS_MAX]
