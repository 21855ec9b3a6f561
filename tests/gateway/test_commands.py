"""Commands from outside: what fits becomes a command for its stream, once; what does not is refused and told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from domain.errors import Rejection
from domain.message import Trace
from domain.payment_policy import Policy
from domain.payment_saga import PaymentStarted, ResolveEscalation, StartPayment
from domain.tenant_settings import ApiSettings, PolicySettings, SourceSettings, TenantSettings
from gateway.bus import connect
from gateway.commands import REPLY_HEADER, STREAM, Commander, Outcome, ResolveBody, StartBody, command_of
from tests.domain.examples import at
from tests.effect_worlds import World
from tests.gateway.nats import Told, running

ACME = TenantSettings(
    sources={"stripe": SourceSettings(api=ApiSettings(key="rk_test")), "zalopay": SourceSettings()},
    policy=PolicySettings(on_timeout="cancel", deadline_s=60, waits_max=3),
)
TRACE = Trace(correlation_id="r-1")
START: dict[str, Any] = {"type": "payment.start", "payment_id": "pi_1", "amount_minor": 4900, "currency": "EUR"}


def started(**fields: Any) -> StartPayment:
    body = StartBody(**{"payment_id": "pi_1", "amount_minor": 4900, "currency": "EUR", **fields})
    command = command_of(body, "acme", ACME, at(0), TRACE).command
    assert isinstance(command, StartPayment)
    return command


def test_a_start_takes_what_it_does_not_say_from_the_tenants_settings() -> None:
    assert started() == StartPayment(
        payment_id="pi_1",
        amount_minor=4900,
        currency="EUR",
        deadline_at=at(60),
        is_deadline_default=True,
        provider="stripe",
        policy=Policy(on_timeout="cancel", waits_max=3),
    )


def test_a_start_may_say_its_deadline_its_source_and_what_to_do_then() -> None:
    said = started(deadline_at=at(5), provider="zalopay", on_timeout="void")

    assert (said.deadline_at, said.is_deadline_default, said.provider) == (at(5), False, "zalopay")
    assert said.policy.on_timeout == "void"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"provider": "paypal"}, "provider.unknown"),
        ({"payment_id": ".."}, "id.invalid"),
        ({"deadline_at": at(0) + timedelta(days=500)}, "deadline.out_of_range"),
        ({"deadline_at": datetime(1, 1, 1, tzinfo=UTC)}, "deadline.out_of_range"),
    ],
)
def test_a_start_that_no_setting_allows_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejection) as rejection:
        started(**fields)

    assert rejection.value.code == code


def test_a_decision_goes_to_the_stream_of_its_payment() -> None:
    body = ResolveBody(payment_id="pi_1", number=2, resolution="close", note="by phone")

    submission = command_of(body, "acme", ACME, at(0), TRACE)

    assert submission.stream == "payment:acme/pi_1"
    assert submission.command == ResolveEscalation(number=2, resolution="close", note="by phone")
    assert submission.trace == TRACE


class Bus:
    """A nats-server, a commander on a world's shard, and a merchant's connection."""

    def __init__(self, world: World, merchant: Client) -> None:
        self.world = world
        self.merchant = merchant

    async def command(self, body: bytes, tenant: str = "acme") -> Outcome:
        """Publish durably, and wait for what comes of it."""
        inbox = self.merchant.new_inbox()
        heard = await self.merchant.subscribe(inbox)
        acknowledged = await self.merchant.jetstream().publish(
            f"commands.{tenant}", body, headers={REPLY_HEADER: inbox, "Recount-Correlation-Id": "r-7"}
        )
        assert acknowledged.stream == STREAM
        message = await heard.next_msg(timeout=20)
        await heard.unsubscribe()
        return msgspec.json.decode(message.data, type=Outcome)


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    world = World(tmp_path)
    async with running(tmp_path / "nats", Told()) as server:
        taking, merchant = await connect(server.url, name="taking"), await connect(server.url, name="merchant")
        commander = Commander(taking, tenants={"acme": ACME}, submit=world.submit, clock=world.clock)
        await commander.start()
        task = asyncio.create_task(commander.run())
        yield Bus(world, merchant)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await merchant.close()
        await taking.close()


@pytest.mark.stack
async def test_a_command_on_the_bus_is_recorded_once_however_often_it_is_published(bus: Bus) -> None:
    first = await bus.command(msgspec.json.encode(START))
    again = await bus.command(msgspec.json.encode(START))

    assert (first, again) == (Outcome(position=1), Outcome())
    [entry] = bus.world.feed.stream("payment:acme/pi_1")
    assert isinstance(entry.envelope().event, PaymentStarted)
    assert entry.envelope().trace.correlation_id == "r-7"


@pytest.mark.stack
@pytest.mark.parametrize(
    ("body", "tenant", "code"),
    [
        (msgspec.json.encode({**START, "amount_minor": 4901}), "acme", "payment.started_differently"),
        (msgspec.json.encode({**START, "payment_id": "pi_2", "amount_minor": 0}), "acme", "command.invalid"),
        (msgspec.json.encode({**START, "payment_id": "pi_2", "stranger": 1}), "acme", "command.invalid"),
        (b"{", "acme", "command.invalid"),
        (b'"\xff"', "acme", "command.invalid"),
        (b"[" * 60_000, "acme", "command.invalid"),
        (b" " * 70_000, "acme", "body.too_large"),
        (msgspec.json.encode(START), "nobody", "tenant.unknown"),
    ],
)
async def test_what_does_not_fit_is_refused_and_the_next_command_is_taken(
    bus: Bus, body: bytes, tenant: str, code: str
) -> None:
    await bus.command(msgspec.json.encode(START))

    assert (await bus.command(body, tenant)).code == code
    assert await bus.command(msgspec.json.encode(START)) == Outcome()


@pytest.mark.stack
async def test_a_command_that_cannot_be_recorded_now_comes_again(bus: Bus) -> None:
    bus.world.is_away = True
    commanding = asyncio.create_task(bus.command(msgspec.json.encode(START)))
    await bus.world.asked.wait()
    assert bus.world.feed.stream("payment:acme/pi_1") == []
    bus.world.is_away = False

    assert await commanding == Outcome(position=1)
