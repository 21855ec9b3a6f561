"""A cached answer is never older than a change of anything that it depends on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import answer_cache
from gateway.answer_cache import AnswerCache
from gateway.asking import _dependencies
from projections.retrieval import Gathered

PI_1, PI_2, PI_3 = (("acme", f"pi_{number}") for number in (1, 2, 3))


def cache(entries_max: int = 100) -> AnswerCache[str]:
    return AnswerCache(entries_max)


def test_an_answer_is_kept_until_something_it_depends_on_changes() -> None:
    answers = cache()
    assert answers.get(("q",)) is None
    assert answers.store(("q",), "answer", {PI_1: 5, PI_2: 5})
    assert answers.get(("q",)) == "answer"

    answers.changed([PI_3], 6)
    assert answers.get(("q",)) == "answer"
    answers.changed([PI_2], 7)
    assert answers.get(("q",)) is None
    assert (answers.hits, answers.misses, answers.evictions, len(answers)) == (2, 2, 1, 0)


def test_only_what_depends_on_a_change_goes() -> None:
    answers = cache()
    answers.store(("one",), "1", {PI_1: 5})
    answers.store(("both",), "2", {PI_1: 5, PI_2: 5})
    answers.store(("other",), "3", {PI_2: 5})

    answers.changed([PI_1, PI_1], 6)

    assert [answers.get((name,)) for name in ("one", "both", "other")] == [None, None, "3"]
    assert answers.evictions == 2


def test_the_same_id_of_another_tenant_is_another_thing() -> None:
    answers = cache()
    answers.store(("q",), "answer", {PI_1: 5})

    answers.changed([("globex", "pi_1")], 6)

    assert answers.get(("q",)) == "answer"


@pytest.mark.parametrize(("read_at", "is_kept"), [(6, False), (7, True), (8, True)])
def test_an_answer_that_was_read_before_a_change_is_not_kept(*, read_at: int, is_kept: bool) -> None:
    answers = cache()
    answers.changed([PI_1], 7)

    assert answers.store(("q",), "answer", {PI_1: read_at, PI_2: 1}) is is_kept
    assert answers.get(("q",)) == ("answer" if is_kept else None)
    assert answers.refusals == int(not is_kept)


def test_changes_told_out_of_order_count_as_the_latest() -> None:
    answers = cache()
    answers.changed([PI_1], 9)
    answers.changed([PI_1], 4)

    assert not answers.store(("q",), "answer", {PI_1: 8})


def test_after_missed_changes_nothing_from_before_is_kept() -> None:
    answers = cache()
    answers.store(("old",), "answer", {PI_1: 5})
    answers.clear(10)

    assert answers.get(("old",)) is None
    assert not answers.store(("late",), "answer", {PI_2: 9})
    assert answers.store(("new",), "answer", {PI_2: 10})
    assert len(answers) == 1


def test_a_change_that_was_heard_is_not_forgotten_when_others_were_missed() -> None:
    answers = cache()
    answers.changed([PI_1], 20)
    answers.clear(10)

    assert not answers.store(("q",), "answer", {PI_1: 19})
    assert answers.store(("q",), "answer", {PI_1: 20})


def test_the_answers_that_were_not_asked_for_longest_go_first() -> None:
    answers = cache(entries_max=2)
    for name in ("a", "b"):
        answers.store((name,), name, {PI_1: 5})
    answers.get(("a",))
    answers.store(("c",), "c", {PI_1: 5})

    assert [answers.get((name,)) for name in ("a", "b", "c")] == ["a", None, "c"]


def test_an_answer_replaces_the_one_before_with_its_dependencies() -> None:
    answers = cache()
    answers.store(("q",), "first", {PI_1: 5})
    answers.store(("q",), "second", {PI_2: 5})

    answers.changed([PI_1], 6)
    assert answers.get(("q",)) == "second"
    answers.changed([PI_2], 7)
    assert answers.get(("q",)) is None


def test_what_is_gone_leaves_nothing_behind() -> None:
    answers = cache(entries_max=3)
    for number in range(50):
        answers.store((str(number),), "answer", {("acme", f"pi_{number}"): number})
    answers.changed([("acme", "pi_49")], 60)

    assert len(answers) == len(answers._dependents) == 2


def test_the_changes_that_are_forgotten_still_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "CHANGES_REMEMBERED_MAX", 2)
    answers = cache()
    for position, dependency in enumerate((PI_1, PI_2, PI_3), start=7):
        answers.changed([dependency], position)

    assert len(answers._changed) == 2
    assert not answers.store(("q",), "answer", {PI_1: 6})
    assert answers.store(("q",), "answer", {PI_1: 7})


NAMES = st.sampled_from("abc")
DEPENDENCIES = st.dictionaries(NAMES, st.integers(0, 5), min_size=1, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sets(NAMES, min_size=1, max_size=2), st.integers(0, 2)),
        st.tuples(st.just("store"), st.integers(0, 3), DEPENDENCIES),
        st.tuples(st.just("miss"), NAMES, st.just(0)),
        st.tuples(st.just("get"), st.integers(0, 3), st.just(0)),
    ),
    max_size=40,
)


@pytest.mark.long
@given(STEPS)
@settings(max_examples=150)
def test_a_hit_is_never_older_than_a_change(steps: list[tuple[str, object, object]]) -> None:
    """Against the plain truth: at which position each thing changed last, and at which an answer read it."""
    answers: AnswerCache[dict[str, int]] = AnswerCache(3)
    changed_at: dict[str, int] = {}
    position = 0
    for step in steps:
        match step:
            case ("change", set(names), int(by)):
                position += by
                changed_at |= dict.fromkeys(map(str, names), position)
                answers.changed([("acme", str(name)) for name in names], position)
            case ("store", int(key), dict(lags)):
                read_at = {name: max(0, position - lag) for name, lag in lags.items()}
                answers.store((str(key),), read_at, {("acme", name): at for name, at in read_at.items()})
            case ("miss", str(name), _):
                position += 1
                changed_at[name] = position  # Nobody tells the cache, but that it missed something.
                answers.clear(position)
            case ("get", int(key), _):
                found = answers.get((str(key),))
                assert found is None or all(at >= changed_at.get(name, 0) for name, at in found.items())
    assert len(answers) <= 3


def of_generation(generation: int, position: int) -> Gathered:
    return Gathered(
        position=position,
        knowledge_position=position,
        generation=generation,
        lag_ms=0,
        payments=[],
        passages=[],
        looked_up=["pi_1"],
    )


def test_an_answer_of_a_retired_generation_is_neither_served_nor_kept() -> None:
    answers = cache()
    answers.store(("old",), "of 1", _dependencies("acme", of_generation(1, 5)))
    answers.store(("other",), "of 1", _dependencies("globex", of_generation(1, 5)))

    # As an index shard announces that generation 2 is active: the event lies at position 9.
    answers.changed([("acme", "generation:1")], 9)

    assert (answers.get(("old",)), answers.get(("other",))) == (None, "of 1")
    assert not answers.store(("late",), "of 1", _dependencies("acme", of_generation(1, 8)))
    assert answers.store(("new",), "of 2", _dependencies("acme", of_generation(2, 8)))
