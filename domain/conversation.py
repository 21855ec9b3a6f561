"""Conversations in a chat: a set of messages by the provider's ids, who saw them, and what was answered.

Chat messages come late, twice and out of order like payments' facts: whatever the order, the conversation is the same.
Text is free of personal data before it gets here, and an attachment is only its type: its URL opens without a password.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event

Author = Literal["customer", "business"]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a chat.

    Args:
        message_id: the provider's; two messages with one id are one message.
        author: the customer, or the business through whatever it writes with.
        kind: text, image, location, sticker ..., as the provider calls it.
        occurred_at: the provider's time.
        text: what was written, scrubbed.
        attachments: their types.
        reply_to: the id of the message that it quotes.
        raw: where the provider's message is kept.
    """

    message_id: str
    author: Author
    kind: str
    occurred_at: datetime
    text: str = ""
    attachments: tuple[str, ...] = ()
    reply_to: str = ""
    raw: str = ""


class RecordMessage(Command, frozen=True, kw_only=True, tag="conversation.record_message"):
    """Something was written or shown, by the customer or to them."""

    message: Message


class RecordDelivered(Command, frozen=True, kw_only=True, tag="conversation.record_delivered"):
    """Messages of the business have reached the customer's device."""

    message_ids: tuple[str, ...]
    occurred_at: datetime


class RecordSeen(Command, frozen=True, kw_only=True, tag="conversation.record_seen"):
    """The customer has seen messages of the business."""

    message_ids: tuple[str, ...]
    occurred_at: datetime


class RecordFollowing(Command, frozen=True, kw_only=True, tag="conversation.record_following"):
    """The customer follows the business's account, or does not any more."""

    is_following: bool
    occurred_at: datetime


class RequestErasure(Command, frozen=True, kw_only=True, tag="conversation.request_erasure"):
    """The customer wants what is kept of them to be erased."""

    occurred_at: datetime


class IdentifyCustomer(Command, frozen=True, kw_only=True, tag="conversation.identify_customer"):
    """Say which customer of the payment provider's writes here; empty for nobody that is known."""

    customer_id: str


class AnswerMessage(Command, frozen=True, kw_only=True, tag="conversation.answer_message"):
    """Answer a message. Whoever sends it to the customer takes it from the conversation."""

    message_id: str
    answer_id: str
    text: str
    abstained: bool = False


ConversationCommand = (
    RecordMessage | RecordDelivered | RecordSeen | RecordFollowing | RequestErasure | IdentifyCustomer | AnswerMessage
)


class MessageReceived(Event, frozen=True, kw_only=True, tag="conversation.message_received"):
    message: Message


class MessageDelivered(Event, frozen=True, kw_only=True, tag="conversation.message_delivered"):
    message_ids: tuple[str, ...]
    occurred_at: datetime


class MessageSeen(Event, frozen=True, kw_only=True, tag="conversation.message_seen"):
    message_ids: tuple[str, ...]
    occurred_at: datetime


class FollowingChanged(Event, frozen=True, kw_only=True, tag="conversation.following_changed"):
    is_following: bool
    occurred_at: datetime


class ErasureRequested(Event, frozen=True, kw_only=True, tag="conversation.erasure_requested"):
    occurred_at: datetime


class CustomerIdentified(Event, frozen=True, kw_only=True, tag="conversation.customer_identified"):
    customer_id: str


class MessageAnswered(Event, frozen=True, kw_only=True, tag="conversation.message_answered"):
    """The answer as the customer is to read it; `answer_id` finds its evidence in the ledger."""

    message_id: str
    answer_id: str
    text: str
    abstained: bool = False


ConversationEvent = (
    MessageReceived
    | MessageDelivered
    | MessageSeen
    | FollowingChanged
    | ErasureRequested
    | CustomerIdentified
    | MessageAnswered
)


class Conversation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is known of one conversation.

    Args:
        messages: by id.
        delivered: when each message of the business reached the device, by its id, first time counts.
        seen: when each was seen.
        answers: by the id of the message that was answered.
        customer_id: who writes; empty while nobody has said so.
        is_following: the last that the customer chose; `None` if that is not known.
        following_at: when they chose it.
        erasure_requested_at: the last time that they wanted to be erased.
    """

    messages: dict[str, Message] = {}
    delivered: dict[str, datetime] = {}
    seen: dict[str, datetime] = {}
    answers: dict[str, MessageAnswered] = {}
    customer_id: str = ""
    is_following: bool | None = None
    following_at: datetime | None = None
    erasure_requested_at: datetime | None = None

    def in_order(self) -> list[Message]:
        """The messages by the provider's time, then by id."""
        return sorted(self.messages.values(), key=lambda each: (each.occurred_at, each.message_id))

    def is_to_be_erased(self, message: Message) -> bool:
        """Whether the customer asked for erasure when they had written this already."""
        return self.erasure_requested_at is not None and message.occurred_at <= self.erasure_requested_at


