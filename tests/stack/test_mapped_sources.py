"""Providers that are nothing but settings: signed over HTTP, binary and as change records over NATS."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import httpx
import nats
import pytest

from tests.gateway.sources import cloudevents_examples, debezium_examples, standard_webhooks_examples
from tests.gateway.sources.conformance import Message
from tests.gateway.sources.debezium_examples import change, page
from tests.gateway.sources.debezium_examples import message as record
from tests.gateway.sources.mapped import SECRET, signed, under
from tests.stack.stack import Json, Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TENANT = "acme"


SETTINGS = "".join(
    under(TENANT, source, examples.TOML)
    for source, examples in (
        ("acquirer", standard_webhooks_examples),
        ("bus", cloudevents_examples),
        ("warehouse", debezium_examples),
    )
)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("mapped"), (TENANT,), more=SETTINGS) as running:
        yield running


async def publish(stack: Stack, source: str, messages: Sequence[Message]) -> None:
    """The messages on the source's subject, headers as they are, as other systems publish them."""
    client = await nats.connect(stack.nats_url)
    try:
        for each in messages:
            await client.jetstream().publish(f"ingest.{TENANT}.{source}", each.raw, headers=dict(each.headers))
    finally:
        await client.close()


def post(stack: Stack, source: str, raw: bytes, headers: Mapping[str, str]) -> httpx.Response:
    return stack.client().post(f"/v1/{TENANT}/webhooks/{source}", content=raw, headers=dict(headers))


def test_what_a_provider_of_standard_webhooks_signs_is_a_payment(mapped: Stack) -> None:
    story = list(standard_webhooks_examples.CONFORMANCE.story)
    random.Random(4).shuffle(story)
    now = datetime.now(UTC)

    sent = [
        post(mapped, "acquirer", each.raw, signed(each.raw, now, message_id=each.headers["webhook-id"]))
        for each in (*story, story[0])
    ]
    forged = post(mapped, "acquirer", story[0].raw, {**signed(story[0].raw, now), "webhook-id": "msg_9"})

    assert {each.status_code for each in sent} == {202}
    assert (forged.status_code, forged.json()["code"]) == (401, "signature.mismatch")
    mapped.drained()
    payment = mapped.get(f"/v1/{TENANT}/payments/order_1")
    assert (payment["status"], payment["certainty"], payment["facts"]) == ("captured", "certain", 5)
    assert [(each["id"], each["status"]) for each in payment["refunds"]] == [("ref_1", "failed")]


def test_binary_events_over_nats_and_over_http_are_the_same_events(mapped: Stack) -> None:
    event = cloudevents_examples.payment(1, "taken", subject="order_9")
    message = cloudevents_examples.binary(event)
    asyncio.run(publish(mapped, "bus", [message]))
    answered = post(mapped, "bus", message.raw, {**message.headers, "authorization": f"Bearer {SECRET}"})

    assert answered.status_code == 202
    mapped.drained()
    payment = mapped.get(f"/v1/{TENANT}/payments/order_9")
    assert (payment["status"], payment["facts"]) == ("captured", 1)


def test_a_page_is_as_the_database_has_it_whatever_the_order_of_its_changes(mapped: Stack) -> None:
    def document() -> Json:
        return mapped.get(f"/v1/{TENANT}/documents/refunds")

    latest = change("help_pages", "u", page("Ten days."), lsn=9)
    late = change("help_pages", "u", page("Five days."), lsn=8)
    asyncio.run(publish(mapped, "warehouse", [record(latest), record(late), Message(raw=b"")]))
    mapped.drained()
    assert (document()["text"], document()["version"]) == ("Ten days.", 1)

    deleted = change("help_pages", "d", {"slug": "refunds"}, lsn=10)
    asyncio.run(publish(mapped, "warehouse", [record(deleted), record(late)]))
    mapped.drained()
    gone = mapped.client(TENANT).get(f"/v1/{TENANT}/documents/refunds")
    assert (gone.status_code, gone.json()["code"]) == (404, "document.unknown")
    assert mapped.get(f"/v1/{TENANT}/quarantine")["entries"] == []
