"""A wire's weather on real packets: passed on, late, overtaken, lost, dropped; and faults of links that show on it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from simulations.chaos import tunnel
from simulations.chaos.experiment import TargetSpec
from simulations.chaos.faults import inject
from simulations.chaos.injection import Place, bites
from simulations.chaos.links import FAIR, Weather
from simulations.chaos.target import Target
from simulations.chaos.undo import UndoJournal
from simulations.chaos.wire import Wire
from tests.simulations.chaos.echo import Client, server_at

pytestmark = pytest.mark.long


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """One with a server at its end."""
    if missing := tunnel.missing():
        pytest.skip(f"packets cannot be had here: {missing}")
    made = Wire(seed=7)
    await made.start()
    with server_at(made.host, made.entering) as made.port:
        yield made
    await made.stop()


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[Client]:
    connected = await Client.of(wire.host, wire.port)
    yield connected
    connected.close()


async def test_in_fair_weather_everything_comes_through_at_once(wire: Wire, client: Client) -> None:
    trips = sorted([await client.round_trip_s(b"hello") for _ in range(50)])
    await client.round_trip_s(os.urandom(1024**2))

    assert trips[25] < 0.02
    assert wire.seen.pieces > 1024**2 / 1_500
    assert wire.seen.delayed + wire.seen.overtaken + wire.seen.lost + wire.seen.dropped == 0


async def test_a_delay_is_added_each_way(wire: Wire, client: Client) -> None:
    wire.turn(Weather(delay_s=0.05))

    assert min([await client.round_trip_s(b"hello") for _ in range(3)]) >= 0.1


async def test_packets_that_take_longer_are_overtaken_and_put_in_order_at_the_end(wire: Wire, client: Client) -> None:
    wire.turn(Weather(delay_s=0.02, jitter_s=0.02))
    sent = [f"{number:04}".encode() for number in range(50)]

    for each in sent:
        client.writer.write(each)
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await client.reader.readexactly(200) == b"".join(sent)
    assert wire.seen.overtaken > 0


async def test_a_lost_packet_is_sent_again_by_whoever_sent_it(wire: Wire, client: Client) -> None:
    words = os.urandom(100_000)
    await client.round_trip_s(words)
    fair = wire.seen.pieces
    wire.turn(Weather(loss_share=0.1))

    await client.round_trip_s(words, timeout_s=30)
    assert wire.seen.lost > 0
    assert wire.seen.pieces - wire.seen.lost > fair / 2, "what was lost came in the end"


async def test_a_cut_link_drops_every_packet_and_closes_nothing(wire: Wire, client: Client) -> None:
    await client.round_trip_s(b"before")
    wire.turn(Weather(is_cut=True))
    with pytest.raises(TimeoutError):
        await client.round_trip_s(b"during", timeout_s=0.3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await Client.of(wire.host, wire.port)
    assert wire.seen.dropped == wire.seen.pieces > 1

    wire.turn(FAIR)
    async with asyncio.timeout(10):
        assert await client.reader.readexactly(6) == b"during", "it is sent again when the link is whole"


async def test_what_is_under_way_when_the_link_is_cut_does_not_arrive(wire: Wire, client: Client) -> None:
    await client.round_trip_s(b"before")
    wire.turn(Weather(delay_s=0.1))
    asyncio.get_running_loop().call_later(0.05, wire.turn, Weather(is_cut=True))
    client.writer.write(b"hello")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.reader.readexactly(5)
    assert wire.seen.dropped > 0


async def test_two_wires_have_a_network_each_and_leave_no_device_behind() -> None:
    if missing := tunnel.missing():
        pytest.skip(f"packets cannot be had here: {missing}")
    wires = [Wire(), Wire()]
    for each in wires:
        await each.start()
    assert wires[0].host != wires[1].host
    assert {each.host for each in wires} <= _peers()

    for each in wires:
        await each.stop()
    assert not {each.host for each in wires} & _peers()


def _peers() -> set[str]:
    """The second addresses of the networks of two to which this machine has a route of its own."""
    return {str(each[2]) for each in tunnel.routes() if each.prefixlen == 30}


@asynccontextmanager
async def chatter(client: Client) -> AsyncIterator[None]:
    """Somebody says something over the link all the time, several pieces at once."""

    async def chat() -> None:
        while True:
            for _ in range(5):
                client.writer.write(b"hello")
                await asyncio.sleep(0)
            await client.reader.read(1_024)

    chatting = asyncio.create_task(chat())
    yield
    chatting.cancel()
    await asyncio.gather(chatting, return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("partition", {}),
        ("slow_down", {"delay_ms": 20.0, "jitter_ms": 15.0}),
        ("lose", {"share": 0.2}),
    ],
)
async def test_a_fault_of_a_link_bites_on_the_wire(
    fault: str, arguments: dict[str, float], wire: Wire, client: Client, tmp_path: Path
) -> None:
    journal = UndoJournal(tmp_path / "journal.jsonl")
    target = Target(TargetSpec(links=frozenset({"database"})), tmp_path, journal)
    target.links["database"] = wire

    async with chatter(client):
        injection = await inject(fault, Place(journal=journal, target=target), {"link": "database", **arguments})
        assert injection.backend == "packets between TUN devices"
        assert await bites(injection)
        assert injection.heal is not None
        await injection.heal()
    after = await Client.of(wire.host, wire.port)
    assert await after.round_trip_s(b"hello") < 0.5
    after.close()
    journal.close()


async def test_a_fault_that_does_nothing_to_the_wire_does_not_bite(
    wire: Wire, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulations.chaos.injection.BITE_WITHIN_S", 0.3)
    journal = UndoJournal(tmp_path / "journal.jsonl")
    target = Target(TargetSpec(links=frozenset({"database"})), tmp_path, journal)
    target.links["database"] = wire

    async with chatter(client):
        injection = await inject("lose", Place(journal=journal, target=target), {"link": "database", "share": 0.0})
        assert not await bites(injection)
    journal.close()
