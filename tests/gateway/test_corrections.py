"""Answers that were wrong when they were given are found, all of them and no others, and each is told once."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.answer import AnswerInvalidated, AnswerReinstated, Basis
from domain.codec import Submission
from domain.conversation import AnswerMessage, Message, RecordMessage, RequestErasure
from domain.fact import Fact
from domain.ids import stream_id
from domain.tenant_settings import NotifySettings, TenantSettings
from gateway.conversations import REPLY_WITHIN
from gateway.corrections import SEND_WITHIN, ways_of
from projections.feed import LogEntry, SqliteFeed
from tests.domain.examples import PAYMENT, fact
from tests.gateway.correcting_world import (
    CAPTURED,
    FAILED,
    REFUNDED,
    StoppedError,
    World,
    corrected,
    settle,
    told_wrongly,
)
from tests.spec import NOON
from tests.worlds import TENANT, new_log

CHAT = "zalo:2512523625412515"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    log = new_log(tmp_path)
    yield World(tmp_path, log)
    log.datastore.close()


def of_another(number: int) -> Fact:
    return fact(f"o{number}", "intent", "captured", 1, payment_id=f"pi_o{number}", amount_minor=100)


async def test_a_late_fact_invalidates_the_answer_that_it_contradicts(world: World) -> None:
    await told_wrongly(world)
    corrector = await corrected(world)
    assert world.wrong() == {}

    world.fact(FAILED)
    with capture_logs() as lines:
        await settle(corrector, world.head)

    ((answer_id, event),) = world.events(AnswerInvalidated)
    (untrue,) = event.untrue
    assert answer_id == "a-1"
    assert untrue.fields == ("refunded_minor", "refunds")
    assert [(each.id, each.status) for each in untrue.so.refunds] == [("re_1", "failed")]
    assert [(each.fact_id, each.position) for each in untrue.facts] == [("e3", 4)]
    assert "We told you on Sunday, 1 March 2026, that the refund re_1 of 19.00 EUR" in event.text
    assert [line["answer_id"] for line in lines if line["event"] == "answer_invalidated"] == ["a-1"]
    assert corrector.counts == {"invalidated": 1}


async def test_an_answer_that_is_only_outdated_is_left_alone(world: World) -> None:
    await told_wrongly(world)
    world.fact(fact("e9", "refund:re_1", "failed", 300, amount_minor=1900))

    await corrected(world)

    assert world.by_brute_force() == {}
    assert world.events(AnswerInvalidated) == []


async def test_an_answer_that_is_recorded_after_the_fact_and_did_not_know_it_is_found(world: World) -> None:
    world.fact(CAPTURED)
    world.fact(REFUNDED)
    known_to = world.head()
    world.clock.forward(250)
    world.fact(FAILED)
    corrector = await corrected(world)

    await world.answer("a-1", PAYMENT, known_to=known_to)
    await settle(corrector, world.head)

    assert world.wrong().keys() == {"a-1"}


async def test_a_repeat_of_an_answer_that_was_right_at_first_is_found(world: World) -> None:
    """The refund failed between the two, and the answer was still in the cache."""
    world.fact(CAPTURED)
    world.fact(REFUNDED)
    world.clock.forward(150)
    await world.answer("a-1", PAYMENT)
    world.fact(FAILED)
    corrector = await corrected(world)
    assert world.wrong() == {}

    world.clock.forward(100)
    await world.repeat("a-1")
    await settle(corrector, world.head)

    ((_, event),) = world.events(AnswerInvalidated)
    assert event.untrue[0].given_at == NOON + timedelta(seconds=250)


async def test_what_an_answer_to_a_past_position_says_is_not_corrected(world: World) -> None:
    await told_wrongly(world, "a-0")
    known = world.head()
    world.fact(FAILED)
    await world.answer("a-1", PAYMENT, known_to=known, basis=Basis(known_to=known, known_at=known))

    await corrected(world)

    assert world.wrong().keys() == {"a-0"} == world.by_brute_force().keys()


async def test_a_link_that_comes_late_invalidates_what_was_said_of_either_side(world: World) -> None:
    """The refund lay under its charge, and nobody knew whose that was."""
    world.fact(CAPTURED)
    world.fact(fact("e2", "refund:re_1", "succeeded", 100, amount_minor=1900, payment_id="ch_1"))
    world.clock.forward(250)
    await world.answer("a-1", PAYMENT)
    await world.answer("a-2", "ch_1")
    corrector = await corrected(world)

    world.link("ch_1", PAYMENT)
    await settle(corrector, world.head)

    assert world.wrong() == world.by_brute_force()
    assert world.wrong().keys() == {"a-1", "a-2"}


async def test_each_new_truth_is_told_once_and_what_is_right_after_all_is_reinstated(world: World) -> None:
    await told_wrongly(world)
    corrector = await corrected(world)
    for told in (
        FAILED,
        fact("e4", "refund:re_1", "failed", 205, amount_minor=1900),
        fact("e5", "dispute:dp_1", "open", 210, amount_minor=4900),
        # The provider, asked, says how it was.
        fact("e6", "refund:re_1", "succeeded", 240, amount_minor=1900, source="pull"),
        fact("e7", "dispute:dp_1", "open", 240, amount_minor=4900, source="pull"),
    ):
        world.fact(told)
        await settle(corrector, world.head)

    assert world.wrong() == world.by_brute_force()
    assert [event.untrue[0].fields for _, event in world.events(AnswerInvalidated)] == [
        ("refunded_minor", "refunds"),
        ("refunded_minor", "refunds", "disputes"),
        ("disputes",),
    ]


async def test_an_answer_that_was_right_after_all_is_reinstated(world: World) -> None:
    await told_wrongly(world)
    world.fact(FAILED)
    corrector = await corrected(world)

    world.fact(fact("e6", "refund:re_1", "succeeded", 240, amount_minor=1900, source="pull"))
    await settle(corrector, world.head)

    ((answer_id, event),) = world.events(AnswerReinstated)
    assert answer_id == "a-1"
    assert event.text.endswith("It is now known that it was right.")
    assert world.wrong() == {} == world.by_brute_force()


async def test_a_provider_whose_clock_is_ahead_makes_no_answer_wrong(world: World) -> None:
    """The answer spoke as of the provider's time, and so do its repeats."""
    world.fact(fact("e1", "intent", "captured", 3_600, amount_minor=4900, captured_minor=4900))
    world.clock.forward(10)
    await world.answer("a-1", PAYMENT)
    world.clock.forward(10)
    await world.repeat("a-1")
    world.fact(fact("e2", "refund:re_1", "succeeded", 3_700, amount_minor=1900))

    await corrected(world)

    assert world.wrong() == {} == world.by_brute_force()


