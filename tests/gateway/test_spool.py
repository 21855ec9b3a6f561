"""What was accepted gets into the stream, however long it is away and whoever dies meanwhile."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.errors import RetryableError, TerminalError
from gateway import spool
from gateway.bus import Outgoing, ingest_subject
from gateway.spool import Spool

SUBJECT = ingest_subject("acme", "stripe")
SIZE_MAX = 1_000


class Broker:
    """A stream that takes messages, refuses them, or says nothing at all."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_deaf = False
        self.taken: list[Outgoing] = []

    def check_size(self, message: Outgoing) -> None:
        if len(message.body) > SIZE_MAX:
            raise TerminalError("too large")

    async def publish(self, message: Outgoing) -> int:
        self.check_size(message)
        if self.is_deaf:
            await asyncio.Event().wait()
        if self.is_away:
            raise RetryableError("away")
        self.taken.append(message)
        return len(self.taken)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "STREAM_WAIT_S", 0.05)
    monkeypatch.setattr(spool, "AGAIN_S", 0.005)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@asynccontextmanager
async def opened(path: Path, broker: Broker, *, bytes_max: int = 1_000_000, gives: bool = True) -> AsyncIterator[Spool]:
    opened = Spool(path / "spool.sqlite", broker, bytes_max=bytes_max)
    giving = asyncio.create_task(opened.run()) if gives else None
    try:
        yield opened
    finally:
        if giving is not None:
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)
        await opened.close()


def message(number: int) -> Outgoing:
    return Outgoing(SUBJECT, b"body %d" % number, {"recount-correlation-id": str(number)})


async def emptied(of: Spool) -> None:
    async with asyncio.timeout(10):
        while of.messages:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)


async def test_what_the_stream_takes_does_not_lie_here(tmp_path: Path, broker: Broker) -> None:
    async with opened(tmp_path, broker) as spooled:
        assert [await spooled.accept(message(number)) for number in range(2)] == ["INGEST:1", "INGEST:2"]
        assert spooled.messages == 0


async def test_what_the_stream_refuses_is_accepted_and_goes_there_when_it_is_back(
    tmp_path: Path, broker: Broker
) -> None:
    async with opened(tmp_path, broker) as spooled:
        broker.is_away = True
        places = await asyncio.gather(*(spooled.accept(message(number)) for number in range(500)))
        assert sorted(places) == sorted(f"SPOOL:{number}" for number in range(1, 501))
        broker.is_away = False
        await emptied(spooled)
        assert await spooled.accept(message(500)) == "INGEST:501"
    assert {each.body for each in broker.taken} == {message(number).body for number in range(501)}
    assert broker.taken[0] in [message(number) for number in range(500)], "with its headers and subject"


async def test_nobody_waits_long_for_a_stream_that_says_nothing(tmp_path: Path, broker: Broker) -> None:
    async with opened(tmp_path, broker) as spooled:
        broker.is_deaf = True
        async with asyncio.timeout(5):
            assert await spooled.accept(message(1)) == "SPOOL:1"
            assert await spooled.accept(message(2)) == "SPOOL:2"


async def test_what_lay_here_when_the_process_died_is_given_by_the_next_one(tmp_path: Path, broker: Broker) -> None:
    broker.is_away = True
    async with opened(tmp_path, broker, gives=False) as spooled:
        await spooled.accept(message(1))
        await spooled.accept(message(2))
    broker.is_away = False
    async with opened(tmp_path, broker) as spooled:
        assert (spooled.messages, spooled.bytes > 0) == (2, True)
        await emptied(spooled)
    assert broker.taken == [message(1), message(2)]


async def test_no_body_stays_on_the_disk_when_the_stream_has_it(tmp_path: Path, broker: Broker) -> None:
    async with opened(tmp_path, broker) as spooled:
        broker.is_away = True
        await asyncio.gather(*(spooled.accept(message(number)) for number in range(100)))
        assert b"body 42" in on_disk(tmp_path)
        broker.is_away = False
        await emptied(spooled)
        assert b"body" not in on_disk(tmp_path).replace(b"body BLOB", b"")


def on_disk(directory: Path) -> bytes:
    return b"".join(each.read_bytes() for each in directory.glob("spool.sqlite*"))


async def test_a_full_spool_refuses_and_forgets_nothing(tmp_path: Path, broker: Broker) -> None:
    async with opened(tmp_path, broker, bytes_max=120) as spooled:
        broker.is_away = True
        outcomes = await asyncio.gather(*(spooled.accept(message(number)) for number in range(3)))
        with pytest.raises(RetryableError, match="holds"):
            await spooled.accept(message(3))
        broker.is_away = False
        await emptied(spooled)
    assert outcomes == ["SPOOL:1", "SPOOL:2", "SPOOL:3"]
    assert len(broker.taken) == 3


async def test_without_room_for_it_the_streams_refusal_is_the_answer(tmp_path: Path, broker: Broker) -> None:
    async with opened(tmp_path, broker, bytes_max=0) as spooled:
        broker.is_away = True
        with pytest.raises(RetryableError, match="away"):
            await spooled.accept(message(1))


async def test_what_the_stream_would_never_take_is_not_accepted_while_it_is_away(
    tmp_path: Path, broker: Broker
) -> None:
    async with opened(tmp_path, broker) as spooled:
        broker.is_away = True
        with pytest.raises(TerminalError):
            await spooled.accept(Outgoing(SUBJECT, b"x" * (SIZE_MAX + 1), {}))


async def test_a_message_that_a_smaller_stream_never_takes_keeps_nobody(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.is_away = True
    async with opened(tmp_path, broker, gives=False) as spooled:
        await spooled.accept(Outgoing(SUBJECT, b"x" * SIZE_MAX, {}))
        await spooled.accept(message(1))
    monkeypatch.setattr(f"{__name__}.SIZE_MAX", SIZE_MAX - 1)
    broker.is_away = False
    async with opened(tmp_path, broker) as spooled, asyncio.timeout(10):
        while spooled.messages > 1:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)
        assert broker.taken == [message(1)]


async def test_a_disk_that_takes_nothing_is_a_refusal(tmp_path: Path, broker: Broker) -> None:
    async with opened(tmp_path, broker) as spooled:
        broker.is_away = True
        with sqlite3.connect(tmp_path / "spool.sqlite") as other:
            other.execute("DROP TABLE spooled")
        with pytest.raises(RetryableError, match="no such table"):
            await spooled.accept(message(1))


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_goes_away_and_whoever_dies_all_that_was_accepted_arrives(
    tmp_path: Path, broker: Broker, seed: int
) -> None:
    rng, accepted = random.Random(seed), set[bytes]()
    for life in range(6):
        async with opened(tmp_path, broker) as spooled:
            for step in range(20):
                broker.is_away, broker.is_deaf = rng.random() < 0.4, rng.random() < 0.1
                one = message(life * 100 + step)
                await spooled.accept(one)
                accepted.add(one.body)
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.random() * 0.02)
    broker.is_away = broker.is_deaf = False
    async with opened(tmp_path, broker) as spooled:
        await emptied(spooled)
    assert {each.body for each in broker.taken} == accepted
