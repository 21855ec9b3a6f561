"""The plainest way to find the answers that were wrong when they were given, with which the corrector is compared."""

from domain.answer import AnswerRecord, stated
from domain.payment import view
from simulations.bench_corrections import wrong
from tests.domain.examples import PAYMENT, at, fact, recorded

CAPTURED = fact("e1", "intent", "captured", 1, amount_minor=4900, captured_minor=4900)
REFUNDED = fact("e2", "refund:re_1", "succeeded", 100, amount_minor=1900)
FAILED = fact("e3", "refund:re_1", "failed", 200, amount_minor=1900)


def said_at(seconds: float) -> AnswerRecord:
    known = view(PAYMENT, recorded(CAPTURED, REFUNDED))
    assert known is not None
    return AnswerRecord(
        answer_id=f"a{seconds:.0f}",
        question="Where is my refund?",
        intent="refund_status",
        answer="It was sent.",
        stated=(stated(known),),
        as_of=at(seconds),
        given_at=at(seconds),
    )


def test_what_was_not_so_at_the_time_of_which_it_spoke_is_wrong_and_what_was_overtaken_is_not() -> None:
    facts = {PAYMENT: recorded(CAPTURED, REFUNDED, FAILED)}

    assert wrong([said_at(150), said_at(250)], facts) == {"a250"}
    assert wrong([said_at(250)], {}) == set()
    assert wrong([said_at(250)], {PAYMENT: recorded(CAPTURED, REFUNDED)}) == set()
