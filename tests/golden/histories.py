"""Small histories, one stream each, as they were recorded; what they are folded to is recorded beside them for good.

A new history gets an entry here and its file by `python -m tests.golden.write`. Where a fold is changed on purpose, the
number of the history is raised: the same events are kept in a further file, with the hash of what they come to now.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import msgspec

from domain.answer import AnswerGiven, AnswerInvalidated, AnswerReinstated, AnswerRepeated, Basis
from domain.codec import AnyEvent
from domain.conversation import (
    CustomerIdentified,
    ErasureRequested,
    FollowingChanged,
    Message,
    MessageAnswered,
    MessageDelivered,
    MessageReceived,
    MessageSeen,
)
from domain.document import DocumentDated, DocumentPublished, DocumentWithdrawn
from domain.effects import Effect, EffectFailed, EffectGivenUp, EffectPerformed, EffectRequested
from domain.fact import Fact
from domain.ids import Category
from domain.incident import CheckMade, IncidentAcknowledged, IncidentResolved
from domain.index_generation import (
    GenerationAbandoned,
    GenerationActivated,
    GenerationCaughtUp,
    GenerationChecked,
    GenerationRecalled,
    GenerationRemoved,
    GenerationStarted,
)
from domain.lifecycle import LIFECYCLES
from domain.payment_policy import Policy
from domain.payment_saga import (
    CompensationBegan,
    DeadlineExtended,
    DeadlinePassed,
    EscalationResolved,
    FactRecorded,
    PaymentEscalated,
    PaymentLinked,
    PaymentSettled,
    PaymentStarted,
)
from domain.polling import CursorAdvanced
from domain.remediation import RemediationEnded, StepFailed, StepStarted
from domain.webhook import WebhookSeen
from tests.golden.events import EXPECTED, OCCURRED_AT, RECORDED_AT

# An event, or the tag and schema of one whose bytes were recorded by an earlier version of the program.
Step = AnyEvent | tuple[str, int]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one stream. `number` counts how often what it comes to was changed on purpose, from 1."""

    category: Category
    steps: Sequence[Step]
    number: int = 1


def _fact(number: int, object_key: str, status: str, seconds: float, **fields: object) -> FactRecorded:
    given = {"provider": "stripe", "payment_id": "pi_1", "currency": "EUR", **fields}
    occurred_at = OCCURRED_AT + timedelta(seconds=seconds)
    told = {"fact_id": f"evt_{number}", "object": object_key, "status": status, "occurred_at": occurred_at}
    return FactRecorded(fact=msgspec.convert(told | given, Fact))


def _every_pair(provider: str) -> Iterator[FactRecorded]:
    """Every two statuses of every object of a provider, in one second and one after the other, the later one first."""
    number = 0
    for (of, kind), table in LIFECYCLES.items():
        if of != provider:
            continue
        for first in table.moves:
            for second in table.moves:
                for seconds in (0, 1):
                    key = f"{kind}:{first}-{second}-{seconds}"
                    number += 2
                    yield _fact(number, key, second, seconds, provider=provider, amount_minor=number)
                    yield _fact(number + 1, key, first, 0, provider=provider, amount_minor=number + 1)


_LATER = RECORDED_AT + timedelta(hours=1)
_RECORD = EXPECTED["answer.given", 1].event.record  # type: ignore[union-attr]  # its tag says what it is
_PUBLISHED = DocumentPublished(document_id="refunds", version=1, title="Refunds", text="Within ten days.\n")


def _effect(kind: str, number: int, **fields: object) -> Effect:
    told = {"kind": kind, "due_at": RECORDED_AT, "step": f"{kind}-{number}", "payment_id": "pi_1", "provider": "stripe"}
    return msgspec.convert(told | fields, Effect)


