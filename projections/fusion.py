"""Several rankings of the same passages as one: reciprocal rank fusion.

A ranking counts by its ranks alone, so a cosine and a BM25 score need not be comparable (Cormack, Clarke, Buettcher:
Reciprocal rank fusion outperforms Condorcet and individual rank learning methods, SIGIR 2009; k = 60 is theirs).
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

RANK_CONSTANT = 60
# How much of each ranking is looked at, at least: what stands 50th in both is behind what stands first in one.
DEPTH_MIN = 50
# Withdrawn and replaced passages may still be found for a moment; so many more are asked for.
OVERSAMPLING = 3


class FusionWeights(msgspec.Struct, frozen=True, kw_only=True):
    """What a rank counts by meaning (vectors) and by words.

    Chosen on one half of three corpora's questions and tested on the other: see `recount bench retrieval`.
    """

    dense: float = 3.0
    lexical: float = 1.0


WEIGHTS = FusionWeights()


def depth(top_k: int) -> int:
    """How much of each ranking to fuse for `top_k` passages."""
    return max(DEPTH_MIN, top_k * OVERSAMPLING)


def fused(
    dense: Sequence[str], lexical: Sequence[str], weights: FusionWeights = WEIGHTS, *, constant: int = RANK_CONSTANT
) -> list[tuple[str, float]]:
    """The ids of both rankings with their fused scores, the best first; equal ones as the dense ranking has them."""
    scores: dict[str, float] = {}
    for ranking, weight in ((dense, weights.dense), (lexical, weights.lexical)):
        for rank, each in enumerate(_distinct(ranking), start=1):
            scores[each] = scores.get(each, 0.0) + weight / (constant + rank)
    return sorted(scores.items(), key=lambda each: -each[1])


def standing_in(dense: Sequence[str], lexical: Sequence[str], is_unranked: Callable[[str], bool]) -> list[str]:
    """The lexical ranking, in which what is too new to be in it has the rank that its meaning gives it.

    Without that, what was published a moment ago would stand behind everything that both rankings have.
    """
    ranked, filled = set(lexical), list(lexical)
    for rank, each in enumerate(dense):
        if each not in ranked and is_unranked(each):
            filled.insert(rank, each)
    return filled


def _distinct(ranking: Sequence[str]) -> Iterable[str]:
    return dict.fromkeys(ranking)
