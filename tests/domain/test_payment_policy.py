"""What the saga does next, on every path: deadline, policy, compensation, escalation, and what comes too late."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.effects import EffectFailed, EffectGivenUp, EffectPerformed, EffectRequested, RecordEffectOutcome
from domain.errors import Rejection
from domain.fact import Fact
from domain.payment import fold
from domain.payment_policy import Policy, unreturned
from domain.payment_saga import (
    CompensationBegan,
    DeadlineExtended,
    EscalationResolved,
    FactRecorded,
    PassDeadline,
    PaymentEscalated,
    PaymentEvent,
    PaymentSettled,
    RecordFact,
    ResolveEscalation,
)
from tests.domain.examples import at, fact
from tests.domain.sagas import Story, captured, effect, kinds, reading


def timed_out(policy: Policy) -> Story:
    """A payment of which nothing is known at its deadline; the provider is being read."""
    story = Story(policy)
    story.seconds = 600
    assert kinds(story.tell(PassDeadline())) == ["pull"]
    return story


def canceling(policy: Policy | None = None) -> Story:
    """A payment that is being canceled."""
    story = timed_out(policy or Policy(on_timeout="cancel"))
    assert kinds(story.done(reading("pending", 601))) == ["cancel"]
    return story


def refunding(policy: Policy | None = None) -> Story:
    """A payment that was captured although it is canceled: what was captured is being refunded."""
    story = canceling(policy)
    assert kinds(story.gave_up("it is captured")) == ["pull"]
    assert kinds(story.done(captured(602))) == ["refund"]
    return story


def refund(status: str, seconds: float, amount_minor: int = 4900, refund_id: str = "re_1") -> Fact:
    return fact(f"evt:{refund_id}:{status}", f"refund:{refund_id}", status, seconds, amount_minor=amount_minor)


def last(events: list[PaymentEvent]) -> PaymentEvent:
    return events[-1]


def test_a_payment_that_is_captured_in_time_is_settled_and_no_deadline_is_awaited() -> None:
    story = Story()

    assert last(story.tell(RecordFact(fact=captured(5)))) == PaymentSettled(result="confirmed")
    assert story.state.deadline_at is None


def test_a_payment_that_ends_in_time_is_settled() -> None:
    assert last(Story().tell(RecordFact(fact=fact("e", "intent", "canceled", 5)))) == PaymentSettled(result="ended")


def test_a_success_whose_webhook_was_lost_is_found_by_reading_the_provider() -> None:
    story = timed_out(Policy(on_timeout="cancel"))

    events = story.done(captured(580))

    assert events == [
        FactRecorded(fact=captured(580)),
        EffectPerformed(step="pull-1"),
        PaymentSettled(result="confirmed"),
    ]


def test_who_waits_has_the_provider_asked_again_until_a_person_is_asked() -> None:
    story = timed_out(Policy(on_timeout="wait", wait_s=60, waits_max=1))

    assert last(story.done()) == DeadlineExtended(deadline_at=at(660))
    story.seconds = 660
    assert kinds(story.tell(PassDeadline())) == ["pull"]
    assert last(story.done()) == PaymentEscalated(number=1, reason="unconfirmed")


def test_who_waits_for_a_payment_that_failed_has_an_outcome_and_a_later_success_is_welcome() -> None:
    story = timed_out(Policy(on_timeout="wait"))

    assert last(story.done(reading("failed", 590))) == PaymentSettled(result="failed")
    assert last(story.tell(RecordFact(fact=captured(700)))) == PaymentSettled(result="confirmed")


def test_a_payment_that_may_still_succeed_is_canceled() -> None:
    story = timed_out(Policy(on_timeout="cancel"))

    events = story.done(reading("failed", 590))

    assert events[-2] == CompensationBegan(kind="cancel")
    assert last(story.done(reading("canceled", 602))) == PaymentSettled(result="compensated")


def test_what_is_authorized_is_voided_and_what_is_not_is_canceled() -> None:
    authorized, pending = timed_out(Policy(on_timeout="void")), timed_out(Policy(on_timeout="void"))

    assert kinds(authorized.done(reading("authorized", 590, authorized_minor=4900))) == ["void"]
    assert kinds(pending.done(reading("pending", 590))) == ["cancel"]


def test_a_cancellation_that_the_provider_did_not_show_is_read() -> None:
    story = canceling()

    assert kinds(story.done()) == ["pull"]
    assert last(story.done(reading("canceled", 602))) == PaymentSettled(result="compensated")


def test_a_cancellation_that_is_not_seen_at_the_provider_is_made_again_and_then_goes_to_a_person() -> None:
    story = canceling()
    for seconds in (603, 604):
        story.gave_up("stripe.error_kept")
        assert kinds(story.done(reading("pending", seconds))) == ["cancel"]
    story.gave_up("stripe.error_kept")

    assert last(story.done(reading("pending", 605))) == PaymentEscalated(number=1, reason="compensation_unproven")
    assert len({step for step in story.steps if step.startswith("cancel")}) == 3


def test_a_cancellation_is_tried_again_and_then_given_up() -> None:
    story = canceling(Policy(on_timeout="cancel", attempts_max=2))
    failed = RecordEffectOutcome(step="cancel-2", outcome="failed", reason="it answers 503", retry_at=at(605))

    first = list(story.decider.decide(story.state, failed, at(601)))
    for event in first:
        story.state = story.decider.evolve(story.state, event)
    second = list(story.decider.decide(story.state, failed, at(605)))

    assert first == [EffectFailed(step="cancel-2", attempts=1, retry_at=at(605), reason="it answers 503")]
    assert story.outstanding.due_at == at(605)
    assert second[0] == EffectGivenUp(step="cancel-2", reason="it answers 503")
    assert kinds(second) == ["pull"]


def test_a_success_after_the_cancellation_began_is_refunded_whole() -> None:
    story = refunding()

    wish = effect("refund-4", at(600), amount_minor=4900, reason="cancel", not_after=at(600 + 23 * 3600))
    assert story.outstanding == wish
    assert last(story.done(refund("succeeded", 605))) == PaymentSettled(result="compensated")


def test_a_success_that_comes_after_the_cancellation_was_settled_is_refunded() -> None:
    """The two contradict each other, so the provider is read first."""
    story = canceling()
    story.done(reading("canceled", 602))

    assert kinds(story.tell(RecordFact(fact=fact("evt_9", "intent", "captured", 700, captured_minor=4900)))) == ["pull"]
    assert kinds(story.done(captured(701))) == ["refund"]


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        (Policy(on_timeout="cancel", on_late_success="keep"), PaymentSettled(result="confirmed")),
        (Policy(on_timeout="cancel", on_late_success="escalate"), PaymentEscalated(number=1, reason="late_success")),
    ],
)
def test_a_late_success_is_kept_or_shown_to_a_person_if_the_tenant_wants_that(
    policy: Policy, outcome: PaymentEvent
) -> None:
    story = canceling(policy)
    story.done()
    events = story.done(captured(602))

    assert [type(event) for event in events if isinstance(event, type(outcome))] == [type(outcome)]
    assert kinds(events) == []


def test_only_what_is_not_on_its_way_back_is_refunded() -> None:
    story = canceling()
    story.tell(RecordFact(fact=refund("pending", 590, 1900)))
    story.done()
    story.done(captured(602))

    assert story.outstanding.amount_minor == 3000


def test_a_refund_that_fails_after_it_succeeded_goes_to_a_person() -> None:
    story = refunding()
    story.done(refund("succeeded", 605))
    story.seconds = 30 * 86_400

    assert kinds(story.tell(RecordFact(fact=refund("failed", story.seconds)))) == ["pull"]
    assert last(story.done()) == PaymentEscalated(number=1, reason="refund_failed")


def test_a_refund_whose_outcome_is_not_known_is_never_asked_for_again_before_a_person_says_so() -> None:
    story = refunding()

    assert kinds(story.gave_up()) == ["pull"]
    assert last(story.done(captured(610))) == PaymentEscalated(number=1, reason="refund_failed")
    assert kinds(story.resolve(1, "retry")) == ["pull"]
    assert kinds(story.done(captured(620))) == ["refund"]


def test_a_refund_that_was_done_although_its_outcome_was_lost_is_found_and_not_done_twice() -> None:
    story = refunding()
    story.gave_up()

    events = story.done(captured(610), refund("succeeded", 606))

    assert last(events) == PaymentSettled(result="compensated")
    assert kinds(events) == []


def test_what_a_customer_disputes_is_not_refunded_as_well() -> None:
    story = canceling()
    story.tell(RecordFact(fact=fact("d", "dispute:dp_1", "open", 599, amount_minor=4900)))
    story.done()

    assert last(story.done(captured(602))) == PaymentEscalated(number=1, reason="disputed")


def test_under_refund_a_payment_is_left_open_and_what_comes_in_is_returned() -> None:
    story = timed_out(Policy(on_timeout="refund", wait_s=60))

    assert last(story.done()) == DeadlineExtended(deadline_at=at(660))
    assert kinds(story.tell(RecordFact(fact=captured(650)))) == ["pull"]
    assert kinds(story.done(captured(651))) == ["refund"]


def test_a_contradiction_is_read_at_the_provider_whoever_started_the_payment() -> None:
    story = Story(is_started=False)
    story.tell(RecordFact(fact=fact("e1", "intent", "captured", 5, captured_minor=4900)))

    events = story.tell(RecordFact(fact=fact("e2", "intent", "canceled", 6)))

    # Once the second of the conflict is over, so that the reading outweighs it.
    assert last(events) == EffectRequested(effect=effect("pull-1", at(2), reason="conflict", attempts_max=8))
    assert story.done(captured(7)) == [FactRecorded(fact=captured(7)), EffectPerformed(step="pull-1")]


def test_a_contradiction_that_remains_goes_to_a_person_once_and_is_overtaken_by_a_later_fact() -> None:
    story = Story(is_started=False)
    story.tell(RecordFact(fact=fact("e1", "intent", "captured", 5, captured_minor=4900)))
    story.tell(RecordFact(fact=fact("e2", "intent", "canceled", 6)))

    assert last(story.done()) == PaymentEscalated(number=1, reason="conflict_remains")
    assert story.tell(RecordFact(fact=fact("e3", "charge:ch_1", "captured", 5, captured_minor=4900)))[1:] == []
    assert last(story.tell(RecordFact(fact=captured(9)))) == PaymentSettled(result="ended")


def test_a_contradiction_is_read_although_a_person_is_asked_about_something_else_and_may_settle_that() -> None:
    story = timed_out(Policy(on_timeout="refund", waits_max=0))
    assert last(story.done()) == PaymentEscalated(number=1, reason="unconfirmed")

    story.tell(RecordFact(fact=fact("e1", "intent", "captured", 700, captured_minor=4900)))
    assert kinds(story.tell(RecordFact(fact=fact("e2", "intent", "canceled", 700)))) == ["pull"]
    assert last(story.done(reading("canceled", 702))) == PaymentSettled(result="compensated")


def test_a_contradiction_that_cannot_be_read_stays_with_the_person_who_is_asked_already() -> None:
    story = timed_out(Policy(on_timeout="refund", waits_max=0))
    story.done()
    story.tell(RecordFact(fact=fact("e1", "intent", "captured", 700, captured_minor=4900)))
    story.tell(RecordFact(fact=fact("e2", "intent", "canceled", 700)))

    assert story.gave_up("it answers 401")[1:] == []
    assert story.state.progress.escalation == "unconfirmed"


def test_a_contradiction_that_could_not_be_read_is_tried_again_with_a_later_fact_and_asked_about_once() -> None:
    story = Story(is_started=False)
    story.tell(RecordFact(fact=fact("e1", "intent", "captured", 5, captured_minor=4900)))
    story.tell(RecordFact(fact=fact("e2", "intent", "canceled", 6)))
    assert kinds(story.gave_up("it answers 401"))[-1:] == []
    assert story.state.progress.escalation == "provider_unreadable"

    assert kinds(story.tell(RecordFact(fact=fact("e3", "charge:ch_1", "captured", 5, captured_minor=4900)))) == ["pull"]
    assert story.gave_up("it answers 401")[1:] == []
    story.tell(RecordFact(fact=fact("e4", "charge:ch_2", "captured", 5, captured_minor=4900)))
    assert last(story.done(captured(9))) == PaymentSettled(result="ended")


def test_facts_that_agree_lead_to_nothing_more() -> None:
    story = Story(is_started=False)

    assert len(story.tell(RecordFact(fact=fact("e1", "intent", "processing", 5)))) == 1
    assert len(story.tell(RecordFact(fact=fact("e2", "intent", "captured", 6)))) == 1
    assert len(story.tell(RecordFact(fact=fact("e3", "charge:ch_1", "captured", 6)))) == 1


def test_a_provider_that_cannot_be_read_goes_to_a_person_and_nothing_is_undone_blindly() -> None:
    story = timed_out(Policy(on_timeout="cancel"))

    assert last(story.gave_up("it answers 401")) == PaymentEscalated(
        number=1, reason="provider_unreadable", detail="it answers 401"
    )


def test_a_decision_is_taken_once_and_only_about_the_escalation_that_it_names() -> None:
    story = timed_out(Policy(on_timeout="cancel"))
    story.gave_up()

    with pytest.raises(Rejection) as rejection:
        story.tell(ResolveEscalation(number=2, resolution="retry"))
    assert rejection.value.code == "escalation.unknown"
    assert story.resolve(1, "close") == [EscalationResolved(number=1, resolution="close")]
    assert story.tell(ResolveEscalation(number=1, resolution="refund")) == []


def test_what_a_person_closed_stays_closed_whatever_comes() -> None:
    story = timed_out(Policy(on_timeout="cancel"))
    story.gave_up()
    story.resolve(1, "close")

    assert len(story.tell(RecordFact(fact=captured(900)))) == 1


def test_a_person_may_have_refunded_what_was_captured_too_late() -> None:
    story = canceling(Policy(on_timeout="cancel", on_late_success="escalate"))
    story.done()
    story.done(captured(602))

    assert kinds(story.resolve(1, "refund")) == ["pull"]
    assert kinds(story.done(captured(900))) == ["refund"]


def test_a_payment_that_was_not_started_here_is_not_refunded_here() -> None:
    story = Story(is_started=False)
    story.tell(RecordFact(fact=fact("e1", "intent", "captured", 5, captured_minor=4900)))
    story.tell(RecordFact(fact=fact("e2", "intent", "canceled", 6)))
    story.done()

    with pytest.raises(Rejection) as rejection:
        story.resolve(1, "refund")
    assert rejection.value.code == "payment.not_started"


def test_an_outcome_that_comes_again_changes_nothing() -> None:
    story = canceling()
    step = story.outstanding.step
    story.done(reading("canceled", 602))

    assert story.tell(RecordEffectOutcome(step=step, outcome="failed", retry_at=at(700))) == []
    assert story.tell(RecordEffectOutcome(step=step, outcome="gave_up")) == []


def test_facts_of_another_payment_are_no_outcome() -> None:
    story = timed_out(Policy())
    foreign = msgspec.structs.replace(captured(601), payment_id="pi_2")

    with pytest.raises(Rejection) as rejection:
        story.done(foreign)
    assert rejection.value.code == "effect.foreign_fact"


STATUSES = ["pending", "processing", "failed", "authorized", "captured", "canceled"]
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("webhook"), st.sampled_from(STATUSES)),
        st.tuples(st.just("refund"), st.sampled_from(["pending", "succeeded", "failed"])),
        st.tuples(st.just("done"), st.sampled_from(STATUSES)),
        st.tuples(st.sampled_from(["lost", "failed", "gave_up", "deadline", "retry", "close"]), st.just("")),
    ),
    max_size=25,
)
policies = st.builds(
    Policy,
    on_timeout=st.sampled_from(["wait", "cancel", "void", "refund"]),
    on_late_success=st.sampled_from(["refund", "keep", "escalate"]),
    waits_max=st.integers(0, 2),
    attempts_max=st.integers(1, 3),
)


def happen(story: Story, what: str, status: str) -> list[PaymentEvent]:
    """One thing happens; what cannot happen now does not."""
    money: dict[str, Any] = {"captured_minor": 4900} if status == "captured" else {}
    seconds = story.seconds
    match what:
        case "webhook":
            return story.tell(RecordFact(fact=fact(f"w{seconds}", "intent", status, seconds, **money)))
        case "refund":
            name = f"r{seconds}"
            return story.tell(RecordFact(fact=fact(name, "refund:re_1", status, seconds, amount_minor=4900)))
        case "deadline":
            story.seconds += 4_000
            return story.tell(PassDeadline())
        case "retry" | "close" if story.state.progress.escalation:
            return story.resolve(story.state.progress.escalations, what)
        case "done" | "lost" | "failed" | "gave_up" if story.state.outstanding:
            step = story.outstanding.step
            facts = (reading(status, seconds, **money),) if what == "done" else ()
            if what == "failed":
                outcome = RecordEffectOutcome(step=step, outcome="failed", retry_at=at(seconds))
                events = list(story.decider.decide(story.state, outcome, at(seconds)))
                for event in events:
                    story.state = story.decider.evolve(story.state, event)
                return events
            result = RecordEffectOutcome(step=step, outcome="gave_up" if what == "gave_up" else "done", facts=facts)
            return story.tell(result)
    return []


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(policies, happenings)
def test_whatever_happens_no_saga_is_stuck_and_no_money_is_made(
    policy: Policy, happened: list[tuple[str, str]]
) -> None:
    """It is settled, waits for a time, an effect or a person; and it never asks back more than is captured."""
    story = Story(policy)
    steps: list[str] = []
    for what, status in happened:
        story.seconds += 1
        for event in happen(story, what, status):
            if isinstance(event, EffectRequested):
                steps.append(event.effect.step)
                if event.effect.kind == "refund":
                    view = fold("pi_1", list(story.state.facts.values()))
                    assert 0 < event.effect.amount_minor <= unreturned(view)
        progress = story.state.progress
        waits = (story.state.deadline_at, story.state.outstanding, progress.escalation, progress.settled)
        assert any(waits), f"stuck: {progress}"
        assert len(story.state.outstanding) <= 1
    assert len(steps) == len(set(steps))
