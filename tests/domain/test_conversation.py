"""A conversation is the set of what was told of it; each message is answered once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from domain.conversation import (
    AnswerMessage,
    Conversation,
    ConversationCommand,
    ConversationDecider,
    CustomerIdentified,
    ErasureRequested,
    FollowingChanged,
    IdentifyCustomer,
    Message,
    MessageAnswered,
    MessageDelivered,
    MessageReceived,
    MessageSeen,
    RecordDelivered,
    RecordFollowing,
    RecordMessage,
    RecordSeen,
    RequestErasure,
)
from tests.domain.examples import START, at
from tests.spec import given

DECIDER = ConversationDecider()


def message(message_id: str = "m_1", seconds: float = 0, **fields: Any) -> Message:
    told = {"author": "customer", "kind": "text", "text": "Where is my refund?", **fields}
    return Message(message_id=message_id, occurred_at=at(seconds), **told)


RECEIVED = MessageReceived(message=message())
ANSWERED = MessageAnswered(message_id="m_1", answer_id="a_1", text="It failed.")


def test_a_message_is_recorded_once() -> None:
    given(DECIDER).when(RecordMessage(message=message())).then(RECEIVED).when(
        RecordMessage(message=message(raw="INGEST:8"))
    ).then_nothing()


def test_a_message_that_is_scrubbed_better_today_is_the_one_that_is_known() -> None:
    given(DECIDER, RECEIVED).when(RecordMessage(message=message(text="<PHONE_7f3a>"))).then_nothing()


@pytest.mark.parametrize(
    "other",
    [{"author": "business"}, {"kind": "image"}, {"occurred_at": at(1)}, {"attachments": ("image",)}, {"reply_to": "m"}],
    ids=str,
)
def test_another_message_under_a_known_id_is_refused(other: dict[str, Any]) -> None:
    reused = msgspec.structs.replace(message(), **other)

    given(DECIDER, RECEIVED).when(RecordMessage(message=reused)).then_rejected("message.id_reused")


def test_messages_stand_in_the_providers_order() -> None:
    events = [MessageReceived(message=message(name, seconds)) for name, seconds in (("b", 5), ("c", 1), ("a", 5))]

    assert [each.message_id for each in given(DECIDER, *events).state.in_order()] == ["c", "a", "b"]


def test_only_the_first_time_that_a_message_was_seen_counts() -> None:
    first = MessageSeen(message_ids=("o_1",), occurred_at=at(5))

    given(DECIDER, first).when(RecordSeen(message_ids=("o_1",), occurred_at=at(6))).then_nothing().when(
        RecordSeen(message_ids=("o_2", "o_1", "o_2"), occurred_at=at(6))
    ).then(MessageSeen(message_ids=("o_2",), occurred_at=at(6))).when(
        RecordSeen(message_ids=("o_1",), occurred_at=at(4))
    ).then(MessageSeen(message_ids=("o_1",), occurred_at=at(4)))


def test_delivered_is_not_seen() -> None:
    delivered = MessageDelivered(message_ids=("o_1",), occurred_at=at(5))

    told = given(DECIDER).when(RecordDelivered(message_ids=("o_1",), occurred_at=at(5))).then(delivered)

    assert (told.state.delivered, told.state.seen) == ({"o_1": at(5)}, {})


def test_the_last_choice_to_follow_counts() -> None:
    left = FollowingChanged(is_following=False, occurred_at=at(5))

    given(DECIDER).when(RecordFollowing(is_following=False, occurred_at=at(5))).then(left).when(
        RecordFollowing(is_following=True, occurred_at=at(4))
    ).then_nothing().when(RecordFollowing(is_following=True, occurred_at=at(5))).then_nothing().when(
        RecordFollowing(is_following=True, occurred_at=at(6))
    ).then(FollowingChanged(is_following=True, occurred_at=at(6)))


def test_of_two_choices_in_one_instant_the_one_not_to_follow_counts() -> None:
    came = FollowingChanged(is_following=True, occurred_at=at(5))

    given(DECIDER, came).when(RecordFollowing(is_following=False, occurred_at=at(5))).then(
        FollowingChanged(is_following=False, occurred_at=at(5))
    )


def test_a_later_request_for_erasure_is_another_one() -> None:
    asked = given(DECIDER, RECEIVED).when(RequestErasure(occurred_at=at(5))).then(ErasureRequested(occurred_at=at(5)))

    asked.when(RequestErasure(occurred_at=at(5))).then_nothing()
    asked.when(RequestErasure(occurred_at=at(4))).then_nothing()
    asked.when(RequestErasure(occurred_at=at(6))).then(ErasureRequested(occurred_at=at(6)))


@pytest.mark.parametrize(("seconds", "is_to_be_erased"), [(4, True), (5, True), (6, False)])
def test_what_was_written_up_to_the_request_is_to_be_erased(seconds: float, *, is_to_be_erased: bool) -> None:
    state = given(DECIDER, ErasureRequested(occurred_at=at(5))).state

    assert state.is_to_be_erased(message(seconds=seconds)) is is_to_be_erased
    assert not DECIDER.initial().is_to_be_erased(message(seconds=seconds))


def test_a_customer_can_be_named_and_renamed_and_taken_back() -> None:
    named = CustomerIdentified(customer_id="cus_1")

    given(DECIDER).when(IdentifyCustomer(customer_id="")).then_nothing().when(
        IdentifyCustomer(customer_id="cus_1")
    ).then(named).when(IdentifyCustomer(customer_id="cus_1")).then_nothing().when(
        IdentifyCustomer(customer_id="cus_2")
    ).then(CustomerIdentified(customer_id="cus_2")).when(IdentifyCustomer(customer_id="")).then(
        CustomerIdentified(customer_id="")
    )


def test_a_message_is_answered_once() -> None:
    answer = AnswerMessage(message_id="m_1", answer_id="a_1", text="It failed.")
    other = msgspec.structs.replace(answer, answer_id="a_2", text="It succeeded.", abstained=True)

    given(DECIDER, RECEIVED).when(answer).then(ANSWERED).when(answer).then_nothing().when(other).then_nothing()


def test_what_nobody_wrote_is_not_answered() -> None:
    answer = AnswerMessage(message_id="m_2", answer_id="a_1", text="It failed.")

    given(DECIDER, RECEIVED).when(answer).then_rejected("message.unknown")


TIMES = st.integers(0, 3).map(at)
IDS = st.sampled_from(["m_1", "m_2", "m_3"])
SOME_IDS = st.lists(IDS, min_size=1, max_size=3).map(tuple)
TOLD: st.SearchStrategy[ConversationCommand] = st.one_of(
    # One content per id, as a provider keeps it.
    IDS.map(lambda name: RecordMessage(message=message(name, int(name[-1]) % 2))),
    st.builds(RecordDelivered, message_ids=SOME_IDS, occurred_at=TIMES),
    st.builds(RecordSeen, message_ids=SOME_IDS, occurred_at=TIMES),
    st.builds(RecordFollowing, is_following=st.booleans(), occurred_at=TIMES),
    st.builds(RequestErasure, occurred_at=TIMES),
)


def told(state: Conversation, commands: Sequence[ConversationCommand], now: datetime = START) -> Conversation:
    for command in commands:
        for event in DECIDER.decide(state, command, now):
            state = DECIDER.evolve(state, event)
    return state


@any_of(data=st.data(), commands=st.lists(TOLD, max_size=8))
def test_any_order_and_any_repetition_end_in_the_same_conversation(
    data: st.DataObject, commands: list[ConversationCommand]
) -> None:
    again = data.draw(st.lists(st.sampled_from(commands), max_size=4)) if commands else []
    order = data.draw(st.permutations([*commands, *again]))

    assert told(DECIDER.initial(), order) == told(DECIDER.initial(), commands)


@any_of(before=st.lists(TOLD, max_size=5), after=st.lists(TOLD, max_size=5))
def test_an_answer_stays_whatever_comes_after_it(
    before: list[ConversationCommand], after: list[ConversationCommand]
) -> None:
    received = RecordMessage(message=message("m_1", 1))
    answer = AnswerMessage(message_id="m_1", answer_id="a_1", text="It failed.")

    state = told(DECIDER.initial(), [*before, received, answer, *after])

    assert state.answers == {"m_1": ANSWERED}
    assert msgspec.structs.replace(state, answers={}) == told(DECIDER.initial(), [*before, *after, received])
