"""What the projectors of an index shard changed, numbered, so that whoever listens knows when it missed something."""

import threading
from collections import deque

import msgspec

CHANGES_MAX = 10_000


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of a projector changed: keys (payment ids, `customer:<id>`, `document:<id>`) by tenant."""

    projection: str
    position: int
    changed: dict[str, list[str]]


class AwaitChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Wait up to `timeout_s` for a change numbered `after` or later."""

    after: int
    timeout_s: float


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """The changes from number `first` on; `next` is the number that the following one will have.

    Another `incarnation` than the last time, or a `first` that is not the number asked for, means that some were
    missed. `projected` are the positions of the projections, `head` is the log's.
    """

    incarnation: str
    first: int
    next: int
    changes: list[Change]
    projected: dict[str, int]
    head: int


class ChangeLog:
    """The last `CHANGES_MAX` changes; any number of threads may add and wait."""

    def __init__(self, incarnation: str, projections: tuple[str, ...]) -> None:
        self._incarnation = incarnation
        self._changes: deque[Change] = deque(maxlen=CHANGES_MAX)
        self._next = 0
        self._projected = dict.fromkeys(projections, 0)
        self._head = 0
        self._news = threading.Condition()

    def reached(self, projection: str, position: int, head: int, changed: dict[str, list[str]]) -> None:
        """A projector's turn is over: it is at `position`, the log at `head`, and these keys changed."""
        with self._news:
            has_moved = position != self._projected[projection]
            self._projected[projection] = position
            self._head = max(self._head, head)
            if changed or has_moved:
                self._changes.append(Change(projection=projection, position=position, changed=changed))
                self._next += 1
                self._news.notify_all()

    def announce(self, projection: str, position: int, changed: dict[str, list[str]]) -> None:
        """Something changed by another hand than a projector's turn."""
        with self._news:
            self._changes.append(Change(projection=projection, position=position, changed=changed))
            self._next += 1
            self._news.notify_all()

    def projected(self, projection: str) -> int:
        """The position that a projection has reached."""
        with self._news:
            return self._projected[projection]

    def after(self, wanted: AwaitChanges) -> Changes:
        """The changes from a number on, as soon as there is one, or none after the timeout.

        A number that is yet to come was given out by another incarnation: whoever asks for it is told so at once.
        """
        with self._news:
            self._news.wait_for(lambda: self._next != wanted.after, wanted.timeout_s)
            oldest = self._next - len(self._changes)
            first = min(max(wanted.after, oldest), self._next)
            return Changes(
                incarnation=self._incarnation,
                first=first,
                next=self._next,
                changes=list(self._changes)[first - oldest :],
                projected=dict(self._projected),
                head=self._head,
            )
