"""A log with something to find out in it: links, an answer, a refund that failed late, the answer found wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.recorder import LogRecorder
from domain.fact import Fact
from gateway.replaying.history import Moment
from gateway.replaying.replay import Replayed, replay
from tests.domain.examples import fact
from tests.gateway.correcting_world import World, settle
from tests.worlds import new_log, numbered

PAYMENTS = [f"pi_{number}" for number in range(1, 8)]


def refund(number: int, reference: str, object_key: str, status: str, seconds: float = 21) -> Fact:
    return fact(f"stripe:evt_{number}", object_key, status, seconds, payment_id=reference, amount_minor=1900)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    (tmp_path / "live").mkdir()
    log = new_log(tmp_path / "live")
    yield log
    log.datastore.close()


@pytest.fixture
async def world(tmp_path: Path, recorder: LogRecorder) -> World:
    world = World(tmp_path / "live", recorder, ways={"notify"})
    for number, key in enumerate(PAYMENTS, start=1):
        world.clock.forward(1)
        world.fact(numbered(number, key, customer_id="cus_1"))
    for number in (1, 2):
        world.fact(refund(20 + number, f"CAP-{number}", f"refund:re_{number}", "succeeded"))
    world.link("CAP-1", "AUTH-1")
    world.link("AUTH-1", "pi_1")
    world.link("CAP-2", "pi_2")
    question = "Where is the refund of pi_1? Write to nguyen.an@example.com"
    await world.answer("a_1", "pi_1", "pi_3", question=question)
    world.clock.forward(60)
    world.fact(refund(31, "CAP-1", "refund:re_1", "failed"))
    await settle(world.corrector(), world.head)
    return world


def replayed(world: World, directory: Path, until: Moment | int | None = None, **options: Any) -> Replayed:
    to = until if isinstance(until, Moment) else Moment(position=world.head() if until is None else until)
    return replay(world.feed, directory, to, **options)
