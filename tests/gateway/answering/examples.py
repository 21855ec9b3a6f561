"""Payments as their facts make them, for questions about them."""

from datetime import timedelta
from typing import Any

from domain.evidence import PaymentEvidence, evidence
from domain.fact import Fact
from gateway.answering.evidence import Passage
from tests.domain.examples import fact, recorded

# Day 0 is START, 1 March 2026.
DAY_S = int(timedelta(days=1).total_seconds())

_positions = {"pi_1": 100, "pi_2": 200, "pi_3": 300}


def known_as(payment_id: str, *facts: Fact) -> PaymentEvidence:
    """The payment that these facts add up to, recorded in this order."""
    found = evidence(payment_id, recorded(*facts, first=_positions.get(payment_id, 400)))
    assert found is not None
    return found


def intent(payment_id: str, status: str, seconds: float = 0, **fields: Any) -> Fact:
    """What the provider said of a payment of 49.00 EUR."""
    given = {
        "payment_id": payment_id,
        "amount_minor": 4900,
        "captured_minor": 4900 if status == "captured" else 0,
        **fields,
    }
    return fact(f"stripe:evt_{payment_id}_{status}", "intent", status, seconds, **given)


def refund(payment_id: str, refund_id: str, status: str, days: float, **fields: Any) -> Fact:
    """What the provider said of a refund of 19.00 EUR."""
    given = {"payment_id": payment_id, "amount_minor": 1900, **fields}
    return fact(f"stripe:evt_{refund_id}_{status}", f"refund:{refund_id}", status, days * DAY_S, **given)


def dispute(payment_id: str, dispute_id: str, status: str, days: float, **fields: Any) -> Fact:
    """What the provider said of a dispute about 49.00 EUR."""
    given = {"payment_id": payment_id, "amount_minor": 4900, **fields}
    return fact(f"stripe:evt_{dispute_id}_{status}", f"dispute:{dispute_id}", status, days * DAY_S, **given)


def payout(payout_id: str, status: str, days: float, **fields: Any) -> Fact:
    """What the provider said of a payout of 1,000.00 EUR."""
    given = {"payment_id": payout_id, "amount_minor": 100_000, **fields}
    return fact(f"stripe:evt_{payout_id}_{status}", f"payout:{payout_id}", status, days * DAY_S, **given)


def passage(text: str, score: float = 0.6, *, document_id: str = "refunds", title: str = "Refunds") -> Passage:
    return Passage(document_id=document_id, version=3, title=title, heading="", text=text, score=score)


REFUND_POLICY = passage(
    "# Refund times\n\nRefunds take 5 to 10 business days to appear on the statement. Shipping is never paid back.\n\n"
    "- Gift cards are not refundable.\n- Sale items may be exchanged."
)
