"""What is asked is answered in its language and zone, and entered with all that a late fact may make wrong of it."""

from datetime import timedelta

import pytest

from domain.answer import AnswerGiven, AnswerRecord, untrue
from domain.fact import Fact, RecordedFact
from domain.payment_saga import FactRecorded
from gateway.http.problems import ProblemError
from tests.asking_world import AskingWorld, world
from tests.gateway.answering.examples import dispute, intent, payout, refund
from tests.worlds import TENANT, entries_in

__all__ = ["world"]
MINE = {"customer_id": "cus_1"}


def given(world: AskingWorld, answer_id: str) -> AnswerRecord:
    """The answer in the ledger."""
    for entry in entries_in(world.recorder):
        event = entry.envelope().event
        if isinstance(event, AnswerGiven) and event.record.answer_id == answer_id:
            return event.record
    raise AssertionError(f"{answer_id} was never given")


def recorded_facts(world: AskingWorld) -> dict[str, list[RecordedFact]]:
    """All facts of every payment."""
    found: dict[str, list[RecordedFact]] = {}
    for entry in entries_in(world.recorder):
        envelope = entry.envelope()
        if isinstance(envelope.event, FactRecorded):
            recorded = RecordedFact(fact=envelope.event.fact, position=entry.position, recorded_at=envelope.recorded_at)
            found.setdefault(envelope.event.fact.payment_id, []).append(recorded)
    return found


CAPTURED = intent("pi_1", "captured", customer_id="cus_1")


@pytest.mark.parametrize(
    ("question", "told", "late", "fields"),
    [
        (
            "Where is my refund?",
            [CAPTURED, refund("pi_1", "re_1", "succeeded", 0.001)],
            refund("pi_1", "re_1", "failed", 0.002),
            ["refunded_minor", "refunds"],
        ),
        (
            "Was I charged twice?",
            [CAPTURED, intent("pi_2", "captured", 30, customer_id="cus_1")],
            intent("pi_2", "captured", 31, amount_minor=5000, captured_minor=5000, customer_id="cus_1"),
            ["amount_minor", "captured_minor"],
        ),
        (
            "Why was my card declined?",
            [intent("pi_1", "failed", 1, customer_id="cus_1", reason="insufficient_funds")],
            intent("pi_1", "failed", 2, customer_id="cus_1", reason="expired_card", amount_minor=4900),
            ["reason"],
        ),
        (
            "What about my dispute?",
            [CAPTURED, dispute("pi_1", "dp_1", "open", 0.001, reason="general")],
            dispute("pi_1", "dp_1", "lost", 0.002, reason="fraudulent"),
            ["disputes"],
        ),
        (
            "When will we be paid?",
            [payout("po_1", "paid", 0.001)],
            payout("po_1", "failed", 0.002, reason="account_closed"),
            ["status", "payouts"],
        ),
        (
            "Thanh toán của tôi xong chưa?",
            [intent("pi_1", "processing", 1, customer_id="cus_1")],
            intent("pi_1", "captured", 2, customer_id="cus_1"),
            ["status", "captured_minor"],
        ),
    ],
)
async def test_whatever_an_answer_states_a_late_fact_makes_wrong(
    question: str, told: list[Fact], late: Fact, fields: list[str], world: AskingWorld
) -> None:
    world.pay(TENANT, told)
    world.settle()
    world.clock.forward(3_600)
    scope = {} if "we be paid" in question else MINE
    answer = await world.ask(TENANT, question, **scope)
    record = given(world, answer.answer_id)
    assert not answer.abstained
    assert untrue(record, recorded_facts(world)) == ()

    world.pay(TENANT, [Fact(**{**{name: getattr(late, name) for name in late.__struct_fields__}, "fact_id": "late"})])

    wrong = untrue(record, recorded_facts(world))
    assert [field for each in wrong for field in each.fields] == fields


async def test_an_answer_says_its_language_and_what_worded_it(world: AskingWorld) -> None:
    world.pay(TENANT, [CAPTURED])
    world.settle()

    answer = await world.ask(TENANT, "Thanh toán của tôi xong chưa?", **MINE)

    assert (answer.language, answer.composer) == ("vi", "template/1")
    assert given(world, answer.answer_id).basis.language == "vi"


async def test_days_are_those_of_the_askers_zone(world: AskingWorld) -> None:
    # 20:00 UTC is 03:00 of the next day in Vietnam.
    world.pay(TENANT, [intent("pi_1", "captured", 8 * 3600, customer_id="cus_1"), intent("pi_2", "captured", 9)])
    world.settle()

    utc = await world.ask(TENANT, "Did my payment go through?", **MINE)
    there = await world.ask(TENANT, "Did my payment go through?", time_zone="Asia/Ho_Chi_Minh", **MINE)

    assert "on 1 March 2026" in utc.answer
    assert "on 2 March 2026" in there.answer


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Asia", ""])
async def test_a_zone_that_nobody_knows_is_refused(name: str, world: AskingWorld) -> None:
    with pytest.raises(ProblemError, match="time_zone"):
        await world.ask(TENANT, "Where is my refund?", time_zone=name)


async def test_yesterday_is_another_day_tomorrow(world: AskingWorld) -> None:
    """A cached answer about yesterday would be one about the day before."""
    request = {"question": "Did the payment of yesterday go through?", **MINE}
    keys = set()
    for _ in range(2):
        keys.add(world.asker._key(TENANT, world.request(**request)))
        world.clock.forward(timedelta(days=1).total_seconds())

    assert len(keys) == 2


async def test_an_order_number_finds_its_payment(world: AskingWorld) -> None:
    world.pay(TENANT, [CAPTURED])
    world.link(TENANT, {"A-1024": "pi_1"})
    world.settle()

    answer = await world.ask(TENANT, "Did order A-1024 go through?", **MINE)
    other = await world.ask(TENANT, "Did order A-1024 go through?", customer_id="cus_2")

    assert [each.payment_id for each in answer.payments] == ["pi_1"]
    assert (other.answer, other.abstained_because) == ("I do not know of an order A-1024.", "reference.unknown")


async def test_payouts_are_told_to_the_merchant_and_to_no_customer(world: AskingWorld) -> None:
    world.pay(TENANT, [payout(f"po_{day}", "paid", day) for day in range(1, 15)])
    world.pay(TENANT, [CAPTURED])
    world.settle()

    merchant = await world.ask(TENANT, "Khi nào tôi nhận được tiền bán hàng?")
    customer = await world.ask(TENANT, "Where is my payout?", **MINE)
    then = await world.ask(TENANT, "Where is my payout?", as_of=CAPTURED.occurred_at + timedelta(days=2, hours=1))

    assert [each.payment_id for each in merchant.payments] == ["po_14", "po_13", "po_12", "po_11", "po_10"]
    assert customer.payments == []
    assert customer.abstained_because == "payment.none"
    assert [each.payment_id for each in then.payments] == ["po_2", "po_1"]


async def test_whoever_asks_about_a_double_charge_names_no_payment(world: AskingWorld) -> None:
    world.pay(TENANT, [CAPTURED, intent("pi_2", "captured", 30, customer_id="cus_1")])
    world.pay(TENANT, [intent("pi_3", "captured", 40, customer_id="cus_2")])
    world.settle()

    answer = await world.ask(TENANT, "Was I charged twice?", **MINE)

    assert answer.answer.startswith("I see 2 payments of 49.00 EUR, each captured within 10 minutes of another: ")
    assert {each.payment_id for each in answer.payments} == {"pi_1", "pi_2"}
