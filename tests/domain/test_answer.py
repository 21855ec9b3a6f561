"""The answer ledger, and the line between a wrong answer and an outdated one."""

import msgspec
import pytest

from domain.answer import (
    AnswerDecider,
    AnswerGiven,
    AnswerRecord,
    AnswerRepeated,
    RecordAnswer,
    RecordRepeat,
    stated,
    verdict,
)
from domain.fact import RecordedFact
from domain.payment import view
from tests.domain.examples import PAYMENT, at, fact, recorded
from tests.spec import given

DECIDER = AnswerDecider()
CAPTURED = fact("e1", "intent", "captured", 1, amount_minor=4900)
REFUNDED = fact("e2", "refund:re_1", "succeeded", 100, amount_minor=1900)
FAILED = fact("e3", "refund:re_1", "failed", 200, amount_minor=1900)


def answer(known: list[RecordedFact], as_of_s: float) -> AnswerRecord:
    """An answer that spoke of the payment as of `as_of_s`, from what was known."""
    payment = view(PAYMENT, known, as_of=at(as_of_s))
    assert payment is not None
    return AnswerRecord(
        answer_id="an_1",
        question="where is my refund?",
        intent="refund_status",
        answer="It was sent.",
        stated=(stated(payment),),
        as_of=at(as_of_s),
        given_at=at(as_of_s),
    )


def test_an_answer_is_entered_once() -> None:
    record = answer(recorded(CAPTURED), 10)

    given(DECIDER).when(RecordAnswer(record=record)).then(AnswerGiven(record=record)).when(
        RecordAnswer(record=record)
    ).then_nothing()


def test_repeats_are_counted() -> None:
    record = answer(recorded(CAPTURED), 10)
    repeat = AnswerRepeated(given_at=at(20), count=3)
    after = given(DECIDER, AnswerGiven(record=record)).when(RecordRepeat(given_at=at(20), count=3)).then(repeat)

    assert after.state.times_given == 4


def test_an_answer_stands_while_nothing_new_is_known() -> None:
    known = recorded(CAPTURED, REFUNDED)

    assert verdict(answer(known, 150), {PAYMENT: known}) == "stands"


def test_an_answer_that_a_late_fact_contradicts_was_wrong() -> None:
    """The refund had failed when the answer was given; the webhook came later."""
    told = answer(recorded(CAPTURED, REFUNDED), 250)

    assert verdict(told, {PAYMENT: recorded(CAPTURED, REFUNDED, FAILED)}) == "wrong"


def test_an_answer_that_the_world_moved_past_is_outdated() -> None:
    told = answer(recorded(CAPTURED, REFUNDED), 150)

    assert verdict(told, {PAYMENT: recorded(CAPTURED, REFUNDED, FAILED)}) == "outdated"


def test_a_late_fact_that_changes_nothing_that_was_said_leaves_the_answer_standing() -> None:
    told = answer(recorded(CAPTURED, REFUNDED), 250)
    late = fact("e0", "intent", "pending", 0, amount_minor=4900)

    assert verdict(told, {PAYMENT: recorded(CAPTURED, REFUNDED, late)}) == "stands"


def test_one_wrong_payment_among_several_makes_the_answer_wrong() -> None:
    told = answer(recorded(CAPTURED), 50)
    other = msgspec.structs.replace(told.stated[0], payment_id="pi_2")
    both = msgspec.structs.replace(told, stated=(told.stated[0], other))
    outdated = recorded(CAPTURED, REFUNDED)
    wrong = recorded(fact("e9", "intent", "canceled", 1, amount_minor=4900))

    assert verdict(both, {PAYMENT: outdated, "pi_2": recorded(CAPTURED)}) == "outdated"
    assert verdict(both, {PAYMENT: outdated, "pi_2": wrong}) == "wrong"


def test_an_answer_about_a_payment_that_never_was_is_wrong() -> None:
    assert verdict(answer(recorded(CAPTURED), 10), {}) == "wrong"


def test_an_answer_that_stated_nothing_stands() -> None:
    told = msgspec.structs.replace(answer(recorded(CAPTURED), 10), stated=())

    assert verdict(told, {}) == "stands"


@pytest.mark.parametrize(
    "change",
    [{"status": "canceled"}, {"amount_minor": 1}, {"currency": "USD"}, {"refunded_minor": 1}, {"refunds": ()}],
)
def test_every_field_that_was_stated_is_judged(change: dict[str, object]) -> None:
    known = recorded(CAPTURED, REFUNDED)
    told = answer(known, 150)
    misstated = msgspec.structs.replace(told, stated=(msgspec.structs.replace(told.stated[0], **change),))

    assert verdict(misstated, {PAYMENT: known}) == "wrong"


def test_what_is_stated_of_a_payment_is_what_its_view_says() -> None:
    payment = view(PAYMENT, recorded(CAPTURED, REFUNDED, fact("e4", "dispute:dp_1", "open", 9, amount_minor=4900)))
    assert payment is not None
    said = stated(payment)

    assert (said.payment_id, said.status, said.amount_minor, said.refunded_minor) == (PAYMENT, "captured", 4900, 1900)
    assert [(each.id, each.status) for each in said.refunds] == [("re_1", "succeeded")]
    assert [(each.id, each.status) for each in said.disputes] == [("dp_1", "open")]


def test_a_repetition_is_judged_by_its_own_time() -> None:
    """Right when it was given first, and wrong when it was given again: the failure lies in between."""
    told = answer(recorded(CAPTURED, REFUNDED), 150)
    known = {PAYMENT: recorded(CAPTURED, REFUNDED, FAILED)}

    assert verdict(told, known, [at(190)]) == "outdated"
    assert verdict(told, known, [at(190), at(250)]) == "wrong"
