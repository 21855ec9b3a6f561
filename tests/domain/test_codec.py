"""Bytes and structs, both ways; what no schema wrote is refused; what an old one wrote is lifted."""

from typing import Any, get_args

import msgspec
import pytest

from domain.answer import JudgeAnswer, RecordAnswer, RecordRepeat
from domain.codec import (
    EVENT_TYPES,
    AnyCommand,
    AnyEvent,
    Submission,
    Upcaster,
    decode_envelope,
    decode_replies,
    decode_submissions,
    encode_envelope,
    encode_replies,
    encode_submissions,
    tag_of,
)
from domain.conversation import (
    AnswerMessage,
    IdentifyCustomer,
    RecordDelivered,
    RecordFollowing,
    RecordMessage,
    RecordSeen,
    RequestErasure,
)
from domain.document import DocumentWithdrawn, PutDocument, WithdrawDocument
from domain.effects import RecordEffectOutcome, RequestEffect
from domain.errors import Rejection
from domain.ids import stream_id
from domain.incident import (
    AcknowledgeIncident,
    DeclareIncident,
    Impact,
    RecordAction,
    RecordImpact,
    RecordIncidentCheck,
    ResolveIncident,
    Signal,
)
from domain.index_generation import (
    AbandonGeneration,
    ActivateGeneration,
    RecallGeneration,
    RemoveGeneration,
    ReportCaughtUp,
    ReportChecked,
    StartGeneration,
)
from domain.message import Accepted, Event, Failed, Rejected, Reply, Trace, Unchanged
from domain.payment_policy import Policy
from domain.payment_saga import (
    LinkPayment,
    PassDeadline,
    PaymentLinked,
    RecordFact,
    ResolveEscalation,
    StartPayment,
)
from domain.polling import AdvanceCursor
from domain.remediation import (
    ApproveStep,
    BeginRemediation,
    DeclineStep,
    RecordAct,
    RecordCheck,
    RecordUndo,
    RecordVerification,
    StartStep,
)
from domain.runbook import RUNBOOKS, Limits
from domain.webhook import RecordSighting
from tests.domain.examples import at, fact
from tests.golden.events import EXPECTED