class ConversationDecider:
    """A conversation's rules: what is known already is no news, and a message is answered once."""

    tag: Category = "conversation"

    def initial(self) -> Conversation:
        return Conversation()

    def decide(self, state: Conversation, command: ConversationCommand, at: datetime) -> Sequence[ConversationEvent]:
        match command:
            case RecordMessage(message=message):
                return _received(state, message)
            case RecordDelivered(message_ids=message_ids, occurred_at=occurred_at):
                news = _sooner(state.delivered, message_ids, occurred_at)
                return [MessageDelivered(message_ids=news, occurred_at=occurred_at)] if news else []
            case RecordSeen(message_ids=message_ids, occurred_at=occurred_at):
                news = _sooner(state.seen, message_ids, occurred_at)
                return [MessageSeen(message_ids=news, occurred_at=occurred_at)] if news else []
            case RecordFollowing(is_following=is_following, occurred_at=occurred_at):
                changed = FollowingChanged(is_following=is_following, occurred_at=occurred_at)
                return [changed] if _prevails(changed, state) else []
            case RequestErasure(occurred_at=occurred_at):
                known = state.erasure_requested_at
                return [] if known is not None and known >= occurred_at else [ErasureRequested(occurred_at=occurred_at)]
            case IdentifyCustomer(customer_id=customer_id):
                return [] if customer_id == state.customer_id else [CustomerIdentified(customer_id=customer_id)]
            case AnswerMessage():
                return _answered(state, command)
            case _:
                assert_never(command)

    def evolve(self, state: Conversation, event: ConversationEvent) -> Conversation:
        replace = msgspec.structs.replace
        match event:
            case MessageReceived(message=message):
                return replace(state, messages={**state.messages, message.message_id: message})
            case MessageDelivered(message_ids=message_ids, occurred_at=occurred_at):
                return replace(state, delivered=_with(state.delivered, message_ids, occurred_at))
            case MessageSeen(message_ids=message_ids, occurred_at=occurred_at):
                return replace(state, seen=_with(state.seen, message_ids, occurred_at))
            case FollowingChanged(is_following=is_following, occurred_at=occurred_at):
                return replace(state, is_following=is_following, following_at=occurred_at)
            case ErasureRequested(occurred_at=occurred_at):
                return replace(state, erasure_requested_at=occurred_at)
            case CustomerIdentified(customer_id=customer_id):
                return replace(state, customer_id=customer_id)
            case MessageAnswered(message_id=message_id):
                return replace(state, answers={**state.answers, message_id: event})
            case _:
                assert_never(event)


def _received(state: Conversation, message: Message) -> Sequence[ConversationEvent]:
    """A message is known by its id. Its text is not compared: today's scrubbing may find more than yesterday's."""
    known = state.messages.get(message.message_id)
    if known is None:
        return [MessageReceived(message=message)]
    if _outside(known) != _outside(message):
        raise Rejection("message.id_reused", f"{message.message_id} is the id of another message already")
    return []


def _outside(message: Message) -> tuple[object, ...]:
    return message.author, message.kind, message.occurred_at, message.attachments, message.reply_to


def _answered(state: Conversation, command: AnswerMessage) -> Sequence[ConversationEvent]:
    if command.message_id not in state.messages:
        raise Rejection("message.unknown", f"there is no message {command.message_id} to answer")
    if command.message_id in state.answers:
        return []
    return [
        MessageAnswered(
            message_id=command.message_id,
            answer_id=command.answer_id,
            text=command.text,
            abstained=command.abstained,
        )
    ]


def _sooner(known: Mapping[str, datetime], message_ids: Sequence[str], occurred_at: datetime) -> tuple[str, ...]:
    """The messages for which this is the first time, as far as is known now."""
    return tuple(
        message_id
        for message_id in dict.fromkeys(message_ids)
        if message_id not in known or occurred_at < known[message_id]
    )


def _with(known: Mapping[str, datetime], message_ids: Sequence[str], occurred_at: datetime) -> dict[str, datetime]:
    return {**known, **dict.fromkeys(message_ids, occurred_at)}


def _prevails(changed: FollowingChanged, state: Conversation) -> bool:
    """The later choice counts; of two in one instant, not to follow."""
    if state.following_at is None:
        return True
    if changed.occurred_at == state.following_at:
        return state.is_following is True and not changed.is_following
    return changed.occurred_at > state.following_at
