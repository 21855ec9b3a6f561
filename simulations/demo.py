"""`recount demo`: the whole stack, disordered webhooks, a wrong answer that is found out, and the provider's books."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from domain.errors import TerminalError
from domain.settings import HttpSettings, NatsSettings, NodeSettings, TelemetrySettings
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.serve import running
from projections.feed import Feed
from simulations import naive
from simulations.client import GatewayClient
from simulations.disorder import Delivery, deliveries, hold_back
from simulations.stripe_traffic import Traffic, generate
from simulations.truth import differences

TENANT = "acme"
API_KEY = "demo-key-of-acme"
SECRET = "whsec_demo_of_acme"  # noqa: S105 - of a tenant that lives as long as the demo
SEED = 20261122
PAYMENTS = 400
# The traffic's latest failures come fifteen weeks after its start; they must lie in the past when we ask.
STARTED_BEFORE = timedelta(weeks=16)
POLICY_ID = "refunds"
POLICY_TITLE = "Refunds"
POLICY_TEXT = (
    "## How long a refund takes\n"
    "A refund takes 5 to 10 business days to appear on the customer's statement.\n\n"
    "## When a refund fails\n"
    "If a refund fails, because a card was closed for example, the money comes back to us. "
    "We then contact the customer and send it another way.\n"
)


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo saw, in numbers."""

    seed: int
    payments: int
    delivered: int
    distinct: int
    duplicates_absorbed: int
    late: int
    recorded_facts: int
    quarantined: int
    wrong_final_states: int
    naive_wrong: Mapping[str, int]
    answer_before: Mapping[str, Any]
    answer_after: Mapping[str, Any]
    verdict_on_first_answer: str
    correction: Mapping[str, Any]
    corrections: int
    wrong: Sequence[str]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The payment whose refund failed, and the events that say so."""

    payment_id: str
    refund_id: str
    event_ids: tuple[str, ...]


def settings(data: Path) -> NodeSettings:
    """A node for one tenant on free ports."""
    return NodeSettings(
        data=str(data),
        http=HttpSettings(listen="127.0.0.1:0"),
        nats=NatsSettings(port=0),
        telemetry=TelemetrySettings(log_level="warning"),
        tenants={TENANT: TenantSettings(api_keys=(API_KEY,), sources={"stripe": SourceSettings(secrets=(SECRET,))})},
    )


def choose_held(traffic: Traffic) -> Held:
    """A payment with one refund, which succeeded and failed days later, and all events of that failure."""
    for payment_id, story in traffic.stories.items():
        refunds = traffic.truth[payment_id].refunds
        if story == "refund_failed" and len(refunds) == 1:
            [refund_id] = refunds
            failing = tuple(
                event.event_id
                for event in traffic.events
                if event.payment_id == payment_id and _states(event.body, refund_id, "failed")
            )
            return Held(payment_id=payment_id, refund_id=refund_id, event_ids=failing)
    raise AssertionError("every traffic of 100 payments has a refund that fails")


def _states(body: bytes, refund_id: str, status: str) -> bool:
    told = msgspec.json.decode(body)["data"]["object"]
    if told.get("object") == "charge":
        return any(
            each["id"] == refund_id and each["status"] == status for each in told.get("refunds", {}).get("data", ())
        )
    return bool(told["id"] == refund_id and told.get("status") == status)


async def run_demo(talk: Console, show: Console, *, seed: int = SEED, payments: int = PAYMENTS) -> DemoReport:
    """Run it; `talk` gets progress, `show` the story.

    Raises `TerminalError` if a final state is wrong, or the wrong answer is not corrected.
    """
    traffic = generate(seed=seed, payments=payments, start=datetime.now(UTC) - STARTED_BEFORE)
    arrivals = deliveries(traffic, seed=seed)
    held = choose_held(traffic)
    rest, late = hold_back(arrivals, *held.event_ids)
    with tempfile.TemporaryDirectory(prefix="recount-demo-") as data:
        async with (
            running(settings(Path(data)), on_progress=lambda words: talk.print(f"starting {words}", style="dim")) as (
                node,
                url,
            ),
            GatewayClient(url, tenant=TENANT, api_key=API_KEY, secret=SECRET) as client,
        ):
            report = await _tell(client, node.feed, talk, show, traffic, held, rest, late, seed)
    if not report.correction:
        raise TerminalError("the answer that was wrong when it was given was not corrected")
    if report.wrong:
        raise TerminalError(f"{len(report.wrong)} payments ended in a wrong state, the first: {report.wrong[0]}")
    return report


async def _tell(
    client: GatewayClient,
    feed: Feed,
    talk: Console,
    show: Console,
    traffic: Traffic,
    held: Held,
    rest: Sequence[Delivery],
    late: Sequence[Delivery],
    seed: int,
) -> DemoReport:
    version = await client.put_document(POLICY_ID, POLICY_TITLE, POLICY_TEXT)
    await _deliver(client, talk, rest, "delivering webhooks, late, twice and out of order")
    lag = await client.drained()
    question = f"Where is my refund for {held.payment_id}?"
    before = await client.ask(question, min_position=max(lag["head"], version["position"]))
    _show_answer(show, f"Asked: {question}", before)
    show.print(
        f"\nNow the webhooks come that the provider sent long ago and that were held up: {held.refund_id} failed.",
        markup=False,
        highlight=False,
    )
    await _deliver(client, talk, late, "delivering what was held up")
    lag = await client.drained()
    after = await client.ask(question)
    _show_answer(show, "Asked again:", after)
    judged = await client.get(f"/v1/{TENANT}/answers/{before['answer_id']}")
    corrections = (await client.get(f"/v1/{TENANT}/corrections"))["corrections"]
    correction: Mapping[str, Any] = next((each for each in corrections if each["answer_id"] == before["answer_id"]), {})
    _show_correction(show, judged["verdict"], correction)
    wrong = await _wrong(client, traffic, talk)
    arrivals = [*rest, *late]
    report = DemoReport(
        seed=seed,
        payments=len(traffic.truth),
        delivered=len(arrivals),
        distinct=len({arrival.event.event_id for arrival in arrivals}),
        duplicates_absorbed=sum(arrival.is_duplicate for arrival in arrivals),
        late=sum(arrival.is_late for arrival in arrivals),
        recorded_facts=_count_facts(feed),
        quarantined=len((await client.get(f"/v1/{TENANT}/quarantine"))["entries"]),
        wrong_final_states=len(wrong),
        naive_wrong=naive.wrong(traffic, arrivals),
        answer_before=before,
        answer_after=after,
        verdict_on_first_answer=judged["verdict"],
        correction=correction,
        corrections=len(corrections),
        wrong=wrong,
    )
    _show_summary(show, report)
    return report


async def _deliver(client: GatewayClient, talk: Console, arrivals: Sequence[Delivery], what: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as bar:
        task = bar.add_task(what, total=len(arrivals))
        await client.deliver(arrivals, on_taken=lambda: bar.advance(task))
    talk.print(f"{what}: {len(arrivals)} taken", style="dim", highlight=False)


async def _wrong(client: GatewayClient, traffic: Traffic, talk: Console) -> list[str]:
    """One sentence for every difference between a payment's view and the provider's books."""
    slots = asyncio.Semaphore(16)

    async def check(payment_id: str) -> list[str]:
        async with slots:
            view = await client.payment(payment_id)
        return [f"{payment_id} is not known"] if view is None else differences(traffic.truth[payment_id], view)

    found = await asyncio.gather(*(check(payment_id) for payment_id in traffic.truth))
    talk.print(f"checked {len(found)} payments against the provider's books", style="dim", highlight=False)
    return [sentence for of_payment in found for sentence in of_payment]


def _count_facts(feed: Feed) -> int:
    count = position = 0
    while True:
        page = feed.read(position, limit=1_000, topics=("payment.fact_recorded",))
        count += len(page.entries)
        if not page.entries:
            return count
        position = page.position


def _show_answer(show: Console, heading: str, answer: Mapping[str, Any]) -> None:
    show.print(f"\n{heading}", style="bold", markup=False, highlight=False)
    show.print(answer["answer"], markup=False, highlight=False)
    for citation in answer["citations"]:
        if citation["kind"] == "fact":
            line = f"  cites fact {citation['fact_id']} at log position {citation['position']}"
        else:
            line = f"  cites {citation['document_id']} version {citation['version']}: “{citation['quote']}”"
        show.print(line, style="dim", markup=False, highlight=False)
    show.print(f"  as of log position {answer['position']}", style="dim", highlight=False)


def _show_correction(show: Console, verdict: str, correction: Mapping[str, Any]) -> None:
    """What the system itself says of the first answer, unasked."""
    show.print(f"\nThe first answer by what is known now: {_VERDICTS[verdict]}.", style="bold", highlight=False)
    if not correction:
        return
    show.print(f"Its correction: {correction['text']}", markup=False, highlight=False)
    for citation in (each for payment in correction["payments"] for each in payment["citations"]):
        line = f"  cites fact {citation['fact_id']} at log position {citation['position']}"
        show.print(line, style="dim", markup=False, highlight=False)


_VERDICTS = {
    "wrong": "wrong when it was given",
    "outdated": "right when it was given, and outdated",
    "stands": "it stands",
}


def _show_summary(show: Console, report: DemoReport) -> None:
    table = Table(title=f"\n{report.payments} payments and payouts, seed {report.seed}", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("webhooks delivered", str(report.delivered))
    table.add_row("  distinct events", str(report.distinct))
    table.add_row("  duplicates absorbed", str(report.duplicates_absorbed))
    table.add_row("  a minute late or more", str(report.late))
    table.add_row("facts recorded", str(report.recorded_facts))
    table.add_row("in quarantine", str(report.quarantined))
    table.add_row("answers corrected", str(report.corrections))
    table.add_row("wrong final states", str(report.wrong_final_states), style="bold")
    for name, count in report.naive_wrong.items():
        table.add_row(f"  the same stream, {_NAIVE[name]}", str(count), style="dim")
    show.print(table)


_NAIVE = {
    "arrival_order": "arrival order, last write wins",
    "created_after": "only newer `created` wins",
    "created_not_before": "`created` not older wins",
}
