"""Where every decision of a simulated run comes from: one stream of small numbers, in which 0 is always harmless.

So a run is replayed from its numbers, and a failing one is shrunk by making them fewer and smaller.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

T = TypeVar("T")

PERMILLE = 1_000


class Choices:
    """Decisions drawn from `draw(n)`, a number from 0 to n - 1; all that were drawn are kept in `made`, in order."""

    def __init__(
        self,
        draw: Callable[[int], int],
        made: list[int] | None = None,
        branch: Callable[[str], Callable[[int], int]] | None = None,
    ) -> None:
        self._draw = draw
        self._branch = branch
        self._branches: dict[str, Choices] = {}
        self.made: list[int] = [] if made is None else made

    def of(self, name: str) -> "Choices":
        """The choices of one kind. A seed has a stream for each: without one kind the others stay as they are."""
        if self._branch is None:
            return self
        if name not in self._branches:
            self._branches[name] = Choices(self._branch(name), self.made)
        return self._branches[name]

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        if limit <= 1:
            return 0
        number = self._draw(limit)
        self.made.append(number)
        return number

    def is_hit(self, permille: int) -> bool:
        """True `permille` times in a thousand; the number 0 is a miss."""
        return permille > 0 and self.below(PERMILLE) >= PERMILLE - permille

    def one_of(self, items: Sequence[T]) -> T:
        """One of the items; the first is the harmless one."""
        return items[self.below(len(items))]


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """The choices of a run: what is `told` by the provider, and how it is `scheduled`; `made` has both in order."""

    told: Choices
    scheduled: Choices
    made: list[int]


def seeded(seed: int, schedule: int = 0) -> Stream:
    """The choices of a seed, the same on every machine; another `schedule` tells the same in another way."""
    made: list[int] = []

    def choices(kind: str) -> Choices:
        return Choices(
            random.Random(kind).randrange, made, branch=lambda name: random.Random(f"{kind} {name}").randrange
        )

    return Stream(told=choices(f"told {seed}"), scheduled=choices(f"scheduled {seed} {schedule}"), made=made)


def drawn_by(draw: Callable[[int], int]) -> Stream:
    """Choices from one source, such as Hypothesis."""
    made: list[int] = []
    choices = Choices(draw, made)
    return Stream(told=choices, scheduled=choices, made=made)


def replayed(numbers: Sequence[int]) -> Stream:
    """The choices that were made once, again. Where they end, or would not fit, the harmless one is made."""
    rest = iter(numbers)
    return drawn_by(lambda limit: min(next(rest, 0), limit - 1))
