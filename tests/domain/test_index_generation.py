"""Generations of an index: one is active, and none becomes so unchecked."""

import pytest

from domain.index_generation import (
    ActivateGeneration,
    GenerationActivated,
    GenerationCaughtUp,
    GenerationChecked,
    GenerationStarted,
    IndexCommand,
    IndexDecider,
    IndexEvent,
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
    assert after.state.stages == {1: "retired", 2: "active"}


def test_a_retired_generation_may_be_activated_again() -> None:
    rolled_back = given(DECIDER, *history(1), *history(2, retires=1)).when(activate(1))

    assert rolled_back.then(GenerationActivated(generation=1, retires=2)).state.stages == {1: "active", 2: "retired"}


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
