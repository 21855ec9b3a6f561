"""Generations of an index: one is active, and none becomes so unchecked."""

import pytest

from domain.index_generation import (
    AbandonGeneration,
    ActivateGeneration,
    GenerationAbandoned,
    GenerationActivated,
    GenerationCaughtUp,
    GenerationChecked,
    GenerationRecalled,
    GenerationRemoved,
    GenerationStarted,
    Index,
    IndexCommand,
    IndexDecider,
    IndexEvent,
    RecallGeneration,
    RemoveGeneration,
    ReportCaughtUp,
    ReportChecked,
    StartGeneration,
)
from tests.spec import given

DECIDER = IndexDecider()


def start(generation: int) -> StartGeneration:
    return StartGeneration(generation=generation, reason="new embedder")


def caught_up(generation: int) -> ReportCaughtUp:
    return ReportCaughtUp(generation=generation, position=812)


def checked(generation: int) -> ReportChecked:
    return ReportChecked(generation=generation, counts={"chunks": 40}, checksum="c0ffee")


def activate(generation: int) -> ActivateGeneration:
    return ActivateGeneration(generation=generation)


def history(generation: int, *, until: str = "active", retires: int = 0) -> list[IndexEvent]:
    """What happened to a generation until it reached a stage."""
    events: list[IndexEvent] = [
        GenerationStarted(generation=generation, reason="new embedder"),
        GenerationCaughtUp(generation=generation, position=812),
        GenerationChecked(generation=generation, counts={"chunks": 40}, checksum="c0ffee"),
        GenerationActivated(generation=generation, retires=retires),
    ]
    return events[: 1 + ["building", "caught_up", "checked", "active"].index(until)]


def stages(state: Index) -> dict[int, str]:
    return {generation: each.stage for generation, each in state.generations.items()}


def test_a_generation_is_built_checked_and_activated() -> None:
    built, reported, passed, activated = history(1)

    given(DECIDER).when(start(1)).then(built).when(caught_up(1)).then(reported).when(checked(1)).then(passed).when(
        activate(1)
    ).then(activated)


def test_every_step_may_be_reported_twice() -> None:
    given(DECIDER, *history(1, until="building")).when(start(1)).then_nothing()
    given(DECIDER, *history(1, until="caught_up")).when(caught_up(1)).then_nothing()
    given(DECIDER, *history(1, until="checked")).when(checked(1)).then_nothing()
    given(DECIDER, *history(1)).when(activate(1)).then_nothing()


def test_activating_the_next_one_retires_the_one_before() -> None:
    after = given(DECIDER, *history(1), *history(2, until="checked")).when(activate(2)).then(*history(2, retires=1)[3:])

    assert after.state.active == 2
    assert stages(after.state) == {1: "retired", 2: "active"}
    assert after.state.before == 1


def test_a_retired_generation_may_be_activated_again() -> None:
    rolled_back = given(DECIDER, *history(1), *history(2, retires=1)).when(activate(1))

    after = rolled_back.then(GenerationActivated(generation=1, retires=2)).state
    assert stages(after) == {1: "active", 2: "retired"}


@pytest.mark.parametrize("generation", [0, 1, 3])
def test_generations_are_numbered_in_turn(generation: int) -> None:
    rule = given(DECIDER, *history(1)).when(start(generation))

    if generation == 1:
        rule.then_nothing()
    else:
        rule.then_rejected("index.generation_out_of_turn")


@pytest.mark.parametrize(
    ("until", "command"),
    [
        ("building", checked(1)),
        ("building", activate(1)),
        ("caught_up", activate(1)),
        ("checked", caught_up(1)),
        ("active", caught_up(1)),
        ("active", checked(1)),
        ("active", activate(2)),
        ("active", caught_up(2)),
    ],
)
def test_no_step_is_left_out_or_taken_back(until: str, command: IndexCommand) -> None:
    given(DECIDER, *history(1, until=until)).when(command).then_rejected("index.wrong_stage")


TWO = (*history(1), *history(2, retires=1))


def test_a_generation_says_what_it_is_made_with_and_what_its_checks_counted() -> None:
    begun = GenerationStarted(generation=1, reason="drift", model="minilm/1", layout="3")
    after = given(DECIDER).when(StartGeneration(generation=1, reason="drift", model="minilm/1", layout="3")).then(begun)

    state = after.when(caught_up(1)).then(history(1)[1]).when(checked(1)).then(history(1)[2]).state.generations[1]

    assert (state.model, state.layout, state.reason) == ("minilm/1", "3", "drift")
    assert (state.counts, state.checksum) == ({"chunks": 40}, "c0ffee")


@pytest.mark.parametrize("until", ["building", "caught_up", "checked"])
def test_one_build_at_a_time(until: str) -> None:
    given(DECIDER, *history(1), *history(2, until=until)).when(start(3)).then_rejected("index.build_under_way")


def test_a_build_that_is_abandoned_makes_room_for_the_next() -> None:
    abandoned = GenerationAbandoned(generation=2, reason="3 passages are not found by their own vectors")

    after = (
        given(DECIDER, *history(1), *history(2, until="caught_up"))
        .when(AbandonGeneration(generation=2, reason="3 passages are not found by their own vectors"))
        .then(abandoned)
    )

    assert after.state.active == 1
    assert after.state.generations[2].abandoned_for == "3 passages are not found by their own vectors"
    after.when(start(3)).then(GenerationStarted(generation=3, reason="new embedder"))


def test_an_abandoned_build_is_never_activated() -> None:
    given(DECIDER, *history(1), *history(2, until="checked"), GenerationAbandoned(generation=2, reason="")).when(
        activate(2)
    ).then_rejected("index.wrong_stage")


def test_rolling_back_recalls_the_generation_before_the_active_one() -> None:
    recalled = GenerationRecalled(generation=1, reason="worse answers")

    after = given(DECIDER, *TWO).when(RecallGeneration(reason="worse answers")).then(recalled)
    after.when(RecallGeneration(reason="again")).then_nothing()

    back = after.when(activate(1)).then(GenerationActivated(generation=1, retires=2))
    assert (back.state.active, back.state.before) == (1, 2)


def test_rolling_back_ends_what_is_being_built() -> None:
    given(DECIDER, *TWO, GenerationStarted(generation=3, reason="drift")).when(RecallGeneration(reason="worse")).then(
        GenerationAbandoned(generation=3, reason="rolled back: worse"), GenerationRecalled(generation=1, reason="worse")
    )


@pytest.mark.parametrize(
    "past", [[], history(1), [*TWO, GenerationRemoved(generation=1)]], ids=["none", "the first", "removed"]
)
def test_there_must_be_something_to_roll_back_to(past: list[IndexEvent]) -> None:
    given(DECIDER, *past).when(RecallGeneration(reason="worse")).then_rejected("index.nothing_to_roll_back_to")


def test_only_what_is_retired_is_removed_and_only_once() -> None:
    rule = given(DECIDER, *TWO)
    rule.when(RemoveGeneration(generation=2)).then_rejected("index.wrong_stage")

    rule = given(DECIDER, *TWO).when(RemoveGeneration(generation=1)).then(GenerationRemoved(generation=1))
    rule.when(RemoveGeneration(generation=1)).then_nothing()
