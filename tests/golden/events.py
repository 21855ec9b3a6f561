"""One event of every tag and schema, every field told, as it must be read for good.

A new event, or a new schema of one, gets an entry here and its bytes by `python -m tests.golden.write`. The entry of
an older schema says what today's upcasters make of it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from domain.answer import (
    AnswerGiven,
    AnswerInvalidated,
    AnswerRecord,
    AnswerReinstated,
    AnswerRepeated,
    CitedDocument,
    CitedFact,
    StatedPart,
    StatedPayment,
    Untruth,
)
from domain.codec import AnyEvent, Envelope
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
from domain.incident import (
    ActionTaken,
    CheckMade,
    Impact,
    ImpactMeasured,
    IncidentAcknowledged,
    IncidentDeclared,
    IncidentResolved,
    Signal,
    SignalNoted,
)
from domain.index_generation import (
    GenerationAbandoned,
    GenerationActivated,
    GenerationCaughtUp,
    GenerationChecked,
    GenerationRecalled,
    GenerationRemoved,
    GenerationStarted,
)
from domain.message import Trace
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
from domain.remediation import (
    RemediationBegan,
    RemediationEnded,
    RemediationRefused,
    StepActed,
    StepApproved,
    StepChecked,
    StepFailed,
    StepGivenUp,
    StepHeld,
    StepStarted,
    StepUndone,
    StepVerified,
)
from domain.runbook import Step
from domain.webhook import WebhookSeen

OCCURRED_AT = datetime(2026, 2, 27, 23, 59, 59, tzinfo=UTC)
RECORDED_AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)

_FACT = Fact(
    fact_id="stripe:evt_1",
    provider="stripe",
    payment_id="pi_1",
    object="refund:re_1",
    status="failed",
    occurred_at=OCCURRED_AT,
    source="pull",
    sequence=3,
    amount_minor=1900,
    currency="EUR",
    authorized_minor=4900,
    captured_minor=4800,
    refunded_minor=4700,
    customer_id="cus_1",
    reason="expired_or_canceled_card",
    refers_to=("charge:ch_1", "intent"),
    raw="INGEST/71",
)
_PART = StatedPart(id="re_1", status="failed", amount_minor=1900)
_RECORD = AnswerRecord(
    answer_id="0195f0c1-8a31-7c41-9b7e-5a3e6c1d2f00",
    question="Wo bleibt meine Rückerstattung? \N{EURO SIGN}",
    intent="refund_status",
    answer="The refund of 19.00 EUR failed.",
    customer_id="cus_1",
    abstained=True,
    stated=(
        StatedPayment(
            payment_id="pi_1",
            status="captured",
            amount_minor=4900,
            currency="EUR",
            refunded_minor=300,
            refunds=(_PART,),
            disputes=(StatedPart(id="dp_1", status="lost", amount_minor=4900),),
        ),
    ),
    fact_ids=("stripe:evt_1", "stripe:evt_2"),
    documents=(CitedDocument(document_id="refunds", version=3),),
    position=812,
    generation=4,
    as_of=OCCURRED_AT,
    given_at=RECORDED_AT,
    composer="model/2",
)
_SAID = StatedPayment(
    payment_id="pi_1",
    status="captured",
    amount_minor=4900,
    currency="EUR",
    refunded_minor=1900,
    refunds=(StatedPart(id="re_1", status="succeeded", amount_minor=1900),),
    disputes=(StatedPart(id="dp_1", status="open", amount_minor=4900),),
    captured_minor=4900,
    payouts=(StatedPart(id="po_1", status="paid", amount_minor=4800),),
)
_UNTRUE = Untruth(
    said=_SAID,
    so=msgspec.structs.replace(_SAID, refunded_minor=300, refunds=(_PART,)),
    fields=("refunded_minor", "refunds"),
    as_of=OCCURRED_AT,
    given_at=RECORDED_AT,
    facts=(CitedFact(fact_id="stripe:evt_1", position=811),),
)


_SIGNAL = Signal(watch="view check", subject="acme", detail="7 payments are not what the log says", seen_at=OCCURRED_AT)


def _envelope(event: AnyEvent, schema: int = 1) -> Envelope:
    return Envelope(
        event=event,
        recorded_at=RECORDED_AT,
        command_id="stripe:evt_1",
        commit="c-0195f0c1",
        epoch=7,
        schema=schema,
        trace=Trace(correlation_id="r-1", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    )


_STEP = Step(
    name="pause-source",
    check="source_spoilt",
    act="pause_source",
    verify="source_spoilt",
    undo="resume_source",
    attempts_max=3,
    cool_down_s=7.5,
    verify_s=45.0,
    targets_max=4,
    is_irreversible=True,
)
_OF_STEP = {"run_id": "r-1", "step": "pause-source"}
_REMEDIATION: Mapping[tuple[str, int], Envelope] = {
    ("remediation.began", 1): _envelope(
        RemediationBegan(
            run_id="r-1",
            runbook="quarantine-grows",
            trigger="page-quick of ingestion-validity fires",
            at=OCCURRED_AT,
            steps=(_STEP,),
            targets=("acme/stripe",),
            asks=True,
        )
    ),
    ("remediation.refused", 1): _envelope(
        RemediationRefused(
            run_id="r-2", runbook="broker-deaf", trigger="broker_deaf", at=OCCURRED_AT, reason="3 runs within 3600 s"
        )
    ),
    ("remediation.step_checked", 1): _envelope(
        StepChecked(**_OF_STEP, found="41 of 50 were put aside", targets=("acme/stripe",))
    ),
    ("remediation.step_held", 1): _envelope(StepHeld(**_OF_STEP, reason="it cannot be taken back")),
    ("remediation.step_approved", 1): _envelope(StepApproved(**_OF_STEP, by="on-call")),
    ("remediation.step_started", 1): _envelope(StepStarted(**_OF_STEP, attempt=2, targets=("acme/stripe",))),
    ("remediation.step_acted", 1): _envelope(StepActed(**_OF_STEP, found="paused for 900 s", verify_until=OCCURRED_AT)),
    ("remediation.step_failed", 1): _envelope(
        StepFailed(**_OF_STEP, attempt=2, reason="it did not help", retry_at=OCCURRED_AT)
    ),
    ("remediation.step_given_up", 1): _envelope(StepGivenUp(**_OF_STEP, reason="it did not help")),
    ("remediation.step_verified", 1): _envelope(StepVerified(**_OF_STEP, found="nothing of it is left")),
    ("remediation.step_undone", 1): _envelope(StepUndone(**_OF_STEP, is_done=True, found="resumed")),
    ("remediation.ended", 1): _envelope(
        RemediationEnded(run_id="r-1", outcome="escalated", at=OCCURRED_AT, reason="pause-source did not help")
    ),
}

# (tag, schema of the bytes) -> what is read from them today.
EXPECTED: Mapping[tuple[str, int], Envelope] = {
    ("payment.started", 1): _envelope(
        PaymentStarted(
            payment_id="pi_1", amount_minor=4900, currency="EUR", deadline_at=RECORDED_AT, customer_id="cus_1"
        )
    ),
    ("payment.fact_recorded", 1): _envelope(FactRecorded(fact=_FACT)),
    ("payment.linked", 1): _envelope(PaymentLinked(payment_id="pi_1")),
    ("payment.deadline_passed", 1): _envelope(DeadlinePassed(deadline_at=RECORDED_AT)),
    ("payment.deadline_extended", 1): _envelope(DeadlineExtended(deadline_at=RECORDED_AT)),
    ("payment.compensation_began", 1): _envelope(CompensationBegan(kind="void")),
    ("payment.escalated", 1): _envelope(
        PaymentEscalated(number=2, reason="refund_failed", detail="the account cannot be refunded to")
    ),
    ("payment.escalation_resolved", 1): _envelope(
        EscalationResolved(number=2, resolution="close", note="refunded by bank transfer")
    ),
    ("payment.settled", 1): _envelope(PaymentSettled(result="compensated")),
    ("effect.requested", 1): _envelope(
        EffectRequested(
            effect=Effect(
                kind="refund",
                due_at=RECORDED_AT,
                step="refund-2",
                key="5f1c",
                tenant="acme",
                payment_id="pi_1",
                provider="stripe",
                amount_minor=4900,
                currency="EUR",
                to="conversation-1",
                topic="answer.invalidated",
                text="It failed.",
                reason="cancel",
                not_after=OCCURRED_AT,
                attempts_max=3,
            )
        )
    ),
    ("effect.performed", 1): _envelope(EffectPerformed(step="reply", reference="msg-1")),
    ("effect.failed", 1): _envelope(
        EffectFailed(step="refund-2", attempts=2, retry_at=OCCURRED_AT, reason="it answers 503")
    ),
    ("effect.given_up", 1): _envelope(EffectGivenUp(step="refund-2", reason="it answers 402")),
    ("webhook.seen", 1): _envelope(
        WebhookSeen(
            source="stripe", event_id="evt_1", event_type="customer.updated", occurred_at=OCCURRED_AT, raw="INGEST/72"
        )
    ),
    ("poll.cursor_advanced", 1): _envelope(CursorAdvanced(cursor="evt_1", etag='"33a64df5"', messages=7)),
    **_REMEDIATION,
    ("document.published", 1): _envelope(
        DocumentPublished(
            document_id="refunds",
            version=3,
            title="Refunds",
            text="Within five days.\n",
            metadata={"locale": "en", "kind": "policy"},
        )
    ),
    ("document.withdrawn", 1): _envelope(DocumentWithdrawn(document_id="refunds", version=4)),
    ("document.dated", 1): _envelope(DocumentDated(document_id="refunds", changed_at=OCCURRED_AT, sequence=24023128)),
    ("index.generation_started", 1): _envelope(GenerationStarted(generation=2, reason="new embedder")),
    ("index.generation_caught_up", 1): _envelope(GenerationCaughtUp(generation=2, position=812)),
    ("index.generation_checked", 1): _envelope(
        GenerationChecked(generation=2, counts={"chunks": 40, "conversations": 0}, checksum="c0ffee")
    ),
    ("index.generation_activated", 1): _envelope(GenerationActivated(generation=2, retires=1)),
    ("index.generation_recalled", 1): _envelope(GenerationRecalled(generation=1, reason="worse answers")),
    ("index.generation_abandoned", 1): _envelope(GenerationAbandoned(generation=3, reason="passages: 39 of 40")),
    ("index.generation_removed", 1): _envelope(GenerationRemoved(generation=1)),
    ("answer.given", 1): _envelope(AnswerGiven(record=_RECORD)),
    ("answer.repeated", 1): _envelope(AnswerRepeated(given_at=RECORDED_AT, count=3)),
    ("answer.invalidated", 1): _envelope(
        AnswerInvalidated(untrue=(_UNTRUE,), text="We told you on 1 March 2026 that it was sent. It was not.")
    ),
    ("answer.reinstated", 1): _envelope(AnswerReinstated(text="What we told you on 1 March 2026 was right.")),
    ("conversation.message_received", 1): _envelope(
        MessageReceived(
            message=Message(
                message_id="cb31dff1c39642cc1b83",
                author="customer",
                kind="image",
                occurred_at=OCCURRED_AT,
                text="Hoàn tiền chưa?",
                attachments=("image", "link"),
                reply_to="96d3cdf3af150460909",
                raw="INGEST:73",
            )
        )
    ),
    ("conversation.message_delivered", 1): _envelope(
        MessageDelivered(message_ids=("m_1", "m_2"), occurred_at=OCCURRED_AT)
    ),
    ("conversation.message_seen", 1): _envelope(MessageSeen(message_ids=("m_1", "m_2"), occurred_at=OCCURRED_AT)),
    ("conversation.following_changed", 1): _envelope(FollowingChanged(is_following=False, occurred_at=OCCURRED_AT)),
    ("conversation.erasure_requested", 1): _envelope(ErasureRequested(occurred_at=OCCURRED_AT)),
    ("conversation.customer_identified", 1): _envelope(CustomerIdentified(customer_id="cus_1")),
    ("conversation.message_answered", 1): _envelope(
        MessageAnswered(
            message_id="cb31dff1c39642cc1b83",
            answer_id="0195f0c1-8a31-7c41-9b7e-5a3e6c1d2f00",
            text="I do not know of a payment pi_1.",
            abstained=True,
        )
    ),
    ("incident.declared", 1): _envelope(IncidentDeclared(severity="sev2", signal=_SIGNAL)),
    ("incident.signal_noted", 1): _envelope(SignalNoted(signal=_SIGNAL)),
    ("incident.acknowledged", 1): _envelope(IncidentAcknowledged(by="automation")),
    ("incident.impact_measured", 1): _envelope(
        ImpactMeasured(
            impact=Impact(
                answers=812,
                wrong=41,
                unknown=12,
                unanswered=7,
                customers=19,
                payments=22,
                misstated_minor={"EUR": 41_900},
                at_risk_minor={"EUR": 14_700},
                budget_burnt={"answer-accuracy": 1.41},
            )
        )
    ),
    ("incident.action_taken", 1): _envelope(
        ActionTaken(action="rebuild view", subject="acme", outcome="failed", detail="its host is away", by="on call")
    ),
    ("incident.check_made", 1): _envelope(
        CheckMade(check="views are what the log says", is_passed=True, detail="of 812 payments each")
    ),
    ("incident.resolved", 1): _envelope(IncidentResolved(detail="verified against the provider's books")),
}