async def test_only_the_answers_about_the_payment_that_changed_are_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told_wrongly(world)
    for number in range(5):
        world.fact(of_another(number))
        await world.answer(f"b-{number}", f"pi_o{number}")
    corrector = await corrected(world)
    read: list[str] = []
    stream = SqliteFeed.stream

    def noted(feed: SqliteFeed, name: str) -> list[LogEntry]:
        read.append(name)
        return stream(feed, name)

    monkeypatch.setattr(SqliteFeed, "stream", noted)

    world.fact(FAILED)
    await settle(corrector, world.head)

    assert world.wrong().keys() == {"a-1"}
    assert set(read) == {"answer:acme/a-1", "payment:acme/pi_1"}


POINTS = ["after_apply", "before_judging", "before_judged", "before_told"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_at_any_point_leaves_every_wrong_answer_found_and_told_once(world: World, point: str) -> None:
    world.ways = ["notify"]
    await told_wrongly(world, "a-1", "a-2")
    world.fact(FAILED)
    reached = 0

    def stop(at: str) -> None:
        nonlocal reached
        reached += at == point
        if at == point and reached <= 3:
            raise StoppedError

    for _ in range(4):
        corrector = world.corrector(stop)
        try:
            await settle(corrector, world.head)
        except StoppedError:
            continue
    await settle(world.corrector(), world.head)

    assert reached >= 3
    assert [answer_id for answer_id, _ in world.events(AnswerInvalidated)] == ["a-1", "a-2"]
    assert len(world.effects()) == 2
    assert {told["answer_id"] for subject, told in world.published if subject == "corrections.acme"} == {"a-1", "a-2"}


async def test_files_that_are_lost_are_rebuilt_and_nothing_is_said_again(world: World) -> None:
    world.ways = ["notify"]
    await told_wrongly(world)
    world.fact(FAILED)
    await corrected(world)
    entries = world.head()

    rebuilt = world.corrector(files="others")
    await settle(rebuilt, world.head)

    assert world.head() == entries


async def test_a_tenants_file_that_is_lost_alone_is_rebuilt_from_the_log(world: World) -> None:
    await told_wrongly(world)
    await corrected(world)
    world.answers.close()
    for path in (world.directory / "files" / "tenants" / TENANT).iterdir():
        path.unlink()

    world.fact(FAILED)
    await corrected(world)

    assert world.wrong().keys() == {"a-1"}


async def test_a_corrector_ends_when_another_process_owns_its_files(world: World) -> None:
    await told_wrongly(world)
    former = await corrected(world)
    world.fact(FAILED)
    await corrected(world)
    world.fact(fact("e4", "refund:re_1", "failed", 201, amount_minor=1900))

    with capture_logs() as logs:
        await asyncio.wait_for(former.run(), timeout=5)

    assert [entry["event"] for entry in logs] == ["corrections_fenced"]


async def test_a_correction_waits_for_the_bus_and_the_customer_does_not(world: World) -> None:
    world.ways = ["notify"]
    world.is_bus_away = True
    await told_wrongly(world)
    world.fact(FAILED)
    corrector = await corrected(world)
    assert len(world.effects()) == 1

    world.is_bus_away = False
    await corrector.turn()
    await corrector.turn()

    assert [told["type"] for subject, told in world.published if subject == "corrections.acme"] == [
        "answer.invalidated"
    ]
    assert len(world.effects()) == 1


def chat(*commands: Any) -> list[Submission]:
    return [Submission(stream=stream_id("conversation", TENANT, CHAT), command=each) for each in commands]


def asked_and_answered(answer_id: str = "a-1") -> list[Submission]:
    message = Message(message_id="m_1", author="customer", kind="text", occurred_at=NOON, text="Where is my refund?")
    return chat(
        RecordMessage(message=message), AnswerMessage(message_id="m_1", answer_id=answer_id, text="It was sent.")
    )


async def test_what_was_said_in_a_chat_is_corrected_there(world: World) -> None:
    world.ways = ["reply", "notify"]
    await told_wrongly(world, "a-1", "a-2")
    world.tell(*asked_and_answered())
    world.fact(FAILED)

    await corrected(world)

    in_chat, by_notice = world.effects()
    assert (in_chat.kind, in_chat.to, in_chat.payment_id) == ("reply", CHAT, PAYMENT)
    assert in_chat.text.startswith("We told you on Sunday, 1 March 2026, that ")
    # What was not said in a chat goes to the merchant.
    assert (by_notice.kind, by_notice.to, by_notice.topic) == ("notify", "", "answer.invalidated")
    assert len({in_chat.key, by_notice.key}) == 2


async def test_a_chat_that_may_not_be_written_to_any_more_leaves_it_to_the_merchant(world: World) -> None:
    world.ways = ["reply", "notify"]
    await told_wrongly(world)
    world.tell(*asked_and_answered())
    world.clock.forward(REPLY_WITHIN.total_seconds())
    world.fact(FAILED)

    await corrected(world)

    assert [each.kind for each in world.effects()] == ["notify"]


async def test_without_an_endpoint_only_chats_are_written_to(world: World) -> None:
    world.ways = ["reply"]
    await told_wrongly(world, "a-1", "a-2")
    world.tell(*asked_and_answered())
    world.fact(FAILED)

    await corrected(world)

    assert [(each.kind, each.not_after) for each in world.effects()] == [("reply", NOON + REPLY_WITHIN)]


@pytest.mark.parametrize(
    ("corrections", "notify", "ways"),
    [
        ("none", True, set()),
        ("notify", True, {"notify"}),
        ("reply", True, {"reply", "notify"}),
        ("reply", False, {"reply"}),
    ],
)
def test_a_tenant_says_how_its_customers_are_told(corrections: Any, ways: set[str], *, notify: bool) -> None:
    endpoint = NotifySettings(url="https://shop.example/hooks", secrets=("whsec_bm90aWZ5",)) if notify else None

    assert ways_of(TenantSettings(corrections=corrections, notify=endpoint)) == ways


async def test_a_customer_who_wants_to_be_erased_is_not_written_to(world: World) -> None:
    world.ways = ["reply", "notify"]
    await told_wrongly(world)
    world.tell(*asked_and_answered(), *chat(RequestErasure(occurred_at=NOON + timedelta(seconds=1))))
    world.fact(FAILED)

    await corrected(world)

    assert world.wrong().keys() == {"a-1"}
    assert world.effects() == []


async def test_nobody_is_told_where_the_tenant_does_not_want_it(world: World) -> None:
    await told_wrongly(world)
    world.fact(FAILED)

    await corrected(world)

    assert world.effects() == []
    assert [subject for subject, _ in world.published if subject.startswith("corrections.")] == ["corrections.acme"]


async def test_what_was_found_out_long_ago_is_not_sent_after_a_rebuild(world: World) -> None:
    await told_wrongly(world)
    world.fact(FAILED)
    await corrected(world)
    world.ways = ["notify"]
    world.clock.forward(SEND_WITHIN.total_seconds() + 1)

    await settle(world.corrector(files="others"), world.head)

    assert world.effects() == []


async def test_what_was_told_and_is_taken_back_is_told_as_well(world: World) -> None:
    world.ways = ["notify"]
    await told_wrongly(world)
    world.fact(FAILED)
    corrector = await corrected(world)
    world.fact(fact("e6", "refund:re_1", "succeeded", 240, amount_minor=1900, source="pull"))

    await settle(corrector, world.head)

    assert [each.topic for each in world.effects()] == ["answer.invalidated", "answer.reinstated"]


async def test_the_bus_hears_which_answers_have_news(world: World) -> None:
    await told_wrongly(world)
    world.fact(FAILED)

    await corrected(world)

    hints = [told for subject, told in world.published if subject == "answers.acme"]
    assert hints == [{"position": 4, "changed": ["a-1"]}, {"position": 5, "changed": ["a-1"]}]


def test_a_merchant_who_is_to_be_told_has_an_endpoint() -> None:
    with pytest.raises(ValueError, match=r"notify\.url"):
        TenantSettings(corrections="notify")
