"""What the Balance Platform's webhooks mean in our words."""

import json
from datetime import UTC, datetime

import pytest

from domain.fact import Fact
from domain.lifecycle import LIFECYCLES
from gateway.sources import adyen_platform
from gateway.sources.port import Reading, Unreadable
from tests.gateway.sources.adyen_examples import published
from tests.gateway.sources.adyen_platform_examples import Body, fact, reading, refusal, transfer, webhook
from tests.gateway.sources.conformance import Message, views

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_transfer_that_goes_out_is_a_payout() -> None:
    assert fact(webhook(transfer(3, "booked"))) == Fact(
        fact_id="adyen-platform:6JKRLZ8LOT47J7RY:3",
        provider="adyen-platform",
        payment_id="6JKRLZ8LOT47J7RY",
        object="payout:6JKRLZ8LOT47J7RY",
        status="paid",
        occurred_at=NOON,
        sequence=3,
        amount_minor=10_000,
        currency="EUR",
        customer_id="AH00000000000000000000001",
        raw="INGEST:7",
    )


def test_a_transfer_that_comes_in_is_a_payment() -> None:
    found = fact(webhook(transfer(3, "captured", "incoming")))
    assert (found.object, found.status, found.captured_minor) == ("intent", "captured", 10_000)
    assert fact(webhook(transfer(2, "authorised", "incoming"))).authorized_minor == 10_000


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1, 2)])
def test_the_sequence_orders_what_the_clocks_do_not(order: tuple[int, ...]) -> None:
    states = {1: "received", 2: "authorised", 3: "booked"}
    days = {1: "2026-03-09", 2: "2026-03-05", 3: "2026-03-01"}
    messages = [
        Message(
            raw=webhook(
                transfer(
                    number,
                    states[number],
                    events=[{"status": states[number], "bookingDate": f"{days[number]}T00:00:00Z"}],
                )
            )
        )
        for number in order
    ]
    (found,) = views(adyen_platform, messages).values()
    assert (found.status, found.payouts[0].status, found.certainty) == ("captured", "paid", "certain")


def test_what_was_booked_may_be_returned() -> None:
    found = fact(webhook(transfer(4, "returned", reason="accountClosed")))
    assert (found.status, found.reason) == ("failed", "accountClosed")


def test_a_state_without_a_number_is_named_by_its_bytes() -> None:
    first, other = webhook(transfer(None)), webhook(transfer(None, "authorised"))
    assert fact(first) == fact(first)
    assert fact(first).fact_id != fact(other).fact_id
    assert fact(first).sequence is None


@pytest.mark.parametrize(
    ("raw", "at"),
    [
        (webhook(transfer()), NOON),
        (webhook(transfer(events=[])), NOON.replace(second=5)),
        (
            webhook(transfer(status="authorised", events=[{"status": "received", "bookingDate": "x"}])),
            NOON.replace(second=5),
        ),
        (webhook(transfer(events=[], creationDate="2026-03-01T11:00:00Z"), timestamp=None), NOON.replace(hour=11)),
    ],
)
def test_a_state_was_reached_when_it_was_booked_or_else_told(raw: bytes, at: datetime) -> None:
    assert fact(raw).occurred_at == at


def test_anything_but_a_transfer_is_seen() -> None:
    raw = webhook({"id": "report.csv"}, "balancePlatform.report.created")
    sighting = reading(raw).sighting
    assert sighting is not None
    assert (sighting.source, sighting.event_type) == ("adyen-platform", "balancePlatform.report.created")
    assert reading(raw) == reading(raw)
    assert reading(webhook(transfer(2, "refunded"))).sighting is not None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"id": "a/b"}, "event.id_malformed"),
        ({"direction": "sideways"}, "event.unknown_direction"),
        ({"sequenceNumber": -1}, "event.sequence_malformed"),
        ({"sequenceNumber": 2**31}, "event.sequence_malformed"),
        ({"sequenceNumber": "1"}, "event.wrong_shape"),
        ({"amount": {"value": -1, "currency": "EUR"}}, "event.amount_out_of_range"),
        ({"events": [{"status": "received", "bookingDate": "soon"}]}, "event.time_malformed"),
        ({"status": None}, "event.wrong_shape"),
    ],
)
def test_a_transfer_that_cannot_be_believed_is_refused(fields: Body, code: str) -> None:
    assert refusal(webhook(transfer(**fields))).code == code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "body.not_json"),
        (b"\xff", "body.not_utf8"),
        (b"[]", "body.wrong_shape"),
        (b'{"notificationResponse": "[accepted]"}', "body.wrong_shape"),
        (b'{"type": "x", "data": ' + b"[" * 100_000, "body.too_deep"),
        (webhook({}, "no type"), "event.type_malformed"),
        (webhook({}, "balancePlatform.report.created", timestamp=None), "event.time_missing"),
    ],
)
def test_what_is_no_webhook_is_refused(raw: bytes, code: str) -> None:
    assert refusal(raw).code == code


def test_every_status_that_is_said_has_its_row_of_legal_moves() -> None:
    assert set(adyen_platform._OUT.values()) == LIFECYCLES["adyen-platform", "payout"].moves.keys()
    assert set(adyen_platform._IN.values()) == LIFECYCLES["adyen-platform", "intent"].moves.keys()


def test_every_published_webhook_is_a_fact_a_sighting_or_refused_for_a_known_reason() -> None:
    files = [path for path in published("openapi-examples/*.json") if b'"notificationItems"' not in path.read_bytes()]
    refused = {}
    for path in files:
        result = adyen_platform.read(path.read_bytes(), headers={}, ref=path.name)
        if isinstance(result, Unreadable):
            refused[path.name] = result.code
        else:
            assert bool(result.facts) == (".transfer." in result.event_type), path.name
    # It is what a webhook is answered with.
    assert refused == {"BalancePlatformReportNotification-v1--WebhookAck.json": "body.wrong_shape"}


def test_the_published_transfer_is_booked_in_whatever_order_its_states_come() -> None:
    paths = published("openapi-examples/*outgoing-external.json") + published("openapi-examples/*-0[12].payout-*.json")
    messages = [Message(raw=path.read_bytes()) for path in paths]
    assert sorted(json.loads(each.raw)["data"]["sequenceNumber"] for each in messages) == [1, 2, 3]
    for order in (messages, messages[::-1], messages[1:] + messages[:1]):
        (found,) = views(adyen_platform, order).values()
        assert (found.payment_id, found.status, found.facts) == ("6JKRLZ8LOT47J7RY", "captured", 3)


def test_a_reading_of_a_published_transfer_names_nobody() -> None:
    (path,) = published("openapi-examples/*05.directDebit-booked.json")
    result = adyen_platform.read(path.read_bytes(), headers={}, ref="INGEST:7")
    assert isinstance(result, Reading)
    assert result.facts[0].customer_id == json.loads(path.read_bytes())["data"]["accountHolder"]["id"]
