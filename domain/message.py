"""What crosses borders: commands in, events kept, replies out; and the shape that every aggregate has.

What exists by the hundred thousand and cannot be in a cycle is kept from the garbage collector (`gc=False`): to look at
it again and again was a fifth of a shard's time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from domain.errors import Rejection
from domain.ids import Category


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A wish, in the imperative. It may be refused."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What happened, in the past tense. It is never refused and never changed."""


class Trace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What ties an event to the message that caused it.

    `correlation_id` follows a message from its arrival to the answer that cites it; `traceparent` is the W3C trace
    context (https://www.w3.org/TR/trace-context/).
    """

    correlation_id: str = ""
    traceparent: str = ""


class Accepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="accepted"):
    """The command's events are durable. `version` counts the stream's events, `position` is the last one in the log."""

    version: int
    position: int


class Unchanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="unchanged"):
    """Nothing to append: this was known already."""

    version: int


class Rejected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="rejected"):
    """The rules refuse the command; `code` is stable."""

    code: str
    detail: str = ""

    @classmethod
    def of(cls, rejection: Rejection) -> "Rejected":
        return cls(code=rejection.code, detail=rejection.detail)


class Failed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="failed"):
    """The command could not be handled for an operational reason. `retryable` says whether to send it again."""

    reason: str
    retryable: bool


Reply = Accepted | Unchanged | Rejected | Failed

StateT = TypeVar("StateT")
CommandT = TypeVar("CommandT", contravariant=True)
EventT = TypeVar("EventT")


class Decider(Protocol[StateT, CommandT, EventT]):
    """An aggregate's rules (Chassaing, "Functional Event Sourcing Decider", 2021)."""

    tag: Category

    def initial(self) -> StateT: ...

    def decide(self, state: StateT, command: CommandT, at: datetime) -> Sequence[EventT]:
        """The events that the command leads to, none if nothing changes. Raises `Rejection`."""
        ...

    def evolve(self, state: StateT, event: EventT) -> StateT:
        """The state after the event. Accepts history as it is."""
        ...
