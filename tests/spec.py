"""Rules as sentences: `given(decider, *events).when(command).then(*events)`."""

from datetime import UTC, datetime
from typing import Generic, TypeVar

from domain.errors import Rejection
from domain.message import Decider

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

StateT = TypeVar("StateT")
CommandT = TypeVar("CommandT")
EventT = TypeVar("EventT")


class Given(Generic[StateT, CommandT, EventT]):
    """A decider with a history behind it."""

    def __init__(self, decider: Decider[StateT, CommandT, EventT], state: StateT) -> None:
        self._decider = decider
        self.state = state

    def when(self, command: CommandT, at: datetime = NOON) -> "Outcome[StateT, CommandT, EventT]":
        """The command is decided at `at`."""
        try:
            events = tuple(self._decider.decide(self.state, command, at))
        except Rejection as rejection:
            return Outcome(self._decider, self.state, (), rejection)
        return Outcome(self._decider, self.state, events, None)


class Outcome(Generic[StateT, CommandT, EventT]):
    """What came of a command."""

    def __init__(
        self,
        decider: Decider[StateT, CommandT, EventT],
        before: StateT,
        events: tuple[EventT, ...],
        rejection: Rejection | None,
    ) -> None:
        self._decider = decider
        self._before = before
        self._events = events
        self._rejection = rejection

    def then(self, *events: EventT) -> Given[StateT, CommandT, EventT]:
        """Exactly these events happened; the story goes on from there."""
        assert events, "say then_nothing()"
        assert self._rejection is None, f"rejected: {self._rejection}"
        assert self._events == events
        return _after(self._decider, self._before, events)

    def then_nothing(self) -> Given[StateT, CommandT, EventT]:
        """The command was accepted and there was nothing to do."""
        assert self._rejection is None, f"rejected: {self._rejection}"
        assert self._events == ()
        return Given(self._decider, self._before)

    def then_rejected(self, code: str) -> Given[StateT, CommandT, EventT]:
        """The command was refused with `code` and a sentence for a person."""
        assert self._rejection is not None, f"accepted: {self._events}"
        assert self._rejection.code == code
        assert self._rejection.detail
        return Given(self._decider, self._before)


def given(decider: Decider[StateT, CommandT, EventT], *events: EventT) -> Given[StateT, CommandT, EventT]:
    """The decider's aggregate after `events`, none for a new one."""
    return _after(decider, decider.initial(), events)


def _after(
    decider: Decider[StateT, CommandT, EventT], state: StateT, events: tuple[EventT, ...]
) -> Given[StateT, CommandT, EventT]:
    for event in events:
        state = decider.evolve(state, event)
    return Given(decider, state)