COMMANDS: list[AnyCommand] = [
    StartPayment(payment_id="pi_1", amount_minor=4900, currency="EUR", deadline_at=at(600)),
    RecordFact(fact=fact("stripe:evt_1", "intent", "captured", 1, refers_to=("charge:ch_1",), sequence=2)),
    StartPayment(
        payment_id="pi_2",
        amount_minor=1,
        currency="EUR",
        deadline_at=at(600),
        provider="stripe",
        policy=Policy(on_timeout="void", wait_s=1.5),
    ),
    LinkPayment(payment_id="pi_1"),
    PassDeadline(),
    ResolveEscalation(number=1, resolution="refund", note="by phone"),
    RequestEffect(effect=EXPECTED["effect.requested", 1].event.effect),  # type: ignore[union-attr] # the tag says which
    RecordEffectOutcome(
        step="refund-2",
        outcome="failed",
        facts=(fact("stripe:evt_2", "refund:re_1", "failed", 1),),
        reason="it answers 503",
        retry_at=at(60),
    ),
    AdvanceCursor(before="evt_1", after="evt_2", etag='"33a64df5"', messages=7),
    RecordSighting(source="stripe", event_id="evt_1", event_type="customer.updated", occurred_at=at(1)),
    PutDocument(document_id="refunds", title="Refunds", text="Within five days.", metadata={"locale": "en"}),
    WithdrawDocument(),
    StartGeneration(generation=1, reason="first", model="all-MiniLM-L6-v2", layout="3.3.1"),
    ReportCaughtUp(generation=1, position=812),
    ReportChecked(generation=1, counts={"chunks": 40}, checksum="c0ffee"),
    ActivateGeneration(generation=1),
    RecallGeneration(reason="worse answers"),
    AbandonGeneration(generation=2, reason="2 passages are missing"),
    RemoveGeneration(generation=1),
    RecordAnswer(record=EXPECTED["answer.given", 1].event.record),  # type: ignore[union-attr] # the tag says which
    RecordRepeat(given_at=at(9), count=2),
    JudgeAnswer(text="We told you that it was refunded."),
    RecordMessage(message=EXPECTED["conversation.message_received", 1].event.message),  # type: ignore[union-attr] # the same
    RecordDelivered(message_ids=("m_1",), occurred_at=at(1)),
    RecordSeen(message_ids=("m_1", "m_2"), occurred_at=at(2)),
    RecordFollowing(is_following=True, occurred_at=at(3)),
    RequestErasure(occurred_at=at(4)),
    IdentifyCustomer(customer_id="cus_1"),
    AnswerMessage(message_id="m_1", answer_id="a_1", text="It failed.", abstained=True),
    BeginRemediation(run_id="r-1", trigger="by hand", runbook=RUNBOOKS[0], limits=Limits(asks=True), targets=("nats",)),
    RecordCheck(run_id="r-1", step="restart-broker", targets=("nats",), found="it is deaf"),
    ApproveStep(run_id="r-1", step="restart-broker", by="on-call"),
    DeclineStep(run_id="r-1", step="restart-broker", by="on-call"),
    StartStep(run_id="r-1", step="restart-broker"),
    RecordAct(run_id="r-1", step="restart-broker", is_done=True, found="restarted"),
    RecordVerification(run_id="r-1", step="restart-broker", is_well=True, found="it takes messages"),
    RecordUndo(run_id="r-1", step="restart-broker", is_done=True, found="taken back"),
    DeclareIncident(severity="sev2", signal=Signal(watch="host", subject="h-1", detail="is silent", seen_at=at(1))),
    AcknowledgeIncident(by="automation"),
    RecordImpact(impact=Impact(answers=9, wrong=2, unknown=0, unanswered=1, customers=1, payments=1)),
    RecordAction(action="restart host", subject="h-1", outcome="done"),
    RecordIncidentCheck(check="hosts answer", is_passed=True),
    ResolveIncident(detail="verified"),
]


@pytest.mark.parametrize("envelope", EXPECTED.values(), ids=lambda each: tag_of(type(each.event)))
def test_every_event_comes_back_as_it_was(envelope: Any) -> None:
    tag, encoded = encode_envelope(envelope)

    assert decode_envelope(encoded) == envelope
    assert EVENT_TYPES[tag] is type(envelope.event)


def test_every_command_comes_back_as_it_was() -> None:
    stream = stream_id("payment", "acme", "pi_1")
    batch = [
        Submission(stream=stream, command=each, command_id="c-1", trace=Trace(correlation_id="r-1"))
        for each in COMMANDS
    ]

    assert {type(each) for each in COMMANDS} == set(get_args(AnyCommand))
    assert decode_submissions(encode_submissions(batch)) == batch


def test_every_reply_comes_back_as_it_was() -> None:
    replies: list[Reply] = [
        Accepted(version=3, position=812),
        Unchanged(version=3),
        Rejected.of(Rejection("document.empty", "a document needs text")),
        Failed(reason="the log is locked", retryable=True),
    ]

    assert {type(each) for each in replies} == set(get_args(Reply))
    assert decode_replies(encode_replies(replies)) == replies


def test_every_event_has_a_tag_of_its_own() -> None:
    assert len(EVENT_TYPES) == len(get_args(AnyEvent))


def test_an_event_without_a_tag_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(AssertionError, match="Event has no tag"):
        tag_of(Event)


# What cannot be read.

LINKED = EXPECTED["payment.linked", 1]
_, LINKED_BYTES = encode_envelope(LINKED)


def lift(fields: dict[str, Any]) -> dict[str, Any]:
    """An upcaster that has nothing to do."""
    return fields


TABLES: list[dict[tuple[str, int], Upcaster]] = [{}, {("payment.linked", 1): lift}]


