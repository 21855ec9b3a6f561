"""What Zalo's events say, and what is left of them."""

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest

from domain.codec import AnyCommand
from domain.conversation import (
    Conversation,
    ConversationDecider,
    Message,
    RecordDelivered,
    RecordFollowing,
    RecordMessage,
    RecordSeen,
    RequestErasure,
)
from domain.message import Trace
from gateway.sources import zalo
from gateway.sources.port import Reading, submissions
from tests.gateway.sources.zalo_examples import (
    ACCOUNT,
    CONVERSATION,
    EXAMPLES,
    USER,
    Body,
    event,
    from_account,
    from_user,
    read,
    recorded,
    refusal,
)
from tests.spec import NOON

AT = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
KINDS = "text image gif link audio video sticker location business_card file".split()
ORDERS = 100


def told(body: Body) -> tuple[str, AnyCommand]:
    """The conversation that a message is about, and the command that it leads to."""
    (aimed,) = read(body).commands
    assert aimed.category == "conversation"
    return aimed.key, aimed.command


def test_a_text_is_a_message_of_its_sender() -> None:
    message = Message(
        message_id="m_1",
        author="customer",
        kind="text",
        occurred_at=AT,
        text="Where is my refund?",
        reply_to="m_0",
        raw="INGEST:7",
    )

    assert told(from_user(quote_msg_id="m_0")) == (CONVERSATION, RecordMessage(message=message))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_message_is_kept_without_what_is_attached(kind: str) -> None:
    secret = {"url": "https://cdn.example/1?token=s3cret", "coordinates": {"latitude": 21.02}, "description": "s3cret"}

    reading = read(from_user(kind, text="see", attachments=[{"type": kind, "payload": secret}] * 2))

    (aimed,) = reading.commands
    assert isinstance(aimed.command, RecordMessage)
    message = aimed.command.message
    assert (message.kind, message.text, message.attachments) == (kind, "see", (kind, kind))
    assert b"s3cret" not in msgspec.json.encode(reading)


@pytest.mark.parametrize("attachment", [{}, {"type": "Nguyễn Văn A"}, {"type": "https://cdn.example"}, {"type": ""}])
def test_a_type_that_is_none_says_nothing(attachment: Body) -> None:
    _, command = told(from_user("file", attachments=[attachment]))

    assert isinstance(command, RecordMessage)
    assert command.message.attachments == ("other",)


def test_what_the_account_sends_is_a_message_in_the_users_conversation() -> None:
    key, command = told(from_account("oa_send_text", msg_id="o_1", text="It was refunded."))

    assert key == CONVERSATION
    assert isinstance(command, RecordMessage)
    assert (command.message.author, command.message.text) == ("business", "It was refunded.")


@pytest.mark.parametrize("event_name", ["anonymous_send_text", "oa_send_anonymous_text"])
def test_somebody_who_is_not_logged_in_is_known_by_the_conversation(event_name: str) -> None:
    body = event(
        event_name, sender={"id": USER}, recipient={"id": USER}, message={"msg_id": "m_1", "conversation_id": "c_1"}
    )

    assert told(body)[0] == "zalo:anonymous:c_1"


def test_receipts_are_about_messages_of_the_account() -> None:
    seen = from_account("user_seen_message", msg_ids=["o_1", "o_2"])
    delivered = from_account("user_received_message", msg_id="o_1")

    assert told(seen) == (CONVERSATION, RecordSeen(message_ids=("o_1", "o_2"), occurred_at=AT))
    assert told(delivered) == (CONVERSATION, RecordDelivered(message_ids=("o_1",), occurred_at=AT))


@pytest.mark.parametrize("who", [{"follower": {"id": USER}}, {"sender": {"id": USER}, "recipient": {"id": ACCOUNT}}])
@pytest.mark.parametrize(("event_name", "is_following"), [("follow", True), ("unfollow", False)])
def test_a_follower_comes_and_goes(event_name: str, who: Body, *, is_following: bool) -> None:
    assert told(event(event_name, **who)) == (
        CONVERSATION,
        RecordFollowing(is_following=is_following, occurred_at=AT),
    )


def test_a_withdrawal_is_a_request_for_erasure() -> None:
    assert told(event("user_withdraw", user_id=USER)) == (CONVERSATION, RequestErasure(occurred_at=AT))


@pytest.mark.parametrize(
    ("event_name", "fields"),
    [
        ("user_submit_info", {"info": {"name": "Nguyễn Văn A", "phone": "0912345678"}, "sender": {"id": USER}}),
        ("user_send_group_text", {"sender": {"id": USER}, "message": {"msg_id": "m_1", "text": "Nguyễn Văn A"}}),
        ("oa_send_consent", {"phone": "0912345678"}),
        ("user_reacted_message", {"message": {"msg_id": "o_1", "react_icon": "/-heart"}}),
        ("something_new", {"message": "of another shape", "sender": 7}),
    ],
)
def test_what_is_no_message_between_two_is_seen_and_its_content_is_not_kept(event_name: str, fields: Body) -> None:
    reading = read(event(event_name, **fields))

    assert reading.commands == ()
    assert reading.sighting is not None
    assert (reading.sighting.event_type, reading.sighting.occurred_at) == (event_name, AT)
    assert "Nguyễn" not in msgspec.json.encode(reading).decode()
    assert b"0912345678" not in msgspec.json.encode(reading)


