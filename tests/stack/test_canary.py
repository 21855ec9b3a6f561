"""Planted personal data, sent in through every door that takes text, is found nowhere afterwards.

Raw messages are kept by design: in the stream until its retention ends, in quarantine until they are sent in again or
taken out. Here the stream is purged, as at the end of its retention.
"""

import asyncio
import json
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest

from gateway.bus import STREAM
from gateway.sources import SOURCES
from tests.canaries import CANARIES, NAME, TEXT, traces_in
from tests.gateway.sources import cloudevents_examples, debezium_examples, standard_webhooks_examples
from tests.gateway.sources.conformance import conformances, planted
from tests.gateway.sources.examples import charge, event, intent
from tests.gateway.sources.mapped import under
from tests.gateway.sources.zalo_examples import event as chat_event
from tests.gateway.sources.zalo_examples import signed
from tests.stack.processes import descendants
from tests.stack.stack import Stack, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TENANT = "acme"
OF_SOURCE_MAX = 60
SECRET = "oa_secret_of_acme"
CONVERSATION = f"/v1/{TENANT}/conversations/zalo:2512523625412515"
MAPPED = {"acquirer": standard_webhooks_examples, "bus": cloudevents_examples, "warehouse": debezium_examples}
MORE = f"""
[tenants.{TENANT}.sources.zalo]
secrets = ["{SECRET}"]
[tenants.{TENANT}.privacy]
documents = true
""" + "".join(under(TENANT, source, examples.TOML) for source, examples in MAPPED.items())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own, whose stream is purged and whose quarantine is encrypted."""
    directory = tmp_path_factory.mktemp("canary")
    keys = directory / "quarantine.keys"
    keys.write_text("ab" * 32 + "\n")
    keys.chmod(0o600)
    with Stack(directory, (TENANT,), more=MORE + f'[quarantine]\nkey_file = "{keys}"\n') as running:
        yield running


def personal(object_: dict[str, Any]) -> dict[str, Any]:
    """A provider's object with all that it tells of a person."""
    details = {"name": NAME, "email": CANARIES["email"], "phone": CANARIES["phone"]}
    address = {"line1": CANARIES["address"], "city": "TP.HCM"}
    return object_ | {
        "description": TEXT,
        "billing_details": details | {"address": address},
        "shipping": details | {"address": address},
        "receipt_email": CANARIES["email"],
        "metadata": {"note": TEXT},
        "last_payment_error": {"message": TEXT, "code": "card_declined"},
        "failure_message": TEXT,
    }


def chat(stack: Stack, text: str) -> None:
    told = chat_event(
        "user_send_text",
        sender={"id": "2512523625412515"},
        recipient={"id": "388613280878808645"},
        timestamp=f"{time.time_ns() // 10**6}",
        message={"msg_id": f"m{time.time_ns()}", "text": text},
    )
    body = json.dumps(told).encode()
    sent = stack.client().post(f"/v1/{TENANT}/webhooks/zalo", content=body, headers=signed(body, SECRET))
    assert sent.is_success, sent.text


async def publish_planted(stack: Stack) -> int:
    """Publish the examples of every provider with the text in one of their places; returns how many."""
    examples = {each.source.name: each for each in conformances() if each.source.name in SOURCES}
    examples |= {source: each.CONFORMANCE for source, each in MAPPED.items()}
    client = await nats.connect(stack.nats_url)
    chosen = random.Random(5)
    count = 0
    try:
        for source, conformance in examples.items():
            messages = [each for message in conformance.messages for each in planted(message, TEXT)]
            for each in chosen.sample(messages, min(len(messages), OF_SOURCE_MAX)):
                await client.jetstream().publish(f"ingest.{TENANT}.{source}", each.raw, headers=dict(each.headers))
                count += 1
    finally:
        await client.close()
    return count


