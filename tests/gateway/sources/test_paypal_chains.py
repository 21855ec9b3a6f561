"""A refund of PayPal's that comes before its capture, authorization and order belongs to them in the end."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest

from domain.ids import split_stream_id
from domain.message import Trace
from domain.payment import PaymentView
from domain.payment_saga import LinkPayment, Payment, PaymentDecider, RecordFact
from gateway.sources.port import submissions
from projections.payment_view import PaymentStore
from tests.gateway.sources.paypal_examples import (
    Body,
    authorization,
    capture,
    dispute,
    event,
    of_order,
    order,
    reading,
    refund,
    sale,
    sale_refund,
)
from tests.spec import NOON
from tests.worlds import Entries

DIRECT: Body = {"links": [{"href": "https://api.paypal.com/v2/checkout/orders/ORDER1", "rel": "up"}]}

PAYMENT_V1 = {
    "id": "PAY-1",
    "state": "approved",
    "transactions": [{"amount": {"total": "0.48", "currency": "USD"}}],
}


def delivered(messages: Sequence[bytes], directory: Path) -> list[PaymentView]:
    """The payments after these deliveries, by the saga's rules and the payments view."""
    decider, states, entries = PaymentDecider(), defaultdict[str, Payment](Payment), Entries()
    payments = PaymentStore(directory)
    for raw in messages:
        batch = []
        for submission in submissions("acme", reading(raw), source="paypal", trace=Trace()):
            _, _, key = split_stream_id(submission.stream)
            assert isinstance(submission.command, RecordFact | LinkPayment)
            for happened in decider.decide(states[key], submission.command, NOON):
                states[key] = decider.evolve(states[key], happened)
                batch.append(entries(submission.stream, happened))
        if batch:
            payments.apply(batch, batch[-1].position)
    listed = payments.payments().payments
    payments.close()
    return listed


def told(*events: tuple[str, Body]) -> list[bytes]:
    return [event(event_type, resource, number) for number, (event_type, resource) in enumerate(events)]


STORIES = {
    "authorized, then captured": told(
        ("CHECKOUT.ORDER.APPROVED", order()),
        ("PAYMENT.AUTHORIZATION.CREATED", authorization()),
        ("PAYMENT.CAPTURE.COMPLETED", capture()),
        ("PAYMENT.CAPTURE.REFUNDED", refund()),
    ),
    "captured at once, and the refund names the order": told(
        ("CHECKOUT.ORDER.COMPLETED", order("COMPLETED", captures=[capture(**DIRECT)])),
        ("PAYMENT.CAPTURE.COMPLETED", capture(**DIRECT, **of_order())),
        ("PAYMENT.CAPTURE.REFUNDED", refund(**of_order())),
        ("CUSTOMER.DISPUTE.CREATED", dispute("RESOLVED", 9, dispute_outcome={"outcome_code": "CANCELED_BY_BUYER"})),
    ),
    "a sale of v1": told(
        ("PAYMENTS.PAYMENT.CREATED", PAYMENT_V1),
        ("PAYMENT.SALE.PENDING", sale("pending", update_time="2026-03-01T11:00:00Z")),
        ("PAYMENT.SALE.COMPLETED", sale()),
        ("PAYMENT.SALE.REFUNDED", sale_refund()),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_refund_capture_and_order_are_one_payment_in_any_order_of_arrival(
    story: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("paypal")
    ends = []
    for number, messages in enumerate(permutations(story)):
        (payment,) = delivered([*messages, messages[0]], directory / str(number))
        ends.append((payment.payment_id, payment.status, payment.refunded_minor, payment.certainty, payment.facts))
        assert (payment.captured_minor, payment.authorized_minor) == (payment.amount_minor, payment.amount_minor)
    assert len(ends) == 24
    assert len(set(ends)) == 1
    assert ends[0][1] == "captured"
    assert ends[0][2] > 0
    assert ends[0][3] == "certain"


def test_a_refund_alone_is_a_payment_that_waits_for_its_capture(tmp_path: Path) -> None:
    (payment,) = delivered(told(("PAYMENT.CAPTURE.REFUNDED", refund())), tmp_path)
    assert (payment.payment_id, payment.refunded_minor, payment.certainty) == ("CAPTURE1", 1900, "incomplete")


def test_the_same_id_for_another_event_is_refused_with_its_reason(tmp_path: Path) -> None:
    """PayPal's samples reuse theirs: nine payout items, two orders, a subscription that expires and is canceled."""
    first = event("PAYMENT.CAPTURE.PENDING", capture("PENDING"))
    with pytest.raises(Exception, match=r"fact\.id_reused"):
        delivered([first, event("PAYMENT.CAPTURE.COMPLETED", capture())], tmp_path)
