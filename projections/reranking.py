"""A second look at what was found: an optional port between retrieval and the answer, and what is behind it here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from domain.settings import Rerank
from projections.knowledge import Passage
from projections.words import words

# So much of the words of two passages together is in both: they say the same.
ALIKE_MIN = 0.8
_DEPTH = 4


class Reranker(Protocol):
    """Puts the passages that were found for a question in another order.

    It sees the question and the passages alone: an answer about the past is the same whenever it is asked for.
    """

    def depth(self, top_k: int) -> int:
        """How many passages it wants to see where `top_k` are wanted."""
        ...

    def rerank(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        """The same passages, the best first."""
        ...


class RepeatsLast:
    """What repeats a better passage stands behind all that do not.

    Help pages repeat a paragraph under many titles: three passages that say one thing are one passage.
    """

    def depth(self, top_k: int) -> int:
        return top_k * _DEPTH

    def rerank(self, question: str, passages: Sequence[Passage]) -> list[Passage]:  # noqa: ARG002 - the port's
        first: list[Passage] = []
        repeats: list[Passage] = []
        seen: list[frozenset[str]] = []
        for each in passages:
            said = frozenset(words(each.text))
            if any(_share(said, before) >= ALIKE_MIN for before in seen):
                repeats.append(each)
            else:
                first.append(each)
                seen.append(said)
        return [*first, *repeats]


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    together = one | other
    return len(one & other) / len(together) if together else 1.0


_RERANKERS: Mapping[Rerank, Callable[[], Reranker | None]] = {"none": lambda: None, "repeats_last": RepeatsLast}


def reranker_of(name: Rerank) -> Reranker | None:
    """The reranker of a setting, `None` for none."""
    return _RERANKERS[name]()
