"""Which fact decides an object, and is cited for it."""

from domain.evidence import PaymentEvidence, evidence
from domain.fact import Fact
from domain.payment import view
from tests.domain.examples import PAYMENT, at, fact, recorded

INTENT = fact("paid", "intent", "captured", 0, amount_minor=4900, captured_minor=4900)
SUCCEEDED = fact("refunded", "refund:re_1", "succeeded", 10, amount_minor=1900)
FAILED = fact("bounced", "refund:re_1", "failed", 30, amount_minor=1900)


def known(*facts: Fact) -> PaymentEvidence:
    found = evidence(PAYMENT, recorded(*facts))
    assert found is not None
    return found


def test_every_object_is_cited_by_the_fact_that_decides_it() -> None:
    found = known(INTENT, SUCCEEDED, FAILED)

    assert [(each.object, each.status, each.fact_id, each.position) for each in found.citations] == [
        ("intent", "captured", "paid", 1),
        ("refund:re_1", "failed", "bounced", 3),
    ]
    assert found.of("refund:re_1").occurred_at == at(30)
    assert found.of("refund:re_1").recorded_at == at(60 * 3)


def test_a_later_snapshot_that_repeats_a_status_is_not_what_brought_it_about() -> None:
    captured = {"amount_minor": 4900, "captured_minor": 4900}
    found = known(
        fact("snapshot", "charge:ch_1", "captured", 90, refunded_minor=1900, **captured),
        fact("capture", "charge:ch_1", "captured", 0, **captured),
        SUCCEEDED,
    )

    assert found.of("charge:ch_1").fact_id == "capture"
    assert found.of("charge:ch_1").occurred_at == at(0)


def test_a_status_that_came_back_is_decided_by_its_second_coming() -> None:
    found = known(
        fact("open", "dispute:dp_1", "open", 0),
        fact("won", "dispute:dp_1", "won", 1),
        fact("again", "dispute:dp_1", "open", 2),
        fact("repeated", "dispute:dp_1", "open", 3),
    )

    assert found.of("dispute:dp_1").fact_id == "again"


def test_the_fact_that_brings_the_reason_decides() -> None:
    reason = fact("reason", "refund:re_1", "failed", 40, amount_minor=1900, reason="declined")

    assert known(FAILED, reason).of("refund:re_1").fact_id == "reason"


def test_a_payment_is_also_meant_by_the_ids_of_its_objects() -> None:
    assert set(known(INTENT, SUCCEEDED).names()) == {PAYMENT, "re_1"}


def test_both_clocks_select_the_facts() -> None:
    facts = recorded(INTENT, SUCCEEDED, FAILED)

    then = evidence(PAYMENT, facts, as_of=at(20))
    before = evidence(PAYMENT, facts, known_at=1)

    assert then is not None
    assert then.view == view(PAYMENT, facts, as_of=at(20))
    assert then.of("refund:re_1").status == "succeeded"
    assert before is not None
    assert [each.object for each in before.citations] == ["intent"]
    assert evidence(PAYMENT, facts, known_at=0) is None