_PAYMENTS: dict[str, Sequence[Step]] = {
    "payment_in_disorder": [
        _fact(4, "refund:re_1", "failed", 5, amount_minor=1900, reason="expired_or_canceled_card"),
        _fact(3, "refund:re_1", "succeeded", 7, amount_minor=1900, refers_to=("charge:ch_1",)),
        _fact(1, "intent", "captured", 2, amount_minor=4900, captured_minor=4900, customer_id="cus_1"),
        _fact(2, "charge:ch_1", "captured", 2, amount_minor=4900, captured_minor=4900, refunded_minor=1900),
        _fact(5, "intent", "processing", 2, amount_minor=4900),
        _fact(6, "dispute:dp_1", "open", 9, amount_minor=4900, reason="fraudulent"),
        _fact(7, "dispute:dp_1", "won", 9, amount_minor=4900),
        _fact(8, "charge:ch_0", "failed", 1, amount_minor=4900, reason="card_declined"),
    ],
    "payment_that_conflicts_and_is_read": [
        _fact(1, "intent", "canceled", 3, amount_minor=4900),
        _fact(2, "charge:ch_1", "captured", 3, amount_minor=4900, captured_minor=4900),
        EffectRequested(effect=_effect("pull", 1, reason="conflict")),
        _fact(3, "intent", "captured", 6, source="pull", amount_minor=4900, captured_minor=4900),
        EffectPerformed(step="pull-1"),
    ],
    "payment_with_sequences": [
        _fact(2, "payout:po_1", "paid", 1, provider="adyen-platform", sequence=3, amount_minor=4800),
        _fact(1, "payout:po_1", "failed", 9, provider="adyen-platform", sequence=2, amount_minor=4800),
        _fact(3, "payout:po_2", "pending", 9, provider="adyen-platform", source="export", amount_minor=100),
    ],
    "reference_that_is_linked": [
        _fact(1, "refund:4K1", "succeeded", 1, provider="paypal", payment_id="CAP-1", amount_minor=700),
        PaymentLinked(payment_id="ORDER-1"),
        _fact(2, "refund:4K1", "failed", 2, provider="paypal", payment_id="CAP-1", amount_minor=700),
    ],
    "saga_that_is_compensated": [
        PaymentStarted(
            payment_id="pi_1",
            amount_minor=4900,
            currency="EUR",
            deadline_at=RECORDED_AT,
            customer_id="cus_1",
            provider="stripe",
            policy=Policy(on_timeout="cancel"),
        ),
        DeadlinePassed(deadline_at=RECORDED_AT),
        EffectRequested(effect=_effect("pull", 1, reason="deadline")),
        EffectFailed(step="pull-1", attempts=1, retry_at=_LATER, reason="it answers 503"),
        EffectGivenUp(step="pull-1", reason="it answers 401"),
        DeadlineExtended(deadline_at=_LATER),
        DeadlinePassed(deadline_at=_LATER),
        CompensationBegan(kind="cancel"),
        EffectRequested(effect=_effect("cancel", 2, reason="cancel")),
        _fact(1, "intent", "captured", 4, amount_minor=4900, captured_minor=4900),
        EffectGivenUp(step="cancel-2", reason="it answers 400"),
        PaymentEscalated(number=1, reason="refund_failed", detail="the account cannot be refunded to"),
        EscalationResolved(number=1, resolution="refund", note="asked by the customer"),
        EffectRequested(effect=_effect("refund", 3, amount_minor=4900, currency="EUR", not_after=_LATER)),
        EffectPerformed(step="refund-3", reference="re_1"),
        PaymentSettled(result="compensated"),
    ],
    "saga_from_before_there_were_policies": [
        ("payment.started", 1),
        ("payment.fact_recorded", 1),
        ("payment.deadline_passed", 1),
        ("effect.requested", 1),
        ("effect.failed", 1),
    ],
    **{
        f"every_pair_of_{provider.replace('-', '_')}": list(_every_pair(provider))
        for provider in dict.fromkeys(provider for provider, _ in LIFECYCLES)
    },
}

