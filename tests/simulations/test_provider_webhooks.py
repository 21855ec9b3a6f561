"""The simulated provider's webhooks, faults and time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from domain.errors import TerminalError
from domain.payment import fold
from gateway.sources import stripe
from gateway.sources.port import Reading, Trust
from simulations.provider import Provider
from simulations.provider_clock import VirtualClock
from simulations.provider_scenario import EventFault, EventShares, ExactEventFault, Opened, Scenario, load_scenario
from simulations.provider_webhooks import RETRY_PAUSES_S, Webhook
from tests.tidy.source import ROOT

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
PAID = Opened(id="pi_1", amount=4_900, steps=("succeed",))


def provider(*faults: tuple[str, EventFault], **scenario: Any) -> Provider:
    exact = tuple(ExactEventFault(event=event, fault=fault) for event, fault in faults)
    given: dict[str, Any] = {"start": START, "is_frozen": True, "event_faults": exact, "payments": (PAID,)}
    return Provider(Scenario(**{**given, **scenario}))


def types(webhooks: Sequence[Webhook]) -> list[str]:
    return [each.event_type for each in webhooks]


async def sent(simulated: Provider, *statuses: int) -> list[httpx.Request]:
    """What the configured endpoint receives now; it answers with these, then 200."""
    left, received = [*statuses], []

    def take(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(left.pop(0) if left else 200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as client:
        await simulated.webhooks.send_due(client)
    return received


async def test_webhooks_are_signed_as_stripe_signs() -> None:
    simulated = provider(webhook_url="http://merchant.example/hooks", webhook_secret="whsec_acme")

    received = await sent(simulated)

    trust = Trust(secrets=("whsec_acme",))
    assert len(received) == len(simulated.books.events) == 3
    for request in received:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert stripe.verify(headers, request.content, trust=trust, now=START) is None
        assert isinstance(stripe.read(request.content, headers=headers, ref=""), Reading)


async def test_what_is_not_taken_is_sent_again_with_growing_pauses_and_then_lost() -> None:
    simulated = provider(webhook_url="http://merchant.example/hooks")
    event = simulated.books.events[0].event_id

    await sent(simulated, 500)
    assert not simulated.webhooks.is_delivered(event)
    simulated.advance(timedelta(seconds=RETRY_PAUSES_S[0]))
    again = await sent(simulated)
    assert simulated.webhooks.is_delivered(event)
    simulated.books.open(Opened(id="pi_2", amount=100))
    for _ in range(len(RETRY_PAUSES_S) + 1):
        await sent(simulated, 500)
        simulated.advance(timedelta(days=1))

    assert [msgspec.json.decode(request.content)["id"] for request in again] == [event]
    assert simulated.webhooks.lost == [simulated.books.events[-1].event_id]
    assert not simulated.webhooks.due


def test_a_lost_webhook_is_never_sent_and_its_event_is_in_the_list() -> None:
    simulated = provider(("charge.succeeded", "lost"))

    simulated.advance(timedelta(days=30))

    assert types(simulated.webhooks.due) == ["payment_intent.created", "payment_intent.succeeded"]
    assert "charge.succeeded" in {each.event_type for each in simulated.books.events}


def test_a_late_webhook_comes_later_and_a_duplicate_twice() -> None:
    simulated = provider(("payment_intent.succeeded", "late"), ("charge.succeeded", "duplicate"))
    at_once = types(simulated.webhooks.due)

    simulated.advance(timedelta(seconds=10))
    soon = types(simulated.webhooks.due)[len(at_once) :]
    simulated.advance(timedelta(hours=3))
    late = types(simulated.webhooks.due)[len(at_once) + len(soon) :]

    assert (at_once, soon, late) == (
        ["payment_intent.created", "charge.succeeded"],
        ["charge.succeeded"],
        ["payment_intent.succeeded"],
    )


def test_reordered_webhooks_come_in_another_order() -> None:
    simulated = provider(events=EventShares(reordered=1.0), seed=2)
    simulated.advance(timedelta(seconds=3))

    happened = [each.event_type for each in simulated.books.events]
    assert sorted(types(simulated.webhooks.due)) == sorted(happened)
    assert types(simulated.webhooks.due) != happened


def test_a_contradiction_is_believed_by_nobody_and_unknown_to_the_books() -> None:
    simulated = provider(("payment_intent.succeeded", "contradictory"))

    facts = [
        fact
        for each in simulated.webhooks.due
        for fact in getattr(stripe.read(each.body, headers={}, ref=""), "facts", ())
    ]

    assert fold("pi_1", facts).certainty == "conflicting"
    assert len(simulated.webhooks.due) == len(simulated.books.events) + 1
    assert simulated.books.violations() == []


def test_time_stands_still_until_it_is_advanced_and_what_is_due_happens_at_its_own_time() -> None:
    below = [START]
    clock = VirtualClock(lambda: below[0], is_frozen=True)
    happened: list[tuple[str, datetime]] = []

    def again() -> None:
        happened.append(("first", clock()))
        clock.plan(clock() + timedelta(hours=1), lambda: happened.append(("from the first", clock())))

    clock.plan(START + timedelta(hours=3), lambda: happened.append(("last", clock())))
    clock.plan(START + timedelta(hours=1), again)
    below[0] += timedelta(days=1)
    clock.catch_up()
    assert happened == []
    clock.advance(timedelta(hours=3))

    hours = [(name, at - START) for name, at in happened]
    assert hours == [
        ("first", timedelta(hours=1)),
        ("from the first", timedelta(hours=2)),
        ("last", timedelta(hours=3)),
    ]
    assert clock() == START + timedelta(hours=3)


def test_time_that_runs_is_ahead_by_what_it_was_advanced() -> None:
    below = [START]
    clock = VirtualClock(lambda: below[0])
    clock.plan(START + timedelta(minutes=2), lambda: None)

    clock.advance(timedelta(minutes=1))
    below[0] += timedelta(seconds=20)

    assert clock() == START + timedelta(seconds=80)
    assert clock.next_s() == 40.0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sed = 1", "unknown field"),
        ("[calls]\nrate_limited = 1.5", "<= 1"),
        ("start = 2025-01-01T00:00:00", "no time zone"),
        ('[[call_faults]]\ncall = "POST"\nfault = "explode"', "explode"),
        ("seed = ", "value"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_a_reason(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(text)

    with pytest.raises(TerminalError, match=complaint):
        load_scenario(file)


def test_the_scenario_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs/provider-simulator.md").read_text()
    file = tmp_path / "scenario.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0])

    simulated = Provider(load_scenario(file))

    assert simulated.books.truth()["pi_paid"].status == "captured"
    assert simulated.scenario.call_faults
    assert simulated.scenario.event_faults
