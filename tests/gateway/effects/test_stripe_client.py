"""Effects at Stripe, against the simulated provider: its books say what was truly done."""

from datetime import timedelta

import pytest
import structlog

from domain.effects import Done
from domain.fact import Fact
from domain.payment import fold
from gateway.sources import stripe
from simulations.provider import Provider
from simulations.provider_scenario import CallFault, EventShares, RefundFates
from tests.gateway.effects.provider_examples import (
    KEY,
    START,
    advance,
    client,
    done,
    effect,
    failing,
    failure,
    paid,
    perform,
    provider,
)

REFUND = effect("refund", amount_minor=1_900, currency="EUR")
PULL = effect("pull")


def webhook_facts(simulated: Provider) -> list[Fact]:
    facts = []
    for webhook in simulated.webhooks.due:
        reading = stripe.read(webhook.body, headers={}, ref="")
        facts += [*getattr(reading, "facts", ())]
    return facts


async def test_a_reading_covers_the_intent_its_charges_refunds_and_disputes() -> None:
    simulated = provider(payments=(paid(4_900, "succeed"),))
    await done(simulated, REFUND)
    simulated.books.step("pi_1", "dispute")
    advance(simulated, minutes=1)

    facts = await done(simulated, PULL)

    assert {kind: (fact.status, fact.source, fact.payment_id) for kind, fact in facts.items()} == {
        "intent": ("captured", "pull", "pi_1"),
        "charge": ("captured", "pull", "pi_1"),
        "refund": ("succeeded", "pull", "pi_1"),
        "dispute": ("open", "pull", "pi_1"),
    }
    # The end of the second before the answer's.
    assert {fact.occurred_at for fact in facts.values()} == {START + timedelta(seconds=59, microseconds=999_999)}
    assert facts["charge"].refunded_minor == 1_900
    assert facts["intent"].customer_id == "cus_1"


async def test_a_reading_has_every_attempt_and_every_page_of_refunds() -> None:
    simulated = provider(payments=(paid(50_000, "decline", "succeed"),))
    for number in range(120):
        await done(simulated, effect("refund", amount_minor=100, currency="EUR", key=f"key-{number}"))
    advance(simulated, minutes=1)

    outcome = await perform(simulated, PULL)

    assert isinstance(outcome, Done)
    kinds = [fact.kind for fact in outcome.facts]
    assert (kinds.count("charge"), kinds.count("refund")) == (2, 120)
    assert fold("pi_1", outcome.facts).refunded_minor == 12_000


async def test_the_same_reading_in_the_same_second_is_the_same_facts() -> None:
    simulated = provider(payments=(paid(),))

    first, again = await perform(simulated, PULL), await perform(simulated, PULL)
    advance(simulated, seconds=1)
    later = await perform(simulated, PULL)

    assert isinstance(first, Done)
    assert isinstance(later, Done)
    assert first == again
    assert not {fact.fact_id for fact in first.facts} & {fact.fact_id for fact in later.facts}


async def test_a_reading_settles_what_webhooks_contradict() -> None:
    simulated = provider(payments=(paid(),), events=EventShares(contradictory=1.0))
    contradicted = webhook_facts(simulated)
    assert fold("pi_1", contradicted).certainty == "conflicting"
    advance(simulated, seconds=1)

    facts = [*contradicted, *(await done(simulated, PULL)).values()]

    view = fold("pi_1", facts)
    assert (view.status, view.certainty, view.captured_minor) == ("captured", "certain", 4_900)


async def test_what_happens_after_a_reading_in_its_second_still_counts() -> None:
    simulated = provider(payments=(paid(4_900, "authorize"),), refunds=RefundFates(pending=1.0, settled_after_s=0.1))
    read = [*(await done(simulated, PULL)).values()]
    simulated.books.step("pi_1", "capture")
    read += (await done(simulated, REFUND)).values()
    advance(simulated, seconds=0.2)
    facts = [*read, *webhook_facts(simulated)]

    assert len({fact.occurred_at.replace(microsecond=0) for fact in webhook_facts(simulated)}) == 1
    for each in (facts, facts[::-1], [*facts, *(await done(simulated, PULL)).values()]):
        view = fold("pi_1", each)
        assert (view.status, view.captured_minor, view.refunded_minor) == ("captured", 4_900, 1_900)


async def test_a_refund_is_made_once_however_often_it_is_asked_for() -> None:
    simulated = provider(payments=(paid(),))

    first = await perform(simulated, REFUND)
    again = await perform(simulated, REFUND)
    advance(simulated, hours=30)
    after_the_key_is_forgotten = await perform(simulated, REFUND)

    assert first == again == after_the_key_is_forgotten
    assert isinstance(first, Done)
    assert [(fact.kind, fact.status, fact.amount_minor) for fact in first.facts] == [("refund", "succeeded", 1_900)]
    assert simulated.books.truth()["pi_1"].refunded_minor == 1_900
    assert simulated.books.violations() == []


@pytest.mark.parametrize("fault", ["timeout_after", "error_after"])
async def test_a_refund_that_was_made_and_not_confirmed_is_found(fault: CallFault) -> None:
    simulated = provider(payments=(paid(),), call_faults=(failing("POST /v1/refunds", fault),))

    failed = await failure(simulated, REFUND)
    facts = await done(simulated, REFUND)

    assert failed.retryable
    assert failed.is_account_at_fault
    assert facts["refund"].amount_minor == simulated.books.truth()["pi_1"].refunded_minor == 1_900


