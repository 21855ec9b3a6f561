"""Ranks of two rankings as one."""

from projections.fusion import DEPTH_MIN, FusionWeights, depth, fused, standing_in

EVEN = FusionWeights(dense=1.0, lexical=1.0)


def ranking(*args: list[str], weights: FusionWeights = EVEN) -> list[str]:
    dense, lexical = args
    return [each for each, _ in fused(dense, lexical, weights)]


def test_what_both_rankings_have_stands_above_what_one_has() -> None:
    assert ranking(["a", "b", "c"], ["x", "c", "y"])[0] == "c"
    assert ranking(["a", "b"], ["b", "a"]) == ["a", "b"]
    assert ranking([], ["x", "y"]) == ["x", "y"]
    assert ranking([], []) == []


def test_a_score_is_the_sum_of_the_weighted_reciprocal_ranks() -> None:
    found = dict(fused(["a", "b"], ["b"], FusionWeights(dense=3.0, lexical=1.0), constant=60))

    assert found == {"a": 3 / 61, "b": 3 / 62 + 1 / 61}


def test_a_heavier_ranking_decides_where_they_disagree() -> None:
    assert ranking(["a", "b"], ["b", "c", "d", "a"]) == ["b", "a", "c", "d"]
    assert ranking(["a", "b"], ["b", "c", "d", "a"], weights=FusionWeights(dense=9.0, lexical=0.1))[0] == "a"


def test_more_is_looked_at_than_is_wanted() -> None:
    assert depth(1) == DEPTH_MIN
    assert depth(1_000) > 1_000


def test_what_is_too_new_for_the_words_has_the_rank_of_its_meaning_in_both() -> None:
    new = {"new", "newer"}

    filled = standing_in(["new", "a", "newer", "b"], ["c", "a", "d"], new.__contains__)

    assert filled == ["new", "c", "newer", "a", "d"]
    assert standing_in(["a", "new"], ["new", "a"], new.__contains__) == ["new", "a"], "the words have it by now"
    assert standing_in(["a", "b", "new"], [], new.__contains__) == ["new"]
    assert standing_in(["a"], ["b"], new.__contains__) == ["b"]
