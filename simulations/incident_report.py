"""What came of an incident: figures and targets, the postmortem beside them, and the table that is shown."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from actors.log import place_of
from actors.payment_shard import now
from domain.errors import TerminalError
from gateway.replaying.bundle import write_bundle
from gateway.replaying.incident_facts import Times
from gateway.replaying.postmortem import amounts
from gateway.replaying.postmortem_files import Incidents, facts_in, stretch
from gateway.replaying.samples import Samples
from projections.feed import Feed
from projections.feeds import feed_at
from simulations.incident_checks import Verified
from simulations.incident_counterfactual import Counterfactual, Happened, counterfactuals
from simulations.incident_peer import PeerReport, answers_of_peer
from simulations.incident_phases import Passed
from simulations.incident_plan import Plan
from simulations.incident_refold import Refold
from simulations.incident_run import Ran, run_incident
from simulations.incident_story import STALE_GENERATION, VERIFICATION
from simulations.incident_world import TENANT

PEER = "the same webhooks in order of arrival, last write wins, answers from a cache with a time to live"
PEER_TTL_S = 60.0
FIGURES = "figures.json"


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """One incident.

    Args:
        seed: what happened, to whom, and what went wrong.
        speed: how much faster it passed.
        without: the fixes that the node had not.
        phases: those that were left on their conditions.
        error: the phase that was not, empty if all were.
        asked: questions of customers, and what became of them, while it lasted and when it was verified.
        webhooks: that arrived.
        verified: what was found at the end; `None` if it did not come to that.
        times: how long it took to detect and so on; `None` if no incident was declared.
        counterfactuals: the same log without each fix.
        peer: the same webhooks through the naive pipeline.
        took_s: real seconds, starting and stopping the stack included.
        missed: the targets that were missed, in sentences.
        beyond_aim: aims that were not reached; they are more than is promised.
        meets_target: none was.
    """

    seed: int
    speed: float
    without: list[str]
    phases: list[Passed]
    error: str
    asked: dict[str, int]
    webhooks: int
    verified: Verified | None
    times: Times | None
    counterfactuals: list[Counterfactual]
    peer: PeerReport
    took_s: float
    missed: list[str]
    beyond_aim: list[str]
    meets_target: bool


def finish(plan: Plan, ran: Ran, samples: Samples) -> IncidentReport:
    """Replay what was recorded without each fix and through the peer, and hold all against the targets.

    What the replays come to is added to the samples.
    """
    feed = feed_at(place_of(ran.settings.store.url, Path(ran.settings.data)))
    refold = Refold(feed)
    refold.read()
    asked = [each for each in samples.all if each.kind == "answer" and each.name]
    arrived = {msgspec.json.decode(each.body)["id"] for each in ran.arrived}
    replayed = counterfactuals(
        refold,
        Happened(
            tenant=TENANT,
            asked=asked,
            after=VERIFICATION,
            damaged=ran.damaged.positions,
            damaged_at=ran.damaged_at,
            damaged_generation=STALE_GENERATION,
            rebuilt_at=ran.rebuilt_at,
            never_arrived=[each for each in ran.lost if each not in arrived],
            audited=ran.audited,
            at_risk_minor=ran.at_risk_minor,
            without=plan.without,
        ),
    )
    peer = answers_of_peer(ran.arrived, asked, ttl=timedelta(seconds=plan.real_s(PEER_TTL_S)), after=VERIFICATION)
    _sample(samples, replayed, peer)
    times = _times(feed, ran.incident_id)
    missed = missed_targets(plan, ran, times, replayed)
    return IncidentReport(
        seed=plan.seed,
        speed=plan.speed,
        without=sorted(plan.without),
        phases=ran.passed,
        error=ran.error,
        asked=ran.asked,
        webhooks=len(ran.arrived),
        verified=ran.verified,
        times=times,
        counterfactuals=replayed,
        peer=peer,
        took_s=ran.took_s,
        missed=missed,
        beyond_aim=beyond_aim(plan, ran, times),
        meets_target=not missed,
    )


def _sample(samples: Samples, replayed: Sequence[Counterfactual], peer: PeerReport) -> None:
    at = samples.all[-1].at if samples.all else now()
    for each in replayed:
        samples.add(
            "counterfactual",
            each.fix,
            at=at,
            value=float(each.wrong + each.wrong_after + each.uncorrected),
            text=each.without,
            misses=each.misses,
            **msgspec.structs.asdict(each),
        )
    samples.add(
        "peer", PEER, at=at, value=float(peer.wrong), text=f"{peer.wrong} wrong answers", **msgspec.structs.asdict(peer)
    )


def _times(feed: Feed, incident_id: str) -> Times | None:
    try:
        return facts_in(feed, Incidents(tenant=TENANT, incident_id=incident_id)).times
    except TerminalError:
        return None  # Nobody noticed anything.


def missed_targets(plan: Plan, ran: Ran, times: Times | None, replayed: Sequence[Counterfactual]) -> list[str]:
    """Which targets were missed, in sentences; none if the incident was lived through as it should be."""
    targets = plan.targets
    missed = [ran.error] if ran.error else []
    if ran.verified is None:
        missed.append("it did not come to a verification")
    else:
        for name, complaints in ran.verified.checks.items():
            missed += [f"{name}: {complaint}" for complaint in complaints[:5]]
        if ran.verified.wrong_after > targets.wrong_after:
            missed.append(f"{ran.verified.wrong_after} answers were wrong after remediation")
    if times is None or times.recover_s is None:
        missed.append("it was not resolved")
    elif times.recover_s > targets.mttr_s:
        missed.append(f"recovering took {times.recover_s:.0f} s, more than {targets.mttr_s:.0f}")
    if ran.took_s > targets.total_s:
        missed.append(f"it took {ran.took_s:.0f} s, more than {targets.total_s:.0f}")
    if not plan.without:
        missed += [
            f"without the {each.fix} the same log meets all targets: it guards nothing here"
            for each in replayed
            if each.fix and not each.misses
        ]
    return missed


def beyond_aim(plan: Plan, ran: Ran, times: Times | None) -> list[str]:
    """Which aims were not reached."""
    targets, found = plan.targets, []
    if times is not None and times.recover_s is not None and times.recover_s > targets.mttr_aim_s:
        found.append(f"recovering took {times.recover_s:.0f} s; the aim is {targets.mttr_aim_s:.0f}")
    if ran.took_s > targets.total_aim_s:
        found.append(f"it took {ran.took_s:.0f} s; the aim is {targets.total_aim_s:.0f}")
    return found


def write_report(out: Path, report: IncidentReport, ran: Ran, samples: Samples) -> None:
    """Write the postmortem with its bundle, and the figures, into an empty directory."""
    feed = feed_at(place_of(ran.settings.store.url, Path(ran.settings.data)))
    incident = Incidents(tenant=TENANT, incident_id=ran.incident_id, samples=samples.all)
    if report.times is not None:
        since, until = stretch(feed, incident)
        write_bundle(feed, ran.settings, since, until, out, tenant=TENANT, incident=incident)
    out.mkdir(parents=True, exist_ok=True)
    (out / FIGURES).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def rows(report: IncidentReport) -> list[tuple[str, str]]:
    """The report as a table."""
    found = [(f"phase: {each.name}", f"{each.took_s:.1f} s") for each in report.phases]
    found += [(f"answers: {outcome}", f"{count:,}") for outcome, count in sorted(report.asked.items())]
    if report.verified is not None:
        found += [
            ("asked once more when all was over", f"{report.verified.asked_after:,}"),
            ("  wrong", str(report.verified.wrong_after)),
            ("corrections", str(report.verified.corrections)),
            ("  missing / unfounded", f"{len(report.verified.missing)} / {len(report.verified.unfounded)}"),
        ]
    if report.times is not None:
        found += [
            (name.removesuffix("_s").replace("_", " "), "-" if value is None else f"{value:.1f} s")
            for name, value in msgspec.structs.asdict(report.times).items()
        ]
    for each in report.counterfactuals:
        name = f"without the {each.fix}" if each.fix else "replayed as it was"
        rest = f", {each.uncorrected} uncorrected" if each.uncorrected else ""
        rest += f", {amounts(each.at_risk_minor)} not returned" if each.at_risk_minor else ""
        found.append((name, f"{each.wrong} wrong, {each.wrong_after} afterwards{rest}"))
    found.append(("the naive peer", f"{report.peer.wrong} wrong, {report.peer.wrong_after} afterwards"))
    return [*found, ("took", f"{report.took_s:.0f} s")]


async def run_and_report(
    plan: Plan, out: Path | None, *, on_progress: Callable[[str], None] = lambda words: None
) -> IncidentReport:
    """The incident on a stack of its own, and its report; with `out`, an empty directory, the postmortem as well."""
    samples = Samples()
    with tempfile.TemporaryDirectory(prefix="recount-incident-") as data:
        ran = await run_incident(plan, Path(data), samples, on_progress=on_progress)
        on_progress("replaying without each fix")
        report = await asyncio.to_thread(finish, plan, ran, samples)
        if out is not None:
            on_progress("writing the postmortem")
            await asyncio.to_thread(write_report, out, report, ran, samples)
    return report