@pytest.mark.parametrize(
    ("fault", "reason", "retry_after_s"),
    [
        ("timeout_before", "http.timeout", 0.0),
        ("unavailable", "http.503", 0.0),
        ("rate_limited", "http.429", 7.0),
        ("locked", "stripe.lock_timeout", 0.0),
    ],
)
@pytest.mark.parametrize(("call", "kind"), [("GET", "pull"), ("POST", "refund"), ("POST", "cancel")])
async def test_what_may_succeed_later_is_retryable_and_then_succeeds(
    fault: CallFault, reason: str, retry_after_s: float, call: str, kind: str
) -> None:
    simulated = provider(
        payments=(paid(4_900, "decline" if kind == "cancel" else "succeed"),),
        call_faults=(failing(call, fault),),
        retry_after_s=7,
    )
    wanted = effect(kind, amount_minor=1_900, currency="EUR")  # type: ignore[arg-type]  # one of the parameters above

    failed = await failure(simulated, wanted)
    await done(simulated, wanted)

    assert (failed.retryable, failed.reason, failed.retry_after_s) == (True, reason, retry_after_s)


async def test_an_error_that_stripe_keeps_is_not_asked_for_for_ever() -> None:
    simulated = provider(payments=(paid(),), call_faults=(failing("POST /v1/refunds", "error_before"),))

    first, again = await failure(simulated, REFUND), await failure(simulated, REFUND)

    assert (first.retryable, first.reason) == (True, "http.500")
    assert (again.retryable, again.reason, again.is_account_at_fault) == (False, "stripe.error_kept", False)
    assert simulated.books.truth()["pi_1"].refunded_minor == 0


async def test_more_than_was_captured_is_not_refunded() -> None:
    simulated = provider(payments=(paid(),))
    await done(simulated, REFUND)

    over = await failure(simulated, effect("refund", amount_minor=3_001, currency="EUR", key="another"))
    await done(simulated, effect("refund", amount_minor=3_000, currency="EUR", key="a-third"))
    nothing_left = await failure(simulated, effect("refund", amount_minor=1, currency="EUR", key="a-fourth"))

    assert (over.retryable, over.reason) == (False, "stripe.invalid_request_error.amount")
    assert (nothing_left.retryable, nothing_left.reason) == (False, "stripe.charge_already_refunded")
    assert not over.is_account_at_fault


async def test_one_key_for_two_things_is_terminal_and_loud() -> None:
    simulated = provider(payments=(paid(),))
    async with client(simulated) as somebody_else:
        headers = {"Authorization": f"Bearer {simulated.scenario.api_key}", "Idempotency-Key": KEY}
        await somebody_else.post("/v1/refunds", data={"payment_intent": "pi_1", "amount": "500"}, headers=headers)

    with structlog.testing.capture_logs() as logs:
        failed = await failure(simulated, REFUND)

    assert (failed.retryable, failed.reason) == (False, "stripe.idempotency_error")
    assert [(line["event"], line["log_level"], line["key"]) for line in logs] == [("effect_key_misused", "error", KEY)]


async def test_a_hold_is_released() -> None:
    simulated = provider(payments=(paid(4_900, "authorize"),))

    facts = await done(simulated, effect("void"))
    again = await done(simulated, effect("void", key="another"))

    assert facts["intent"].status == "canceled"
    assert facts == again
    assert simulated.books.status("pi_1") == "canceled"
    assert simulated.books.violations() == []


async def test_what_is_captured_is_not_canceled() -> None:
    simulated = provider(payments=(paid(),))

    failed = await failure(simulated, effect("cancel"))

    assert (failed.retryable, failed.reason) == (False, "stripe.payment_intent_unexpected_state")
    assert simulated.books.status("pi_1") == "captured"


async def test_a_refund_that_fails_a_month_later_is_read_as_failed() -> None:
    simulated = provider(payments=(paid(),), refunds=RefundFates(fails_later=1.0, fails_after_days=30))
    made = await done(simulated, REFUND)

    advance(simulated, days=29)
    before = await done(simulated, PULL)
    advance(simulated, days=2)
    after = await done(simulated, PULL)

    assert (made["refund"].status, before["refund"].status, after["refund"].status) == (
        "succeeded",
        "succeeded",
        "failed",
    )
    assert simulated.books.violations() == []


async def test_a_payment_that_stripe_does_not_know_is_terminal() -> None:
    failed = await failure(provider(), PULL)

    assert (failed.retryable, failed.reason) == (False, "stripe.resource_missing")


async def test_a_wrong_key_is_the_accounts_fault_and_may_be_mended() -> None:
    failed = await failure(provider(payments=(paid(),)), PULL, api_key="sk_wrong")

    assert (failed.retryable, failed.reason, failed.is_account_at_fault) == (True, "http.401", True)


async def test_a_tenant_without_an_account_has_no_effects() -> None:
    failed = await failure(provider(), effect("pull", tenant="other"))

    assert (failed.retryable, failed.reason) == (False, "effect.account_unknown")