_OTHERS: dict[str, tuple[Category, Sequence[Step]]] = {
    "sighting": (
        "webhook",
        [WebhookSeen(source="stripe", event_id="evt_1", event_type="customer.updated", occurred_at=OCCURRED_AT)],
    ),
    "document": (
        "document",
        [
            _PUBLISHED,
            DocumentDated(document_id="refunds", changed_at=OCCURRED_AT, sequence=7),
            msgspec.structs.replace(_PUBLISHED, version=2, text="Within five days.\n", metadata={"locale": "en"}),
            DocumentWithdrawn(document_id="refunds", version=3),
            msgspec.structs.replace(_PUBLISHED, version=4, title="Money back"),
        ],
    ),
    "generations": (
        "index",
        [
            GenerationStarted(generation=1, reason="the tenant's first"),
            GenerationCaughtUp(generation=1, position=0),
            GenerationChecked(generation=1, counts={}, checksum=""),
            GenerationActivated(generation=1),
            GenerationStarted(generation=2, reason="new embedder"),
            GenerationCaughtUp(generation=2, position=812),
            GenerationChecked(generation=2, counts={"chunks": 40}, checksum="c0ffee"),
            GenerationActivated(generation=2, retires=1),
            GenerationActivated(generation=1, retires=2),
        ],
    ),
    "generations_that_are_built_beside_each_other": (
        "index",
        [
            GenerationStarted(generation=1, reason="the tenant's first", model="hashed-words/1", layout="3.3.1"),
            GenerationCaughtUp(generation=1, position=0),
            GenerationChecked(generation=1, counts={}, checksum=""),
            GenerationActivated(generation=1),
            GenerationStarted(generation=2, reason="operator", model="hashed-words/1", layout="3.3.1"),
            GenerationAbandoned(generation=2, reason="documents: 1 of 40 are missing: refunds"),
            GenerationStarted(generation=3, reason="layout 3.3.1 became 3.4.1", model="hashed-words/1", layout="3.4.1"),
            GenerationCaughtUp(generation=3, position=812),
            GenerationChecked(generation=3, counts={"passages": 40}, checksum="c0ffee"),
            GenerationActivated(generation=3, retires=1),
            GenerationRecalled(generation=1, reason="worse answers"),
            GenerationActivated(generation=1, retires=3),
            GenerationRemoved(generation=3),
        ],
    ),
    "answer_that_was_wrong": (
        "answer",
        [
            AnswerGiven(record=msgspec.structs.replace(_RECORD, basis=Basis(known_to=811, fact_positions=(811,)))),
            AnswerRepeated(given_at=_LATER, count=3),
            ("answer.invalidated", 1),
            AnswerReinstated(text="It was right."),
            AnswerInvalidated(untrue=(), text="It was not."),
        ],
    ),
    "answer_from_before_there_was_a_basis": ("answer", [("answer.given", 1), ("answer.repeated", 1)]),
    "conversation": (
        "conversation",
        [
            MessageReceived(
                message=Message(
                    message_id="m_1",
                    author="customer",
                    kind="text",
                    occurred_at=OCCURRED_AT,
                    text="Hoàn tiền chưa?",
                )
            ),
            FollowingChanged(is_following=True, occurred_at=OCCURRED_AT),
            CustomerIdentified(customer_id="cus_1"),
            MessageAnswered(message_id="m_1", answer_id="a_1", text="It failed."),
            MessageReceived(message=Message(message_id="m_2", author="business", kind="text", occurred_at=_LATER)),
            MessageDelivered(message_ids=("m_2",), occurred_at=_LATER),
            MessageSeen(message_ids=("m_2",), occurred_at=_LATER),
            FollowingChanged(is_following=False, occurred_at=_LATER),
            ErasureRequested(occurred_at=_LATER),
        ],
    ),
    "remediations": (
        "remediation",
        [
            ("remediation.began", 1),
            ("remediation.step_checked", 1),
            ("remediation.step_held", 1),
            ("remediation.step_approved", 1),
            StepStarted(run_id="r-1", step="pause-source", attempt=1, targets=("acme/stripe",)),
            StepFailed(run_id="r-1", step="pause-source", attempt=1, reason="no such source", retry_at=_LATER),
            ("remediation.step_started", 1),
            ("remediation.step_acted", 1),
            ("remediation.step_given_up", 1),
            ("remediation.step_undone", 1),
            ("remediation.ended", 1),
            ("remediation.began", 1),
            ("remediation.step_checked", 1),
            ("remediation.step_started", 1),
            ("remediation.step_acted", 1),
            ("remediation.step_verified", 1),
            RemediationEnded(run_id="r-1", outcome="recovered", at=_LATER),
            ("remediation.refused", 1),
        ],
    ),
    "cursor": ("poll", [CursorAdvanced(cursor="evt_1", messages=7), CursorAdvanced(cursor="evt_9", etag='"33a6"')]),
    "errand": (
        "effect",
        [
            EffectRequested(effect=Effect(kind="reply", due_at=RECORDED_AT, step="reply", to="c_1", text="It failed.")),
            EffectFailed(step="reply", attempts=1, retry_at=_LATER, reason="it answers 503"),
            EffectPerformed(step="reply", reference="msg-1"),
        ],
    ),
    "incident": (
        "incident",
        [
            ("incident.declared", 1),
            ("incident.signal_noted", 1),
            IncidentAcknowledged(by="automation"),
            ("incident.impact_measured", 1),
            ("incident.action_taken", 1),
            CheckMade(check="answers are right", is_passed=False, detail="one is not"),
            CheckMade(check="answers are right", is_passed=True),
            IncidentResolved(detail="verified"),
        ],
    ),
}

# Histories that came to something else when what is known of them grew: why a generation is there, and with what.
_CHANGED = {"generations": 2}

HISTORIES: Mapping[str, History] = {
    **{name: History(category="payment", steps=steps) for name, steps in _PAYMENTS.items()},
    **{
        name: History(category=category, steps=steps, number=_CHANGED.get(name, 1))
        for name, (category, steps) in _OTHERS.items()
    },
}
