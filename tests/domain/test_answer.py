"""The answer ledger, and the line between a wrong answer and an outdated one."""

from typing import Any

import msgspec
import pytest

from domain.answer import (
    AnswerDecider,
    AnswerGiven,
    AnswerInvalidated,
    AnswerRecord,
    AnswerReinstated,
    AnswerRepeated,
    Basis,
    CitedFact,
    JudgeAnswer,
    RecordAnswer,
    RecordRepeat,
    StatedPart,
    Untruth,
    stated,
    untrue,
    verdict,
)
from domain.evidence import PaymentEvidence, evidence
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
    [
        {"status": "canceled"},
        {"amount_minor": 1},
        {"currency": "USD"},
        {"refunded_minor": 1},
        {"refunds": ()},
        {"captured_minor": 1},
        {"payouts": (StatedPart(id="po_1", status="paid", amount_minor=1),)},
    ],
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


def test_a_field_that_an_older_version_did_not_keep_is_not_judged() -> None:
    known = recorded(CAPTURED, REFUNDED)
    told = answer(known, 150)
    old = msgspec.structs.replace(told.stated[0], captured_minor=None, payouts=None)

    assert verdict(msgspec.structs.replace(told, stated=(old,)), {PAYMENT: known}) == "stands"


def test_a_repetition_is_judged_as_of_the_providers_time_where_its_clock_is_ahead() -> None:
    ahead = fact("e1", "intent", "captured", 3_600, amount_minor=4900)
    told = msgspec.structs.replace(answer(recorded(ahead), 3_600), given_at=at(10))

    assert verdict(told, {PAYMENT: recorded(ahead)}, [at(20)]) == "stands"


def test_an_answer_as_known_at_a_position_stands_whatever_is_known_since() -> None:
    told = msgspec.structs.replace(answer(recorded(CAPTURED, REFUNDED), 250), basis=Basis(known_to=2, known_at=2))

    known = {PAYMENT: recorded(CAPTURED, REFUNDED, FAILED)}

    assert (verdict(told, known), untrue(told, known)) == ("stands", ())


def test_what_was_untrue_says_what_was_so_and_which_late_facts_decide_it() -> None:
    told = msgspec.structs.replace(answer(recorded(CAPTURED, REFUNDED), 250), basis=Basis(known_to=2))
    dispute = fact("e4", "dispute:dp_1", "open", 300, amount_minor=4900)

    (found,) = untrue(told, {PAYMENT: recorded(CAPTURED, REFUNDED, FAILED, dispute)})

    assert found.said == told.stated[0]
    assert found.fields == ("refunded_minor", "refunds")
    assert found.so is not None
    assert [(each.id, each.status) for each in found.so.refunds] == [("re_1", "failed")]
    assert found.facts == (CitedFact(fact_id="e3", position=3),)


def test_of_several_times_the_first_at_which_it_was_wrong_counts() -> None:
    told = answer(recorded(CAPTURED, REFUNDED), 150)
    dispute = fact("e4", "dispute:dp_1", "open", 300, amount_minor=4900)

    (found,) = untrue(told, {PAYMENT: recorded(CAPTURED, REFUNDED, FAILED, dispute)}, [at(350), at(250), at(190)])

    assert (found.as_of, found.given_at, found.fields) == (at(250), at(250), ("refunded_minor", "refunds"))


def test_a_thousand_repeats_cost_no_more_folds_than_there_are_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    folds = 0

    def counting(*args: Any, **options: Any) -> PaymentEvidence | None:
        nonlocal folds
        folds += 1
        return evidence(*args, **options)

    monkeypatch.setattr("domain.answer.evidence", counting)
    known = recorded(CAPTURED, REFUNDED)

    assert untrue(answer(known, 150), {PAYMENT: known}, [at(150 + each) for each in range(1_000)]) == ()
    assert folds == 1


def test_what_was_not_known_at_all_at_its_time_is_untrue() -> None:
    (found,) = untrue(answer(recorded(CAPTURED), 10), {})

    assert (found.so, found.facts) == (None, ())
    assert "status" in found.fields


def judged(*truths: int) -> JudgeAnswer:
    """A judgement that this much was refunded in truth, of one payment each."""
    said = answer(recorded(CAPTURED), 10).stated[0]
    return JudgeAnswer(
        untrue=tuple(
            Untruth(
                said=said,
                so=msgspec.structs.replace(said, refunded_minor=truth),
                fields=("refunded_minor",),
                as_of=at(10),
                given_at=at(10),
            )
            for truth in truths
        ),
        text=f"It was {truths}.",
    )


GIVEN = AnswerGiven(record=answer(recorded(CAPTURED), 10))


def test_each_new_truth_is_entered_once() -> None:
    first, second = judged(1), judged(2)
    again = msgspec.structs.replace(first, text="In other words.", untrue=(earlier(first.untrue[0]),))

    given(DECIDER, GIVEN).when(first).then(AnswerInvalidated(untrue=first.untrue, text=first.text)).when(
        again
    ).then_nothing().when(second).then(AnswerInvalidated(untrue=second.untrue, text=second.text))


def earlier(untruth: Untruth) -> Untruth:
    """The same truth of an earlier time, with other evidence."""
    return msgspec.structs.replace(untruth, as_of=at(5), facts=(CitedFact(fact_id="e9", position=9),))


def test_an_answer_that_is_right_after_all_is_reinstated_and_may_be_wrong_again() -> None:
    wrong = judged(1)
    invalidated = AnswerInvalidated(untrue=wrong.untrue, text=wrong.text)

    given(DECIDER, GIVEN, invalidated).when(JudgeAnswer(text="It was right.")).then(
        AnswerReinstated(text="It was right.")
    ).when(JudgeAnswer()).then_nothing().when(wrong).then(invalidated)


def test_an_answer_that_stands_is_not_written_of() -> None:
    given(DECIDER, GIVEN).when(JudgeAnswer()).then_nothing()


def test_a_repeat_does_not_forget_what_was_untrue() -> None:
    wrong = judged(1)
    repeat = AnswerRepeated(given_at=at(20))

    given(DECIDER, GIVEN, AnswerInvalidated(untrue=wrong.untrue), repeat).when(wrong).then_nothing()


def test_what_was_never_given_is_not_judged() -> None:
    given(DECIDER).when(judged(1)).then_rejected("answer.unknown")
