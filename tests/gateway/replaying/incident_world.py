"""A log with an incident in it: a late fact, a wrong answer, what was noticed, done and checked; and samples of it."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from domain.codec import Submission
from domain.ids import stream_id
from domain.incident import (
    AcknowledgeIncident,
    DeclareIncident,
    Impact,
    IncidentCommand,
    RecordAction,
    RecordImpact,
    RecordIncidentCheck,
    ResolveIncident,
    Signal,
)
from domain.message import Trace
from domain.payment_saga import RecordFact
from gateway.replaying.postmortem_files import Incidents
from gateway.replaying.samples import Sample, Samples
from tests.domain.examples import fact
from tests.gateway.correcting_world import World, settle
from tests.spec import NOON
from tests.worlds import TENANT, new_log, numbered

INCIDENT = "inc-1"
CUSTOMER = "lan.anh@example.com"


def tell(world: World, *commands: IncidentCommand) -> None:
    stream = stream_id("incident", TENANT, INCIDENT)
    for command in commands:
        world.clock.forward(1)
        world.tell(Submission(stream=stream, command=command))


def signal(world: World, watch: str, subject: str, detail: str) -> DeclareIncident:
    return DeclareIncident(
        severity="sev2", signal=Signal(watch=watch, subject=subject, detail=detail, seen_at=world.clock())
    )


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """pi_2's refund failed before it was asked about; that it did came later, over the provider's API."""
    directory = tmp_path_factory.mktemp("live")
    recorder = new_log(directory)
    world = World(directory, recorder)
    asyncio.run(_happen(world))
    yield world
    recorder.datastore.close()


async def _happen(world: World) -> None:
    world.fact(numbered(1, "pi_1", customer_id="cus_1"))
    world.fact(numbered(2, "pi_2", customer_id=CUSTOMER))
    world.fact(fact("stripe:evt_3", "refund:re_2", "succeeded", 21, payment_id="pi_2", amount_minor=1_900))
    world.clock.forward(60)
    await world.answer("a_right", "pi_1", customer_id="cus_1")
    await world.answer("a_wrong", "pi_2", customer_id=CUSTOMER)
    world.clock.forward(5)
    tell(world, signal(world, "objective", "answer-accuracy", "page-quick (page): it burns 25.0 times too fast"))
    failed = fact("stripe:evt_4", "refund:re_2", "failed", 30, payment_id="pi_2", amount_minor=1_900)
    pulled = Submission(
        stream=stream_id("payment", TENANT, "pi_2"),
        command=RecordFact(fact=failed),
        trace=Trace(correlation_id="poll-stripe-evt_4"),
    )
    world.clock.forward(5)
    world.tell(pulled)
    await settle(world.corrector(), world.head)
    measured = Impact(
        answers=2,
        wrong=1,
        unknown=0,
        unanswered=1,
        customers=1,
        payments=1,
        misstated_minor={"EUR": 1_900},
        at_risk_minor={"EUR": 4_900},
        budget_burnt={"answer-accuracy": 1.41},
    )
    tell(
        world,
        signal(world, "view check", "acme", "1 payments are not what the log says"),
        AcknowledgeIncident(by="automation"),
        RecordImpact(impact=measured),
        RecordAction(action="pull missed events", subject="stripe", outcome="done", detail="1 event"),
        RecordIncidentCheck(check="answers are as the books say", is_passed=False, detail="one is not"),
        RecordIncidentCheck(check="answers are as the books say", is_passed=True),
        ResolveIncident(detail="verified against the provider's books"),
    )


def measured() -> list[Sample]:
    """Samples of every kind."""
    samples = Samples()

    def add(kind: Any, name: str, seconds: float, value: float = 0.0, text: str = "", **data: Any) -> None:
        samples.add(kind, name, at=NOON + timedelta(seconds=seconds), value=value, text=text, **data)

    add("phase", "baseline", 50, text="entered")
    add("answer", "a_right", 60, payment_id="pi_1", customer_id="cus_1", phase="baseline")
    add("phase", "baseline", 61, 11.0, "left", waited_for="1 right answers")
    add("fault", "webhooks", 61, 1.0, "webhooks come late")
    add("answer", "a_wrong", 62, 1.0, payment_id="pi_2", customer_id=CUSTOMER, phase="disorder")
    for seconds in range(60, 80):
        add("freshness", "payments", seconds, float(seconds == 70) * 3)
        add("budget", "answer-accuracy", seconds, 1.0 - (seconds - 60) / 10)
    add("alert", "answer-accuracy/page-quick", 66, 1.0, "fires")
    nothing: dict[str, Any] = {"uncorrected": 0, "at_risk_minor": {}}
    add("counterfactual", "", 80, 1.0, "as it was", wrong=1, wrong_after=0, misses=False, **nothing)
    add("counterfactual", "tie rank", 80, 41.0, "any order is as good", wrong=41, wrong_after=3, misses=True, **nothing)
    add("counterfactual", "order by rule", 80, 1.0, "the last wins", wrong=1, wrong_after=0, misses=False, **nothing)
    add("peer", "last write wins", 80, 9.0, "9 wrong answers", asked=9, wrong=9, asked_after=4, wrong_after=2)
    return samples.all


def incidents(samples: list[Sample] | None = None) -> Incidents:
    return Incidents(tenant=TENANT, incident_id=INCIDENT, samples=measured() if samples is None else samples)
