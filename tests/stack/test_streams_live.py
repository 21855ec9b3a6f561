"""Recorded Stripe streams through the running stack, in disorder: each object ends as it was recorded last."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.stack.stack import Stack

pytestmark = pytest.mark.stack

STREAMS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "webhooks" / "stripe" / "streams"
DUPLICATE_SHARE = 0.3
TENANT = "recorded"
_INTENT_STATUS = {"succeeded": "captured", "canceled": "canceled", "requires_payment_method": "pending"}


def recorded(name: str) -> list[dict[str, Any]]:
    file = STREAMS / f"{name}.jsonl"
    if not file.exists():
        pytest.skip(f"no recorded stream at {file}: this says nothing about real disorder")
    return [json.loads(line) for line in file.read_text().splitlines()]


def own(events: list[dict[str, Any]], name: str) -> list[bytes]:
    """The events with ids of this stream alone: several recordings share the ids that were blanked."""
    return [json.dumps(each).replace("NORMALIZED", name[-6:].upper()).encode() for each in events]


def last_intents(bodies: list[bytes]) -> Mapping[str, dict[str, Any]]:
    events = [json.loads(body) for body in bodies]
    return {
        each["data"]["object"]["id"]: each["data"]["object"]
        for each in events
        if each["type"].startswith("payment_intent.")
    }


@pytest.mark.parametrize("name", ["upgrade_by_card", "upgrade_first_card_fails_and_restart_from_begining"])
def test_a_recorded_stream_in_disorder_ends_as_it_was_recorded_last(stack: Stack, name: str) -> None:
    bodies = own(recorded(name), name)
    rng = random.Random(name)
    arrivals = bodies + rng.sample(bodies, round(len(bodies) * DUPLICATE_SHARE))
    rng.shuffle(arrivals)

    assert {stack.post(body, TENANT).status_code for body in arrivals} == {202}
    stack.drained()

    for payment_id, last in last_intents(bodies).items():
        view = stack.get(f"/v1/{TENANT}/payments/{payment_id}", TENANT)
        status = "failed" if last.get("last_payment_error") else _INTENT_STATUS[last["status"]]
        assert (view["status"], view["amount_minor"], view["captured_minor"]) == (
            status,
            last["amount"],
            last["amount_received"],
        )
        assert view["currency"] == last["currency"].upper()
