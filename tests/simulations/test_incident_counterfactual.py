"""A recorded incident is composed again as it was told, and without each fix it comes out wrong."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.fact import Fact
from gateway.replaying.samples import Sample
from simulations.incident_books import BooksWord
from simulations.incident_counterfactual import Counterfactual, Happened, counterfactuals
from simulations.incident_plan import FIXES
from simulations.incident_refold import Refold
from simulations.stripe_life import Truth
from tests.domain.examples import fact
from tests.gateway.correcting_world import World, settle
from tests.spec import NOON
from tests.worlds import TENANT, new_log

ALL_TOLD = "verification"


def charged(payment_id: str) -> Fact:
    return fact(
        f"stripe:evt_{payment_id}",
        "intent",
        "captured",
        1,
        payment_id=payment_id,
        amount_minor=4_900,
        captured_minor=4_900,
    )


def refunded(number: int, payment_id: str, status: str, seconds: float) -> Fact:
    return fact(
        f"stripe:evt_{number}", f"refund:re_{payment_id}", status, seconds, payment_id=payment_id, amount_minor=1_900
    )


def books(payment_id: str, status: str) -> dict[str, Any]:
    truth = Truth(
        payment_id=payment_id,
        status="captured",
        amount_minor=4_900,
        currency="EUR",
        captured_minor=4_900,
        refunded_minor=1_900 if status == "succeeded" else 0,
        refunds={f"re_{payment_id}": status},
        disputes={},
        customer_id="",
    )
    word: dict[str, Any] = msgspec.to_builtins(BooksWord(truth=truth))
    return word


class Told:
    """A world in which customers ask, and what the books said then."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.samples: list[Sample] = []

    async def ask(self, payment_id: str, so: str, *, is_wrong: bool, phase: str = "disorder") -> None:
        answer_id = f"a_{len(self.samples) + 1}"
        await self.world.answer(answer_id, payment_id, generation=2 if phase == ALL_TOLD else 1)
        self.samples.append(
            Sample(
                number=len(self.samples) + 1,
                at=self.world.clock(),
                kind="answer",
                name=answer_id,
                value=float(is_wrong),
                data={"payment_id": payment_id, "phase": phase, "books": books(payment_id, so)},
            )
        )


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    """A tie inside a second, an older webhook that comes last, and an event that no webhook tells."""
    recorder = new_log(tmp_path)
    world = World(tmp_path, recorder)
    told = Told(world)
    for payment_id in ("pi_tie", "pi_late", "pi_lost"):
        world.fact(charged(payment_id))
    # The later id is that of the earlier status: only the rank says which of the two is the last.
    world.fact(refunded(11, "pi_tie", "succeeded", 50))
    world.fact(refunded(12, "pi_tie", "pending", 50))
    world.fact(refunded(21, "pi_late", "succeeded", 60))
    world.fact(refunded(20, "pi_late", "pending", 40))
    world.fact(refunded(30, "pi_lost", "pending", 40))
    world.clock.forward(100)
    await told.ask("pi_tie", "succeeded", is_wrong=False)
    await told.ask("pi_lost", "succeeded", is_wrong=True)
    world.fact(refunded(31, "pi_lost", "succeeded", 70))
    await settle(world.corrector(), world.head)
    for payment_id in ("pi_tie", "pi_late", "pi_lost"):
        await told.ask(payment_id, "succeeded", is_wrong=False, phase=ALL_TOLD)
    yield told
    recorder.datastore.close()


def replayed(told: Told, **happened: Any) -> dict[str, Counterfactual]:
    refold = Refold(told.world.feed)
    refold.read()
    given: dict[str, Any] = {
        "tenant": TENANT,
        "asked": told.samples,
        "after": ALL_TOLD,
        "never_arrived": ["evt_31"],
        "audited": 1,
        "at_risk_minor": {"EUR": 4_900},
        **happened,
    }
    return {each.fix: each for each in counterfactuals(refold, Happened(**given))}


def damaged(told: Told) -> dict[str, Any]:
    """The view's fact of a refund says something else from the beginning until before the last question."""
    refold = Refold(told.world.feed)
    refold.read()
    [position] = [each.position for each in refold.facts(TENANT, "pi_late") if each.fact.status == "succeeded"]
    at = told.world.clock()
    return {
        "damaged": [position],
        "damaged_at": NOON - timedelta(days=1),
        "damaged_generation": 1,
        "rebuilt_at": _before(at),
    }


def _before(at: datetime) -> datetime:
    return at - timedelta(microseconds=1)


async def test_as_it_was_the_replay_comes_to_what_was_told(told: Told) -> None:
    as_it_was = replayed(told)[""]

    assert (as_it_was.wrong, as_it_was.wrong_after, as_it_was.misses) == (1, 0, False)


async def test_without_the_rank_a_tie_is_decided_by_an_id(told: Told) -> None:
    without = replayed(told)["tie rank"]

    assert (without.wrong, without.wrong_after) == (2, 1)


async def test_by_arrival_the_older_webhook_wins(told: Told) -> None:
    without = replayed(told)["order by rule"]

    assert without.wrong_after == 2


async def test_without_the_pull_what_no_webhook_told_is_never_known(told: Told) -> None:
    without = replayed(told)["pull of missed events"]

    assert (without.wrong, without.wrong_after) == (1, 1)


async def test_without_the_rebuild_the_edited_view_goes_on_answering(told: Told) -> None:
    as_rebuilt = replayed(told, **damaged(told))

    assert as_rebuilt[""].wrong_after == 0
    assert as_rebuilt["rebuild of the view"].wrong_after == 1


async def test_without_any_of_the_fixes_a_target_is_missed(told: Told) -> None:
    found = replayed(told, **damaged(told))

    assert [fix for fix in FIXES if not found[fix].misses] == []
    assert found["corrections"].uncorrected == 1
    assert found["retry of compensations"].at_risk_minor == {"EUR": 4_900}


async def test_nothing_is_left_patched(told: Told) -> None:
    assert replayed(told)[""] == replayed(told)[""]
