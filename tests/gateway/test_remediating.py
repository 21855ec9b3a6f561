"""The remediator on a node whose troubles are made up: what it begins, in which order it acts, and where it stops."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import FencedError, Rejection, RetryableError
from domain.remediation import StepActed
from domain.runbook import RUNBOOKS
from gateway.tally import Tallied
from tests.gateway.remediation_world import World
from tests.worlds import entries_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    made.recorder.datastore.close()


async def test_a_symptom_that_lasts_begins_its_runbook_and_every_step_is_in_the_log(world: World) -> None:
    world.node.deaf = "it does not answer"
    await world.turns(10)
    assert world.told() == []

    await world.turns(5)

    assert world.node.done == ["restart nats"]
    assert world.told() == ["began", "step_checked", "step_started", "step_acted", "step_verified", "ended"]


async def test_a_symptom_that_goes_by_itself_begins_nothing(world: World) -> None:
    for _ in range(3):
        world.node.deaf = "it does not answer"
        await world.turns(9)
        world.node.deaf = ""
        await world.turns(1)

    assert world.told() == []


async def test_an_alert_begins_the_runbooks_of_its_objective_and_those_that_find_nothing_do_nothing(
    world: World,
) -> None:
    world.node.deaf = "it does not answer"
    world.alert("availability")
    await world.turns(6)

    assert world.node.done == ["restart nats"]
    assert world.told().count("began") == 1
    assert world.remediator.ends == {("broker-deaf", "recovered"): 1}


async def test_alerts_may_begin_and_end_while_one_is_looked_at(world: World) -> None:
    world.alert("availability")
    world.node.while_looking = lambda: world.alert("answer-latency")

    await world.turns(3)

    assert world.told() == []


async def test_an_alert_that_ended_begins_nothing(world: World) -> None:
    world.alert("availability")
    world.alert("availability", is_firing=False)
    await world.turns(3)

    assert world.told() == []


async def test_what_does_not_help_is_tried_twice_and_then_a_person_is_told(world: World) -> None:
    world.node.deaf, world.node.helps = "it does not answer", False
    world.alert("availability")
    await world.turns(80)

    assert world.node.done == ["restart nats"] * 2
    assert world.remediator.ends["broker-deaf", "escalated"] == 1


async def test_a_runbook_that_never_helps_flaps_and_stops(world: World) -> None:
    world.node.deaf, world.node.fails = "it does not answer", True
    world.alert("availability")
    await world.turns(250, every_s=4.0)

    assert world.remediator.ends["broker-deaf", "escalated"] == 3
    assert world.remediator.ends["broker-deaf", "refused"] == 1
    assert world.told().count("refused") == 1


async def test_more_silent_hosts_than_a_step_may_touch_wait_for_a_person(world: World) -> None:
    world.node.silent = ["intake-0", "payments-0"]
    world.alert("availability")
    await world.turns(20)
    assert world.node.done == []
    assert world.remediator.waiting == 1

    [run] = [each.state.run for each in await world.remediator.standings() if each.state.run]
    await world.remediator.settle("host-silent", run.run_id, run.step.name, by="on-call", is_approved=True)
    await world.turns(5)

    assert world.node.done == ["restart intake-0", "restart payments-0"]


async def test_in_the_mode_ask_nothing_is_done_without_a_person(world: World) -> None:
    world.remediator = world.started(mode="ask")
    world.node.deaf = "it does not answer"
    world.alert("availability")
    await world.turns(20)

    assert world.node.done == []
    assert world.remediator.waiting == 1


async def test_switched_off_nothing_begins_by_itself_and_a_person_may_begin_it(world: World) -> None:
    world.remediator = world.started(mode="off")
    world.node.deaf = "it does not answer"
    world.alert("availability")
    await world.turns(20)
    assert world.told() == []

    await world.remediator.begin("broker-deaf", "it is deaf")
    await world.turns(5)

    assert world.node.done == ["restart nats"]


async def test_a_gateway_that_ends_in_the_middle_of_an_act_goes_on_where_it_was(world: World) -> None:
    world.node.deaf = "it does not answer"
    world.alert("availability")
    await world.turns(2)
    state = await world.remediator.begin("pause-source", "by hand", ["acme/stripe"])
    assert state.run is not None
    before, world.remediator = world.remediator, world.started()

    await world.turns(10)

    assert world.node.done.count("restart nats") == 1
    assert "acme/stripe" in world.node.paused
    with pytest.raises(FencedError):
        await before.begin("open-circuit", "by hand", ["acme/stripe"])


async def test_a_source_of_which_most_is_put_aside_is_paused_and_let_through_if_it_did_not_help(world: World) -> None:
    def counts(messages: int, quarantined: int) -> None:
        world.node.counts = [Tallied(tenant="acme", source="stripe", messages=messages, quarantined=quarantined)]

    counts(1_000, 900)
    await world.turns(1)
    counts(1_200, 930)
    world.alert("ingestion-validity")
    await world.turns(5)
    assert world.node.paused == set(), "long ago, and less than half of the last ones"

    world.clock.forward(70)
    for number in range(200):
        counts(1_200 + number, 930 + number)
        await world.turns(1)
        if world.remediator.ends:
            break

    assert world.node.done == ["pause acme/stripe", "pause acme/stripe", "resume acme/stripe"]
    assert world.remediator.ends == {("quarantine-grows", "escalated"): 1}


async def test_wrong_answers_have_missed_events_pulled_and_what_is_worth_it_sent_in_again(world: World) -> None:
    world.node.apis = {"acme/stripe": 3}
    world.node.open = {"acme": 2, "globex": 0}
    world.alert("answer-accuracy")
    await world.turns(10)

    assert world.node.done == ["poll acme/stripe", "requeue acme"]
    assert "acme/stripe was asked and had 3 new messages" in [
        event.found for each in entries_in(world.recorder) if isinstance(event := each.envelope().event, StepActed)
    ]


async def test_a_person_names_what_is_to_be_touched(world: World) -> None:
    await world.remediator.begin("open-circuit", "the provider asked for it", ["acme/stripe"])
    await world.turns(4)

    assert world.node.done == ["open acme/stripe"]
    with pytest.raises(Rejection, match=r"remediation\.unknown"):
        await world.remediator.begin("reboot", "why not")


async def test_an_act_that_is_impossible_is_told_and_not_taken_for_done(world: World) -> None:
    await world.remediator.begin("pause-source", "by hand", ["acme"])
    await world.turns(30)

    assert world.node.paused == set()
    assert world.remediator.ends["pause-source", "escalated"] == 1


@pytest.mark.parametrize("taken", [0, 1, 2], ids=["begin", "check", "start"])
async def test_no_step_is_taken_that_the_log_does_not_take(world: World, taken: int) -> None:
    world.node.deaf = "it does not answer"
    world.alert("availability")
    world.recorder.takes = taken

    with pytest.raises(RetryableError):
        await world.turns(1)
    assert world.node.done == []


async def test_what_is_found_is_acted_on_in_the_same_turn(world: World) -> None:
    world.node.deaf = "it does not answer"
    world.alert("availability")

    await world.turns(1)

    assert world.node.done == ["restart nats"]


def test_every_runbook_that_begins_by_itself_says_on_what() -> None:
    by_hand = {book.name for book in RUNBOOKS if not book.objectives and book.symptom is None}

    assert by_hand == {
        "pause-source",
        "open-circuit",
        "rebuild-generation",
        "roll-back-generation",
        "start-intake",
        "stop-intake",
    }


async def test_intakes_that_are_behind_get_one_more_which_is_ended_when_they_are_quiet(world: World) -> None:
    world.node.wanted = ["intake-1"]
    await world.turns(3)
    assert world.node.done == ["start intake-1"]
    assert world.remediator.ends == {("intakes-behind", "recovered"): 1}

    world.node.spare = ["intake-1"]
    await world.turns(3)

    assert world.node.done == ["start intake-1", "stop intake-1"]
    assert world.remediator.ends["intakes-quiet", "recovered"] == 1


async def test_an_intake_more_that_does_not_help_is_ended_and_a_person_is_told(world: World) -> None:
    world.node.wanted, world.node.helps = ["intake-1"], False
    await world.turns(100)

    assert world.node.done == ["start intake-1", "start intake-1", "stop intake-1"]
    assert world.remediator.ends == {("intakes-behind", "escalated"): 1}


async def test_an_intake_that_is_missed_when_it_is_gone_is_started_again(world: World) -> None:
    world.node.spare, world.node.helps = ["intake-1"], False
    await world.turns(100)

    assert world.node.done == ["stop intake-1", "stop intake-1", "start intake-1"]
    assert world.remediator.ends == {("intakes-quiet", "escalated"): 1}


async def test_intakes_that_come_and_go_all_the_time_wait_for_a_person(world: World) -> None:
    for _ in range(6):
        world.node.wanted = ["intake-1"]
        await world.turns(3)
        world.node.spare = ["intake-1"]
        await world.turns(100)

    assert world.node.done.count("start intake-1") == 3
    assert world.remediator.ends["intakes-behind", "refused"] == 1


async def test_wrong_canary_answers_have_the_views_rebuilt_and_that_is_waited_for(world: World) -> None:
    await world.turns(1)
    world.node.wrong = 1.0
    world.alert("answer-accuracy")
    await world.turns(20)
    assert world.node.done == ["rebuild canary"]
    assert world.remediator.ends == {}

    world.node.building["canary"] = ""
    await world.turns(2)

    assert world.remediator.ends == {("answers-wrong", "recovered"): 1}


async def test_nobody_goes_back_a_generation_without_a_person_who_looked_twice(world: World) -> None:
    await world.remediator.begin("roll-back-generation", "it is worse", ["acme"])
    await world.turns(10)
    assert world.node.done == []

    [run] = [each.state.run for each in await world.remediator.standings() if each.state.run]
    await world.remediator.settle("roll-back-generation", run.run_id, run.step.name, by="on-call", is_approved=True)
    await world.turns(4)

    assert world.node.done == ["roll back acme"]
