"""Whatever the order of facts, links, answers and crashes: the answers found wrong are those that brute force finds."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.answer import AnswerInvalidated, AnswerReinstated
from domain.fact import Fact
from domain.message import Rejected
from gateway.corrections import Corrector
from tests.domain.examples import fact
from tests.gateway.correcting_world import StoppedError, World, settle
from tests.worlds import link, new_log

REFERENCES = ["pi_1", "pi_2", "ch_1", "ch_2"]
OBJECTS = [
    ("intent", "captured"),
    ("intent", "canceled"),
    ("refund:re_1", "pending"),
    ("refund:re_1", "succeeded"),
    ("refund:re_1", "failed"),
    ("dispute:dp_1", "open"),
]
POINTS = ["after_apply", "before_judging", "before_judged", "before_told"]
SECONDS = st.integers(0, 6)
# So that there is something to be wrong about.
BEGINNING = [
    ("fact", ("pi_1", fact("b1", "intent", "captured", 0, amount_minor=4900))),
    ("fact", ("ch_1", fact("b2", "refund:re_1", "succeeded", 10, payment_id="ch_1", amount_minor=4900))),
    ("forward", 6),
    ("answer", (0, ["pi_1", "ch_1"])),
    ("answer", (1, ["pi_1"])),
]

Step = tuple[str, Any]


@st.composite
def facts(draw: st.DrawFn) -> tuple[str, Fact]:
    """A fact and the reference under which it comes; the same one again is a duplicate."""
    reference = draw(st.sampled_from(REFERENCES))
    key, status = draw(st.sampled_from(OBJECTS))
    seconds = draw(SECONDS) * 10
    source = draw(st.sampled_from(["webhook", "webhook", "pull"]))
    fact_id = f"{reference}/{key}/{status}/{seconds}/{source}"
    return reference, fact(fact_id, key, status, seconds, payment_id=reference, amount_minor=4900, source=source)


STEPS = st.one_of(
    st.tuples(st.just("fact"), facts()),
    st.tuples(st.just("fact"), facts()),
    st.tuples(st.just("link"), st.tuples(st.sampled_from(["ch_1", "ch_2", "pi_2"]), st.sampled_from(REFERENCES))),
    # How far behind the log its reader was, and what it was asked about.
    st.tuples(st.just("answer"), st.tuples(SECONDS, st.lists(st.sampled_from(REFERENCES), min_size=1, unique=True))),
    st.tuples(st.just("repeat"), st.integers(0, 9)),
    st.tuples(st.just("forward"), SECONDS),
    st.tuples(st.just("turn"), st.none()),
    st.tuples(st.just("crash"), st.tuples(st.sampled_from(POINTS), st.integers(1, 3))),
    st.tuples(st.just("rebuild"), st.none()),
)


def stopping(point: str, times: int) -> Callable[[str], None]:
    """Ends the process when it reaches the point that often."""
    reached = 0

    def stop(at: str) -> None:
        nonlocal reached
        reached += at == point
        if at == point and reached == times:
            raise StoppedError

    return stop


async def play(world: World, steps: Sequence[Step]) -> None:
    corrector: Corrector = world.corrector()
    answers = rebuilds = 0
    for name, told in steps:
        match name:
            case "fact":
                world.fact(told[1], under=told[0])
            case "link":
                [reply] = world.shard.handle([link(*told)])
                assert not isinstance(reply, Rejected) or reply.code == "payment.linked_elsewhere"
            case "answer":
                answers += 1
                await world.answer(f"a-{answers}", *told[1], known_to=max(0, world.head() - told[0]))
            case "repeat" if answers:
                await world.repeat(f"a-{1 + told % answers}")
            case "forward":
                world.clock.forward(told * 7)
            case "turn":
                await corrector.turn()
            case "crash":
                stopped = world.corrector(stopping(*told))
                with suppress(StoppedError):
                    await settle(stopped, world.head)
                corrector = world.corrector(files=f"files-{rebuilds}" if rebuilds else "files")
            case "rebuild":
                rebuilds += 1
                corrector = world.corrector(files=f"files-{rebuilds}")
    await settle(corrector, world.head)


def told_of(world: World) -> list[tuple[str, str]]:
    """Every invalidation and reinstatement, as often as it is in the log."""
    return [
        (answer_id, type(event).__name__)
        for kind in (AnswerInvalidated, AnswerReinstated)
        for answer_id, event in world.events(kind)
    ]


@pytest.mark.long
@settings(max_examples=15)
@given(st.lists(STEPS, min_size=3, max_size=15))
def test_what_is_found_wrong_is_what_brute_force_finds(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        log = new_log(Path(directory))
        world = World(Path(directory), log, ["notify"])
        asyncio.run(play(world, [*BEGINNING, *steps]))

        assert world.wrong() == world.by_brute_force()
        assert len(world.effects()) == len({each.key for each in world.effects()}) <= len(told_of(world))
        published = {(told["answer_id"], told["position"]) for subject, told in world.published if "corr" in subject}
        assert {answer_id for answer_id, _ in published} == {answer_id for answer_id, _ in told_of(world)}
        head = world.head()
        asyncio.run(settle(world.corrector(files="from-nothing"), world.head))
        assert world.head() == head
        log.datastore.close()
