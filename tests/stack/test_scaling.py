"""More comes than one intake manages: another one is started, and goes again, and every message is recorded once."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from domain.conversation import MessageReceived
from gateway.bus import Outgoing, Publisher, connect, ingest_subject
from tests.gateway.sources.zalo_examples import from_account
from tests.stack.stack import OPERATOR_KEY, Stack, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SUBJECT = ingest_subject("acme", "zalo")
# What people write is slow to take in: it is searched for personal data.
TEXT = "Call Anna Schmidt at +49 151 2345678 or write to anna@example.com about order 12. " * 24
CUSTOMERS = 100
AT_ONCE = 500
# So many wait at least while the second one is on its way.
WAITING_MIN = 1_000
LOOK_EVERY_S = 0.1
TRICKLE_EVERY_S = 0.02
MORE = f"""
[ray]
intakes_max = 2
[scaling]
drain_s = 1.0
behind_s = 0.5
quiet_s = 1.0
[remediation]
operator_keys = ["{OPERATOR_KEY}"]
cool_down_s = 0.0
[tenants.acme.sources.zalo]
"""


@pytest.fixture
def scaling(tmp_path: Path) -> Iterator[Stack]:
    """A stack that may have two intakes, and has one."""
    with Stack(tmp_path, ["acme"], more=MORE) as running:
        yield running


def figure(stack: Stack, name: str, host: str) -> float:
    """A figure of an intake, e.g. how many messages it has settled; 0 while it is not there."""
    label = f'{name}{{host="{host}"}} '
    lines = stack.client().get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(label)) for line in lines if line.startswith(label))


def are_told(stack: Stack, *numbers: float) -> None:
    """Wait until each intake divides the tenants' rates by its number."""

    def said() -> bool:
        told = [figure(stack, "recount_host_divided_by", f"intake-{number}") for number in range(len(numbers))]
        return told == [*numbers]

    until(said, f"the rates are divided by {numbers}")


def outcomes(stack: Stack) -> dict[str, str | None]:
    """How the last run of each runbook ended."""
    answer = httpx.get(f"{stack.url}/v1/remediation", headers={"Authorization": f"Bearer {OPERATOR_KEY}"}, timeout=30)
    return {each["runbook"]: each["outcome"] for each in answer.json()["runbooks"]}


def written(number: int) -> bytes:
    """What the account wrote to one of its customers; nobody is to answer that."""
    message = from_account("oa_send_text", msg_id=f"o_{number}", text=TEXT)
    return json.dumps({**message, "recipient": {"id": str(number % CUSTOMERS)}}).encode()


class Sender:
    """Publishes messages.

    Args:
        stack: which looks after itself.
        client: of its bus.
    """

    def __init__(self, stack: Stack, client: Client) -> None:
        self._stack = stack
        self._publisher = Publisher(client)
        self.sent = 0

    async def flood(self) -> None:
        """Keep messages waiting until a second intake takes some of them."""
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(figure, self._stack, "recount_host_messages", "intake-1"):
                lag = await asyncio.to_thread(self._stack.lag)
                if lag is not None and lag["ingest_pending"] < WAITING_MIN:
                    await self._publish(AT_ONCE)
                await asyncio.sleep(LOOK_EVERY_S)

    async def trickle(self) -> None:
        """Send now and then until the second intake has gone."""
        async with asyncio.timeout(60):
            while "intake-1" in await asyncio.to_thread(self._stack.parts):
                await self._publish(1)
                await asyncio.sleep(TRICKLE_EVERY_S)

    async def _publish(self, count: int) -> None:
        numbers = range(self.sent, self.sent + count)
        self.sent += count
        await asyncio.gather(*(self._publisher.publish(Outgoing(SUBJECT, written(each), {})) for each in numbers))


async def send(stack: Stack) -> int:
    """Flood until there are two intakes, trickle until there is one again; returns how many messages that were."""
    client = await connect(stack.nats_url, name="sender")
    try:
        sender = Sender(stack, client)
        await sender.flood()
        await asyncio.to_thread(are_told, stack, 2, 2)
        await asyncio.to_thread(stack.drained)
        await sender.trickle()
        await asyncio.to_thread(are_told, stack, 1, 0)
    finally:
        await client.close()
    return sender.sent


def test_a_flood_has_a_second_intake_started_and_ended_again_and_nothing_is_lost_or_recorded_twice(
    scaling: Stack,
) -> None:
    sent = asyncio.run(send(scaling))
    scaling.drained()

    recorded = Counter(
        envelope.event.message.message_id
        for _, _, envelope in scaling.log()
        if isinstance(envelope.event, MessageReceived)
    )
    assert recorded == dict.fromkeys((f"o_{number}" for number in range(sent)), 1)
    assert scaling.get("/v1/acme/quarantine", state="all")["entries"] == []
    assert outcomes(scaling)["intakes-behind"] == "recovered"
    assert [line["host"] for line in scaling.logged("host_removed")] == ["intake-1"]
    assert scaling.hosts_logged("intake_finished")