def plant(stack: Stack) -> list[httpx.Response]:
    """Send the canaries through every door, and return what was answered."""
    client = stack.client(TENANT)
    answers = [
        stack.post(event("payment_intent.succeeded", personal(intent())), TENANT),
        stack.post(event("charge.failed", personal(charge("failed")), id="evt_canary"), TENANT),
    ]
    assert asyncio.run(publish_planted(stack)) > 5 * OF_SOURCE_MAX
    # Signed, and not to be read: it goes to quarantine, with a reason that must not quote it.
    answers.append(stack.post(event("charge.refunded", TEXT, id="evt_unreadable"), TENANT))
    stack.drained()
    chat(stack, TEXT)
    chat(stack, f"đơn {NAME.lower()} đâu rồi shop")
    answers.append(client.put(f"/v1/{TENANT}/documents/faq", json={"title": "Refunds", "text": TEXT}))
    questions = (TEXT, TEXT, f"Where is the refund of {NAME}?")
    answers += [client.post(f"/v1/{TENANT}/ask", json={"question": question}) for question in questions]
    # What cannot be read says why: the reason must not quote it.
    answers.append(client.post(f"/v1/{TENANT}/ask", json={"question": TEXT, "as_of": TEXT}))
    answers.append(client.post(f"/v1/{TENANT}/ask", json={"question": TEXT, "customer_id": CANARIES["email"] + " x"}))
    stack.drained()
    return answers


def read_back(stack: Stack) -> list[httpx.Response]:
    """Everything that HTTP gives out about the tenant, and the metrics."""
    client = stack.client(TENANT)
    paths = [
        f"/v1/{TENANT}/payments",
        f"/v1/{TENANT}/payments/pi_1",
        f"/v1/{TENANT}/payments/pi_1/timeline",
        f"/v1/{TENANT}/documents/faq",
        f"/v1/{TENANT}/conversations",
        CONVERSATION,
        f"/v1/{TENANT}/corrections",
        f"/v1/{TENANT}/quarantine",
        "/metrics",
        "/readyz",
    ]
    return [client.get(path) for path in paths]


async def purge(nats_url: str) -> None:
    """Forget every raw message, as at the end of their retention."""
    client = await nats.connect(nats_url)
    try:
        await client.jetstream().purge_stream(STREAM)
    finally:
        await client.close()


def bytes_of(path: Path) -> bytes:
    """What a file holds; nothing if it is gone by now, as a server's temporary ones are."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def files_below(root: Path) -> Iterator[Path]:
    """The file itself, or every file of a directory; a directory that a server removes meanwhile has none."""
    if root.is_file():
        yield root
    for directory, _, names in os.walk(root):
        yield from (path for name in names if (path := Path(directory) / name).is_file())


def files_with_traces(*roots: Path) -> dict[str, list[str]]:
    files = [path for root in roots for path in files_below(root)]
    return {str(path): traces for path in files if (traces := traces_in(bytes_of(path)))}


def ray_logs(stack: Stack) -> set[Path]:
    """The directories in which Ray keeps what the processes of this stack print."""
    told = b"\0".join(bytes_of(Path(f"/proc/{pid}/cmdline")) for pid in descendants(stack.pid))
    return {Path(found.decode()) / "logs" for found in re.findall(rb"/[\w/.-]*/session_[0-9][\w-]*", told)}


def test_planted_personal_data_is_found_nowhere_afterwards(stack: Stack) -> None:
    answers = plant(stack)
    until(lambda: stack.get(CONVERSATION)["messages"] >= 2, "the chat is there")
    conversation = stack.get(f"{CONVERSATION}")
    answers += read_back(stack)

    # It was there to be found: the stream still has it, and what was kept has tokens in its place.
    assert files_with_traces(stack.data / "nats")
    assert "<PHONE_" in json.dumps(conversation)
    assert json.dumps(conversation).count("<NAME_") >= 2
    assert stack.get(f"/v1/{TENANT}/quarantine", code="body.wrong_shape")["entries"]

    asyncio.run(purge(stack.nats_url))
    until(lambda: not files_with_traces(stack.data / "nats"), "the purged stream is gone from the disk")

    assert {str(each.url): found for each in answers if (found := traces_in(each.content))} == {}
    logs = ray_logs(stack)
    assert logs
    assert files_with_traces(stack.data, stack.log_file, *logs) == {}
