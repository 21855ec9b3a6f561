from datetime import timedelta

from domain.payment import view
from gateway.answering.evidence import evidence
from tests.domain.examples import at, fact, recorded
from tests.gateway.answering.examples import DAY_S, intent, known_as, refund


def test_every_object_is_cited_by_the_fact_that_decides_it() -> None:
    known = known_as(
        "pi_1", intent("pi_1", "captured"), refund("pi_1", "re_1", "succeeded", 1), refund("pi_1", "re_1", "failed", 3)
    )

    assert [(each.object, each.status, each.fact_id, each.position) for each in known.citations] == [
        ("intent", "captured", "stripe:evt_pi_1_captured", 100),
        ("refund:re_1", "failed", "stripe:evt_re_1_failed", 102),
    ]
    assert known.of("refund:re_1").occurred_at == at(3 * DAY_S)
    assert known.of("refund:re_1").recorded_at == at(60 * 102)


def test_a_later_snapshot_that_repeats_a_status_is_not_what_brought_it_about() -> None:
    captured = {"amount_minor": 4900, "captured_minor": 4900}
    known = known_as(
        "pi_1",
        fact("stripe:evt_refunded", "charge:ch_1", "captured", 9 * DAY_S, refunded_minor=1900, **captured),
        fact("stripe:evt_succeeded", "charge:ch_1", "captured", 0, **captured),
        refund("pi_1", "re_1", "succeeded", 9),
    )

    assert known.of("charge:ch_1").fact_id == "stripe:evt_succeeded"
    assert known.of("charge:ch_1").occurred_at == at(0)


def test_a_status_that_came_back_is_decided_by_its_second_coming() -> None:
    known = known_as(
        "pi_1",
        fact("stripe:open", "dispute:dp_1", "open", 0),
        fact("stripe:won", "dispute:dp_1", "won", 1),
        fact("stripe:again", "dispute:dp_1", "open", 2),
        fact("stripe:repeated", "dispute:dp_1", "open", 3),
    )

    assert known.of("dispute:dp_1").fact_id == "stripe:again"


def test_the_fact_that_gives_the_reason_decides_where_the_reason_is_stated() -> None:
    known = known_as(
        "pi_1",
        refund("pi_1", "re_1", "failed", 1),
        fact("stripe:reason", "refund:re_1", "failed", 2 * DAY_S, amount_minor=1900, reason="declined"),
    )

    assert known.of("refund:re_1").fact_id == "stripe:reason"


def test_a_payment_is_also_meant_by_the_ids_of_its_objects() -> None:
    known = known_as("pi_1", intent("pi_1", "captured"), refund("pi_1", "re_1", "pending", 1))

    assert list(known.names()) == ["pi_1", "pi_1", "re_1"]


def test_both_clocks_select_the_facts() -> None:
    facts = recorded(
        intent("pi_1", "captured"), refund("pi_1", "re_1", "succeeded", 1), refund("pi_1", "re_1", "failed", 3)
    )
    day_two = at(0) + timedelta(days=2)

    then = evidence("pi_1", facts, as_of=day_two)
    before = evidence("pi_1", facts, known_at=1)

    assert then is not None
    assert then.view == view("pi_1", facts, as_of=day_two)
    assert then.of("refund:re_1").status == "succeeded"
    assert before is not None
    assert [each.object for each in before.citations] == ["intent"]
    assert evidence("pi_1", facts, known_at=0) is None
