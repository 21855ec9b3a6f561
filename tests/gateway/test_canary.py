"""What the canary stories say is true is what the facts fold to, in whatever order they come."""

import itertools
from datetime import UTC, datetime

import msgspec
import pytest

from domain.errors import TerminalError
from domain.payment import fold
from domain.settings import NodeSettings
from domain.tenant_settings import TenantSettings
from domain.watch_settings import ProberSettings
from gateway.canary import Truth, signed, story, with_canary
from gateway.http.views import payment_json
from gateway.sources import stripe
from gateway.sources.port import Reading, Trust

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
NUMBERS = range(4)


def facts_of(webhook: bytes) -> Reading:
    reading = stripe.read(webhook, headers={}, ref="INGEST:1")
    assert isinstance(reading, Reading), reading
    return reading


@pytest.mark.parametrize("number", NUMBERS)
def test_the_truth_of_a_story_is_what_its_webhooks_fold_to_in_every_order(number: int) -> None:
    told = story(number, "canary1", AT)

    for webhooks in itertools.permutations(set(told.webhooks)):
        facts = [fact for webhook in webhooks for fact in facts_of(webhook).facts]
        assert {fact.payment_id for fact in facts} == {told.truth.payment_id}
        payment = payment_json(fold(told.truth.payment_id, facts), as_of=AT)
        assert msgspec.convert(msgspec.to_builtins(payment), Truth) == told.truth


def test_the_stories_differ_in_what_is_true() -> None:
    truths = {
        (told.truth.status, *(refund.status for refund in told.truth.refunds))
        for told in (story(number, "canary1", AT) for number in NUMBERS)
    }

    assert truths == {("captured",), ("failed",), ("captured", "succeeded"), ("captured", "failed")}


@pytest.mark.parametrize("number", NUMBERS)
def test_nothing_of_a_story_is_yet_to_come(number: int) -> None:
    for webhook in story(number, "canary1", AT).webhooks:
        assert all(fact.occurred_at < AT for fact in facts_of(webhook).facts)


def test_a_webhook_is_signed_as_stripe_signs_it() -> None:
    [webhook, *_] = story(0, "canary1", AT).webhooks
    canary = with_canary(NodeSettings(prober=ProberSettings(interval_s=1)), new_secret=lambda: "made-up-secret")

    source = canary.tenants["canary"].sources["stripe"]

    headers = {name.lower(): value for name, value in signed(webhook, source.secrets[0], AT).items()}

    assert stripe.verify(headers, webhook, trust=Trust(secrets=source.secrets), now=AT) is None


def test_the_canary_is_a_tenant_only_while_there_are_probes() -> None:
    quiet = NodeSettings(tenants={"acme": TenantSettings()})
    probed = msgspec.structs.replace(quiet, prober=ProberSettings(interval_s=1))

    assert with_canary(quiet, new_secret=lambda: "made-up-secret") is quiet
    assert with_canary(probed, new_secret=lambda: "made-up-secret").tenants.keys() == {"acme", "canary"}


def test_a_tenant_of_the_same_name_keeps_its_own() -> None:
    settings = NodeSettings(tenants={"canary": TenantSettings()}, prober=ProberSettings(interval_s=1))

    with pytest.raises(TerminalError, match=r"prober\.tenant"):
        with_canary(settings, new_secret=lambda: "made-up-secret")
