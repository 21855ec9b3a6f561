"""The payment reconciliation incident from beginning to end, on a stack of its own."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import httpx
import msgspec

from actors.index import PAYMENTS
from actors.log import place_of
from actors.payment_shard import now
from domain.settings import NodeSettings
from gateway.replaying.samples import Samples
from projections.feeds import feed_at
from simulations.incident_checks import Verified
from simulations.incident_damage import Damage, ViewCheck
from simulations.incident_detection import Detection
from simulations.incident_log import IncidentLog
from simulations.incident_peer import Arrived
from simulations.incident_phases import Passed, Phase, PhaseError, go_through
from simulations.incident_plan import Plan
from simulations.incident_remedies import Remedies
from simulations.incident_story import Incident
from simulations.incident_world import TENANT, living


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a run when the stack has ended: what to report, and what to replay.

    `error` is the phase that could not be gone through, empty if all were.
    """

    incident_id: str
    passed: list[Passed]
    error: str
    verified: Verified | None
    began_position: int
    damaged: Damage
    damaged_at: datetime | None
    rebuilt_at: datetime | None
    audited: int
    at_risk_minor: dict[str, int]
    asked: dict[str, int]
    arrived: list[Arrived]
    lost: list[str]
    settings: NodeSettings
    took_s: float


async def run_incident(
    plan: Plan,
    data: Path,
    samples: Samples,
    *,
    on_progress: Callable[[str], None] = lambda words: None,
) -> Ran:
    """Go through all phases on a fresh stack in `data`. A phase that fails ends the run, and is told."""
    started_s = time.monotonic()
    passed: list[Passed] = []
    error = ""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(living(plan, data, samples, on_progress))
        incident = IncidentLog(world.node, TENANT, f"drill-{plan.seed}")
        check = ViewCheck(
            lambda tenant, batch: world.node.call_index(tenant)("query", batch),
            lambda: world.node.projected()[PAYMENTS],
            feed_at(place_of(world.node.settings.store.url, data)),
        )
        detection = Detection(world, incident, samples, check)
        client = await stack.enter_async_context(httpx.AsyncClient())
        run = Incident(plan, world, incident, detection, Remedies(world, incident, detection, client), check)
        watching = asyncio.create_task(detection.run())
        stack.callback(watching.cancel)

        def entered(phase: Phase) -> None:
            world.phase = phase.name
            samples.add("phase", phase.name, at=now(), text="entered")
            on_progress(phase.name)

        for phase in run.phases():
            try:
                done = await go_through(phase, clock=now, on_entered=entered)
            except PhaseError as failed:
                error = failed.reason
                samples.add("phase", phase.name, at=now(), text=error)
                break
            passed.append(done)
            samples.add("phase", phase.name, at=now(), value=done.took_s, text="left", waited_for=done.waited_for)
        world.is_paying = world.is_asking = False
        await world.quiet()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return Ran(
        incident_id=incident.incident_id,
        passed=passed,
        error=error,
        verified=run.verified,
        began_position=run.began_position,
        damaged=run.damaged,
        damaged_at=run.damaged_at,
        rebuilt_at=run.remedies.rebuilt_at,
        audited=run.remedies.audited,
        at_risk_minor=dict(run.impact.at_risk_minor) if run.impact is not None else {},
        asked=dict(world.told),
        arrived=world.arrived,
        lost=list(world.provider.webhooks.lost),
        settings=world.node.settings,
        took_s=round(time.monotonic() - started_s, 1),
    )