def test_an_event_without_an_id_is_known_by_its_bytes() -> None:
    tagged, other = (event("add_user_to_tag", tag={"user_ids": [USER], "name": name}) for name in ("VIP", "new"))

    assert read(tagged).event_id == read(tagged).event_id != read(other).event_id


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        ("1772366400123", AT),
        (1772366400123, AT),
        ("154390853474", datetime(1974, 11, 22, 22, 20, 53, 474_000, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_milliseconds_as_text(timestamp: str | int, at: datetime) -> None:
    _, command = told({**from_user(), "timestamp": timestamp})

    assert isinstance(command, RecordMessage)
    assert command.message.occurred_at == at


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        ({"timestamp": "soon"}, "event.time_out_of_range"),
        ({"timestamp": "-1"}, "event.time_out_of_range"),
        ({"timestamp": "999999999999999"}, "event.time_out_of_range"),
        ({"timestamp": "1" * 5000}, "event.time_out_of_range"),
        ({"timestamp": True}, "body.wrong_shape"),
        ({"event_name": "user send text"}, "event.type_malformed"),
        ({"event_name": None}, "body.wrong_shape"),
        ({"sender": {"id": ""}}, "event.id_malformed"),
        ({"sender": {"id": "../1"}}, "event.id_malformed"),
        ({"sender": {"id": "1" * 200}}, "event.id_malformed"),
        ({"sender": {"id": 7}}, "body.wrong_shape"),
        ({"message": None}, "body.wrong_shape"),
        ({"message": {"mid": "m_1", "text": "as some describe it"}}, "event.id_malformed"),
        ({"message": {"msg_id": "m_1", "text": "x" * 10_001}}, "event.text_too_long"),
        ({"message": {"msg_id": "m_1", "attachments": [{}] * 201}}, "event.too_many_parts"),
        ({"message": {"msg_id": "m_1", "text": "x", "quote_msg_id": "m 0"}}, "event.id_malformed"),
    ],
    ids=str,
)
def test_what_cannot_be_believed_is_refused(spoilt: Body, code: str) -> None:
    assert refusal({**from_user(), **spoilt}).code == code


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        ({}, "event.id_malformed"),
        ({"msg_ids": []}, "event.id_malformed"),
        ({"msg_ids": ["o_1", ""]}, "event.id_malformed"),
        ({"msg_ids": ["o_1"] * 201}, "event.too_many_parts"),
    ],
    ids=str,
)
def test_a_receipt_for_nothing_is_refused(receipt: Body, code: str) -> None:
    assert refusal(from_account("user_seen_message", **receipt)).code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "body.not_json"),
        (b"\xff", "body.not_utf8"),
        (b"[]", "body.wrong_shape"),
        (b'{"message":' + b"[" * 10_000, "body.too_deep"),
    ],
)
def test_what_is_no_event_is_refused(body: bytes, code: str) -> None:
    assert zalo.read(body, headers={}, ref="").code == code  # type: ignore[union-attr] # it is unreadable


def test_recorded_events_are_read() -> None:
    found: dict[str, Any] = {}
    for path in recorded("events/*.json"):
        (aimed,) = read(json.loads(path.read_bytes())).commands
        assert isinstance(aimed.command, RecordMessage)
        found[path.stem] = (aimed.key, aimed.command.message.message_id, aimed.command.message.text)
    assert found == {
        "user_send_image--go-test": ("zalo:2512523625412515", "96d3cdf3af150460909", "photo"),
        "user_send_text--a4b": ("zalo:6142494823xxxxxxxx", "cb31dff1c39642cc1b83", "Chào A4B"),
        "user_send_text--captured": ("zalo:2651040744560330253", "1d19cfb48434f168a827", "Y"),
        "user_send_text--official-doc": ("zalo:246845883529197922", "96d3cdf3af150460909", "message"),
    }


def test_messages_as_a_third_party_describes_them_have_no_id_and_are_refused() -> None:
    for path in recorded("events-n8n-mochi/*user_send_*.json"):
        assert refusal(json.loads(path.read_bytes())).code == "event.id_malformed"
    for path in recorded("events-n8n-mochi/*follow.json"):
        assert told(json.loads(path.read_bytes()))[0] == "zalo:zalo_user_id"


def conversations(readings: list[Reading]) -> dict[str, Conversation]:
    """Where the streams of conversations end that are told in this order."""
    decider, states = ConversationDecider(), dict[str, Conversation]()
    for reading in readings:
        for submission in submissions("acme", reading, source="zalo", trace=Trace()):
            command = submission.command
            if submission.stream.startswith("conversation:"):
                state = states.get(submission.stream, decider.initial())
                for happened in decider.decide(state, command, NOON):  # type: ignore[arg-type] # by its stream
                    state = decider.evolve(state, happened)
                states[submission.stream] = state
    return states


def test_any_order_with_any_repeats_ends_in_the_same_conversations() -> None:
    readings = [read(each) for each in EXAMPLES[:1] + EXAMPLES[3:]]
    expected = conversations(readings)
    assert set(expected) == {f"conversation:acme/{CONVERSATION}", "conversation:acme/zalo:anonymous:c_1"}
    for seed in range(ORDERS):
        random = Random(seed)
        again = random.sample(readings, 3)
        assert conversations(random.sample([*readings, *again], len(readings) + 3)) == expected, f"seed {seed}"
