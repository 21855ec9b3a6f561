"""What the gateway asks of a tenant's projections, and what it is told: one union of questions, one of replies.

Every reply says from which log position it speaks.
"""

from collections.abc import Collection
from datetime import datetime

import msgspec

from domain.evidence import PaymentEvidence, evidence
from domain.payment import PaymentView
from domain.timeline import TimelineEntry, timeline
from projections.knowledge import DocumentView, KnowledgeStore, Passage
from projections.payment_view import PaymentStore

CUSTOMER_PAYMENTS_MAX = 50


class Query(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question about one tenant. `min_position` is the log position that the answer must include."""

    tenant: str
    min_position: int = 0


class GetPayment(Query, frozen=True, kw_only=True, tag="payment"):
    payment_id: str
    as_of: datetime | None = None
    known_at: int | None = None


class GetTimeline(Query, frozen=True, kw_only=True, tag="timeline"):
    payment_id: str


class ListPayments(Query, frozen=True, kw_only=True, tag="payments"):
    customer_id: str = ""
    status: str = ""
    limit: int = 50
    cursor: str = ""


class GetDocument(Query, frozen=True, kw_only=True, tag="document"):
    document_id: str


class Gather(Query, frozen=True, kw_only=True, tag="gather"):
    """What a question needs: the payments of the ids it names, else of its customer, and passages if `top_k`.

    `scope_customer_id` restricts the payments to one customer: another's are as if they were not there. `is_beside`
    asks for the other payments of the named ones' customer as well.
    """

    question: str
    object_ids: tuple[str, ...] = ()
    scope_customer_id: str = ""
    is_beside: bool = False
    as_of: datetime | None = None
    known_at: int | None = None
    top_k: int = 0


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
    log, 0 if it is not. `knowledge_position` is how far documents are.
    """

    position: int
    knowledge_position: int
    generation: int
    lag_ms: int
    payments: list[PaymentEvidence]
    passages: list[Passage]
    looked_up: list[str]


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
                return PaymentFound(position=position, payment=payment)
            case GetTimeline(payment_id=payment_id):
                return TimelineFound(position=position, entries=timeline(self.payments.facts(payment_id)))
            case ListPayments(customer_id=customer_id, status=status, limit=limit, cursor=cursor):
                listed = self.payments.payments(customer_id=customer_id, status=status, limit=limit, cursor=cursor)
                return PaymentsFound(position=position, payments=listed.payments, cursor=listed.cursor)
            case GetDocument(document_id=document_id):
                return DocumentFound(position=position, document=self.knowledge.document(document_id))

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
            customers = sorted({of_payment.view.customer_id for of_payment in found} - {""})
        for customer_id in customers:
            looked_up.append(f"customer:{customer_id}")
            found += self._of_customer(customer_id, query, {each.view.payment_id for each in found})
        return found, list(dict.fromkeys([*looked_up, *(each.view.payment_id for each in found)]))

    def _evidence(self, payment_id: str, query: Gather) -> PaymentEvidence | None:
        """The payment as the query wants it; none of another customer than the one in scope."""
        facts = self.payments.facts(payment_id, known_at=query.known_at)
        of_payment = evidence(payment_id, facts, as_of=query.as_of, known_at=query.known_at)
        if of_payment is None:
            return None
        is_hidden = query.scope_customer_id and of_payment.view.customer_id != query.scope_customer_id
        return None if is_hidden else of_payment

    def _of_customer(self, customer_id: str, query: Gather, known: Collection[str]) -> list[PaymentEvidence]:
        """A customer's newest payments that are not known yet, as the query wants them: the past may lie deep."""
        found: list[PaymentEvidence] = []
        cursor = ""
        while len(found) < CUSTOMER_PAYMENTS_MAX:
            page = self.payments.payments(customer_id=customer_id, limit=CUSTOMER_PAYMENTS_MAX, cursor=cursor)
            for payment in page.payments:
                if payment.payment_id in known:
                    continue
                if (of_payment := self._evidence(payment.payment_id, query)) is not None:
                    found.append(of_payment)
            cursor = page.cursor
            if not cursor:
                break
        return found[:CUSTOMER_PAYMENTS_MAX]
