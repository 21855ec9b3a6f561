"""What the gateway asks of a tenant's projections, and what it is told: one union of questions, one of replies.

Every reply says from which log position it speaks.
"""

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

    `scope_customer_id` restricts the payments to one customer: another's are as if they were not there.
    """

    question: str
    object_ids: tuple[str, ...] = ()
    scope_customer_id: str = ""
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
        if query.object_ids:
            wanted = list(dict.fromkeys(self.payments.resolve(each, query.known_at) for each in query.object_ids))
        elif query.scope_customer_id:
            looked_up.append(f"customer:{query.scope_customer_id}")
            listed = self.payments.payments(customer_id=query.scope_customer_id, limit=CUSTOMER_PAYMENTS_MAX)
            wanted = [payment.payment_id for payment in listed.payments]
        else:
            wanted = []
        looked_up += wanted
        found: list[PaymentEvidence] = []
        for payment_id in wanted:
            facts = self.payments.facts(payment_id, known_at=query.known_at)
            of_payment = evidence(payment_id, facts, as_of=query.as_of, known_at=query.known_at)
            if of_payment is None:
                continue
            if query.scope_customer_id and of_payment.view.customer_id != query.scope_customer_id:
                continue
            found.append(of_payment)
        return found, looked_up