UNREADABLE = {
    "nothing": b"",
    "no MessagePack": b"\xc1",
    "cut short": LINKED_BYTES[:-1],
    "too long": LINKED_BYTES + b"\x00",
    **{
        name: msgspec.msgpack.encode(stored)
        for name, stored in {
            "no map": [1, 2],
            "no fields": {},
            "no event": {"event": None, "recorded_at": at(0)},
            "no tag": {"event": {"payment_id": "pi_1"}, "recorded_at": at(0)},
            "a tag that is no text": {
                "event": {"type": ["payment.linked"], "payment_id": "pi_1"},
                "recorded_at": at(0),
            },
            "an unknown tag": {"event": {"type": "payment.vanished"}, "recorded_at": at(0)},
            "a field that is missing": {"event": {"type": "payment.linked"}, "recorded_at": at(0)},
            "a field of another type": {"event": {"type": "payment.linked", "payment_id": 1}, "recorded_at": at(0)},
            "no time": {"event": {"type": "payment.linked", "payment_id": "pi_1"}},
        }.items()
    },
}


@pytest.mark.parametrize("table", TABLES, ids=["no upcasters", "with upcasters"])
@pytest.mark.parametrize("stored", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_no_schema_wrote_is_refused(stored: bytes, table: dict[tuple[str, int], Upcaster]) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_envelope(stored, table)


# What an old schema wrote.


def stored_in_schema(schema: int, **fields: Any) -> bytes:
    return msgspec.msgpack.encode({"event": fields, "recorded_at": at(0), "schema": schema, "epoch": 3})


def name_the_payment(fields: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 called it `target`."""
    return {"type": fields["type"], "payment": fields["target"]}


def name_it_by_id(fields: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 called it `payment`."""
    return {"type": fields["type"], "payment_id": fields["payment"]}


UPCASTERS: dict[tuple[str, int], Upcaster] = {
    ("payment.linked", 1): name_the_payment,
    ("payment.linked", 2): name_it_by_id,
}


@pytest.mark.parametrize(
    "stored",
    [
        stored_in_schema(1, type="payment.linked", target="pi_1"),
        stored_in_schema(2, type="payment.linked", payment="pi_1"),
        stored_in_schema(3, type="payment.linked", payment_id="pi_1"),
        msgspec.msgpack.encode(
            {"event": {"type": "payment.linked", "target": "pi_1"}, "recorded_at": at(0), "epoch": 3}
        ),
    ],
    ids=["schema 1", "schema 2", "schema 3", "schema not told"],
)
def test_an_event_is_lifted_step_by_step_to_todays_schema(stored: bytes) -> None:
    envelope = decode_envelope(stored, UPCASTERS)

    assert envelope.event == PaymentLinked(payment_id="pi_1")
    assert (envelope.schema, envelope.epoch, envelope.recorded_at) == (3, 3, at(0))


def test_an_event_that_was_lifted_is_written_in_todays_schema() -> None:
    lifted = decode_envelope(stored_in_schema(1, type="payment.linked", target="pi_1"), UPCASTERS)
    _, encoded = encode_envelope(lifted, UPCASTERS)

    assert decode_envelope(encoded, UPCASTERS) == lifted


def test_a_new_event_is_written_in_todays_schema_and_never_lifted() -> None:
    _, encoded = encode_envelope(LINKED, UPCASTERS)

    assert decode_envelope(encoded, UPCASTERS) == msgspec.structs.replace(LINKED, schema=3)


def test_upcasters_of_one_event_leave_the_others_as_they_are() -> None:
    withdrawn = DocumentWithdrawn(document_id="refunds", version=2)
    envelope = msgspec.structs.replace(LINKED, event=withdrawn)
    _, encoded = encode_envelope(envelope)

    assert decode_envelope(encoded, UPCASTERS) == envelope


@pytest.mark.parametrize("envelope", EXPECTED.values(), ids=lambda each: tag_of(type(each.event)))
def test_an_event_reads_the_same_with_and_without_upcasters_of_others(envelope: Any) -> None:
    _, encoded = encode_envelope(envelope)

    assert decode_envelope(encoded, {("answer.vanished", 1): lift}) == envelope
