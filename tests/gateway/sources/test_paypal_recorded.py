"""PayPal's own samples: read, seen, or refused with a reason, all of them."""

import json
from collections import Counter
from datetime import datetime

import pytest

from domain.errors import Rejection
from domain.payment_saga import Payment, PaymentDecider, RecordFact
from gateway.sources import paypal
from gateway.sources.port import Reading, Unreadable
from tests.gateway.sources.paypal_examples import recorded
from tests.spec import NOON

EVENTS = "events-dj-paypal/*.json"


def test_every_sample_is_read_or_refused_with_a_reason() -> None:
    outcomes = Counter[str]()
    for path in recorded(EVENTS):
        result = paypal.read(path.read_bytes(), headers={}, ref="INGEST:7")
        if isinstance(result, Unreadable):
            outcomes[result.code] += 1
        else:
            outcomes["facts" if result.facts else "seen"] += 1
    # The two are samples of orders that carry a capture.
    assert outcomes == {"facts": 29, "seen": 12, "event.type_contradicts_object": 2}


@pytest.mark.parametrize(
    ("name", "payment_id", "said"),
    [
        ("payment.authorization.created", "PAY-7PD36489JY0066936KREEERQ", ("authorized", 48, "USD")),
        ("payment.authorization.voided", "PAY-8SP48354VW3242206KREEI5Q", ("canceled", 48, "USD")),
        ("payment.capture.completed", "PAY-3YE025760C441402AKTRY2PQ", ("captured", 747, "USD")),
        ("payment.capture.denied", "PAY-6AG64245W53716013KYKUWNI", ("failed", 50, "EUR")),
        ("payment.capture.refunded", "PAY-7PD36489JY0066936KREEERQ", ("succeeded", 15, "USD")),
        ("payment.capture.reversed", "1RJ65796SJ857301V", ("succeeded", 35, "USD")),
        ("payment.sale.completed", "PAY-1PA12106FU478450MKRETS4A", ("captured", 48, "USD")),
        ("payment.sale.completed--from-subscription", "7D51924877811803R", ("captured", 499, "USD")),
        ("payment.sale.refunded", "PAY-5437236047802405NKRJ22UA", ("succeeded", 2, "USD")),
        ("customer.dispute.created", "45V487086B989905H", ("open", 1156, "USD")),
        ("customer.dispute.resolved", "6C589962JJ4368547", ("lost", 998, "USD")),
        ("payment.payoutsbatch.success", "CQGA9SFAU8WSN", ("paid", 2500, "CAD")),
        ("payment.payouts-item.returned", "AYNYWNCHBD8KS", ("failed", 100, "USD")),
    ],
)
def test_a_sample_says_what_it_says(name: str, payment_id: str, said: tuple[str, int, str]) -> None:
    (path,) = recorded(f"events-dj-paypal/{name}.json")
    result = paypal.read(path.read_bytes(), headers={}, ref="INGEST:7")
    assert isinstance(result, Reading)
    (fact,) = result.facts
    assert (fact.payment_id, (fact.status, fact.amount_minor, fact.currency)) == (payment_id, said)


def test_a_month_that_no_year_has_is_refused() -> None:
    (path,) = recorded("events-dj-paypal/billing.subscription.created.json")
    body = {**json.loads(path.read_bytes()), "create_time": "2018-19-12T22:20:32.000Z"}
    result = paypal.read(json.dumps(body).encode(), headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable)
    assert result.code == "event.time_malformed"


def test_samples_of_one_id_that_differ_are_refused_and_those_that_agree_are_one() -> None:
    """Of the three versions of one dispute's creation two say the same; of nine payout items each says another."""
    for pattern, refused_times in (("customer.dispute.created*", 1), ("payment.payouts-item.*", 8)):
        refused = Counter[str]()
        decider, state = PaymentDecider(), Payment()
        for path in recorded(f"events-dj-paypal/{pattern}.json"):
            result = paypal.read(path.read_bytes(), headers={}, ref="INGEST:7")
            assert isinstance(result, Reading)
            try:
                for happened in decider.decide(state, RecordFact(fact=result.facts[0]), NOON):
                    state = decider.evolve(state, happened)
            except Rejection as rejection:
                refused[rejection.code] += 1
        assert refused == {"fact.id_reused": refused_times}


def test_a_subscriptions_history_is_seen_in_the_order_of_its_times() -> None:
    seen: list[tuple[datetime, str]] = []
    for path in recorded("events-dj-paypal/billing.subscription.*.json"):
        result = paypal.read(path.read_bytes(), headers={}, ref="INGEST:7")
        assert isinstance(result, Reading)
        assert result.sighting is not None
        seen.append((result.sighting.occurred_at, result.event_type.rpartition(".")[2]))
    assert [word for _, word in sorted(seen)] == ["CREATED", "SUSPENDED", "RE-ACTIVATED", "UPDATED", "CANCELLED"]
