"""Effects are performed at least once under one key, tried again with patience, and never because of a replay."""

import asyncio
import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from actors.effects import EffectRunner
from actors.payment_shard import KINDS
from domain.codec import Submission
from domain.effects import Done, Effect, Failed, RequestEffect, effect_key, not_asked
from domain.ids import stream_id
from domain.message import Reply
from domain.payment_saga import CONFLICT_SETTLES, RecordFact
from domain.settings import EffectSettings
from projections.outbox import PAGE_MAX, Outbox, Room
from tests.domain.examples import at, fact
from tests.domain.sagas import captured, reading
from tests.effect_worlds import Provider, World

ROOM = Room(tenant_max=10)


class CrashError(BaseException):
    """The process ends here."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_payment_that_times_out_is_read_canceled_and_settled(world: World) -> None:
    pull, cancel = Provider(Done(facts=(reading("pending", 1),))), Provider(Done(facts=(reading("canceled", 601),)))
    runner = world.runner({"pull": pull, "cancel": cancel})
    world.start(on_timeout="cancel")
    await world.perform(runner)
    assert pull.asked == []

    world.seconds = 600
    await world.perform(runner)

    assert [each.key for each in cancel.asked] == [effect_key("acme", "pi_1", "cancel-2")]
    assert cancel.asked[0].tenant == "acme"
    assert world.events()[-2:] == ["effect.performed", "payment.settled"]
    traces = {entry.envelope().trace.correlation_id for entry in world.feed.stream("payment:acme/pi_1")}
    assert traces == {"r-1"}
    assert world.outbox.counts(world.clock()).deadlines == 0


async def test_a_deadline_is_found_again_after_a_restart_and_after_the_loss_of_the_outbox(world: World) -> None:
    world.start()
    world.outbox.follow()
    world.outbox.close()
    (world.directory / "outbox.sqlite").unlink()
    world.outbox = world.open_outbox()
    pull = Provider(Done(facts=(captured(5),)))
    world.seconds = 700

    await world.perform(world.runner({"pull": pull}))

    assert world.events()[-1] == "payment.settled"


async def test_a_failed_attempt_is_tried_again_after_a_pause_that_doubles_with_the_same_key(world: World) -> None:
    notify = Provider(*[Failed(retryable=True, reason="it answers 503", is_account_at_fault=False)] * 3)
    runner = world.runner({"notify": notify})
    world.request("n1")

    attempts = []
    for second in range(10):
        world.seconds = float(second)
        await world.perform(runner)
        attempts.append(len(notify.asked))

    assert attempts == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4]
    assert {each.key for each in notify.asked} == {"n1"}
    assert world.events("n1", category="effect")[-1] == "effect.performed"


async def test_jitter_draws_the_pause_and_the_other_side_may_ask_for_a_longer_one(world: World) -> None:
    notify = Provider(Failed(retryable=True, reason="429", retry_after_s=9.0), Failed(retryable=True, reason="503"))
    runner = world.runner({"notify": notify}, jitter=lambda: 0.0)
    world.request("n1")
    await world.perform(runner)
    world.seconds = 8.9
    await world.perform(runner)
    assert len(notify.asked) == 1
    world.seconds = 9.0
    await world.perform(runner)

    assert len(notify.asked) == 3


async def test_what_would_fail_the_same_way_again_is_given_up_at_once(world: World) -> None:
    notify = Provider(Failed(retryable=False, reason="it answers 410"))
    world.request("n1")

    await world.perform(world.runner({"notify": notify}))

    assert world.events("n1", category="effect") == ["effect.requested", "effect.given_up"]
    assert world.outbox.outstanding("acme", limit=10) == []


async def test_an_effect_is_given_up_after_its_last_attempt(world: World) -> None:
    notify = Provider(*[Failed(retryable=True, reason="503", is_account_at_fault=False)] * 9)
    runner = world.runner({"notify": notify})
    world.request("n1", attempts_max=3)
    for _ in range(5):
        world.seconds += 100
        await world.perform(runner)

    assert len(notify.asked) == 3
    assert world.events("n1", category="effect")[-1] == "effect.given_up"


async def test_what_comes_too_late_is_not_done(world: World) -> None:
    reply = Provider()
    world.request("r1", kind="reply", not_after=at(100))
    world.seconds = 101

    await world.perform(world.runner({"reply": reply}))

    assert reply.asked == []
    assert world.events("r1", category="effect")[-1] == "effect.given_up"


async def test_an_effect_that_nobody_here_performs_is_given_up(world: World) -> None:
    world.request("n1")

    await world.perform(world.runner({}))

    assert world.events("n1", category="effect")[-1] == "effect.given_up"


async def test_an_attempt_that_does_not_end_is_ended(world: World) -> None:
    notify = Provider()
    notify.is_free.clear()
    settings = EffectSettings(timeout_s=0.01, lease_s=1.0)
    world.request("n1")

    await world.perform(world.runner({"notify": notify}, settings=settings))

    assert world.outbox.outstanding("acme", limit=10)[0].reason == "no outcome within 0.01 s"


async def test_a_crash_after_the_effect_leads_to_the_same_key_again_once_the_lease_is_over(world: World) -> None:
    notify = Provider()

    def crash(point: str) -> None:
        if point == "after_effect":
            raise CrashError

    world.request("n1")
    crashing = world.runner({"notify": notify}, at_point=crash)
    while await crashing.turn():
        pass
    await asyncio.gather(*crashing._under_way, return_exceptions=True)
    world.outbox.close()
    world.outbox = world.open_outbox()
    runner = world.runner({"notify": notify}, "successor")
    await world.perform(runner)
    assert len(notify.asked) == 1

    world.seconds = 60
    await world.perform(runner)

    assert [each.key for each in notify.asked] == ["n1", "n1"]
    assert list(notify.done) == ["n1"]
    assert world.events("n1", category="effect") == ["effect.requested", "effect.performed"]


async def test_an_outcome_is_sent_until_it_is_durable(world: World) -> None:
    notify = Provider()

    async def come_back(_: float) -> None:
        world.is_away = False

    world.request("n1")
    runner = world.runner({"notify": notify}, pause=come_back)
    world.outbox.follow()
    world.is_away = True
    await world.perform(runner)

    assert len(notify.asked) == 1
    assert world.events("n1", category="effect")[-1] == "effect.performed"


async def test_an_outcome_that_the_rules_refuse_is_given_up_and_shown_to_a_person(world: World) -> None:
    foreign = msgspec.structs.replace(captured(5), payment_id="pi_2")
    world.start()
    world.seconds = 600

    await world.perform(world.runner({"pull": Provider(Done(facts=(foreign,)))}))

    assert world.events()[-2:] == ["effect.given_up", "payment.escalated"]
    [escalation] = world.outbox.escalations("acme", limit=10)
    assert escalation.detail == "its outcome was refused: pull:intent:captured:5 is of pi_2, not of pi_1"
    assert world.outbox.escalations("globex", limit=10) == []


async def test_one_tenant_never_has_more_than_its_share_in_hand(world: World) -> None:
    notify = Provider()
    notify.is_free.clear()
    for number in range(6):
        world.request(f"a{number}")
    world.request("g1", tenant="globex")
    settings = EffectSettings(at_once_max=4, tenant_at_once_max=2)
    runner = world.runner({"notify": notify}, settings=settings)
    while await runner.turn():
        pass
    await asyncio.sleep(0)

    assert sorted(each.key for each in notify.asked) == ["a0", "a1", "g1"]
    notify.is_free.set()
    await world.perform(runner)
    assert len(notify.asked) == 7
    assert notify.at_once_max == 3


async def test_an_account_that_keeps_failing_is_left_alone_and_then_tried_with_one_effect(world: World) -> None:
    down = Failed(retryable=True, reason="it answers 500", retry_after_s=1.0)
    notify = Provider(down, down, Done(), down)
    settings = EffectSettings(breaker_failures=2, breaker_open_s=30, tenant_at_once_max=2, retry_max_s=1.0)
    runner = world.runner({"notify": notify}, settings=settings)
    for number in range(4):
        world.request(f"n{number}", attempts_max=20)
    await world.perform(runner)
    world.request("other", to="shipping")
    await world.perform(runner)
    assert [each.to for each in notify.asked] == ["orders", "orders", "shipping"]
    world.seconds = 29
    await world.perform(runner)
    assert len(notify.asked) == 3

    for world.seconds in (30, 59):
        await world.perform(runner)
    assert len(notify.asked) == 4
    world.seconds = 60
    await world.perform(runner)

    assert world.outbox.counts(world.clock()).effects == 0


async def test_an_effect_with_which_nobody_was_asked_is_no_probe_of_an_account(world: World) -> None:
    down = Failed(retryable=True, reason="it answers 500")
    notify = Provider(down, not_asked("endpoint.unknown"), down, Done(), Done())
    settings = EffectSettings(breaker_failures=1, breaker_open_s=30, tenant_at_once_max=1, retry_max_s=1.0)
    runner = world.runner({"notify": notify}, settings=settings)
    for number in range(4):
        world.request(f"n{number}", due_at=at(number / 10), attempts_max=20)
    world.request("late", due_at=at(-1), not_after=at(10))
    world.seconds = 1
    await world.perform(runner)
    assert len(notify.asked) == 1

    world.seconds = 31
    await world.perform(runner)

    # One was too late, one has no endpoint; the third met the account, which is still away.
    assert len(notify.asked) == 3
    world.seconds = 61
    await world.perform(runner)
    assert world.outbox.counts(world.clock()).effects == 0


async def test_a_failure_in_between_that_nobody_caused_does_not_keep_the_breaker_closed(world: World) -> None:
    down = Failed(retryable=True, reason="it answers 500")
    busy = not_asked("http.timeout", retryable=True)
    notify = Provider(down, busy, down, Done())
    settings = EffectSettings(breaker_failures=2, breaker_open_s=30, tenant_at_once_max=1)
    for number in range(4):
        world.request(f"n{number}", attempts_max=20)

    await world.perform(world.runner({"notify": notify}, settings=settings))

    assert len(notify.asked) == 3


async def test_an_outcome_that_is_being_recorded_takes_no_room_from_others(world: World) -> None:
    notify = Provider()
    settings = EffectSettings(at_once_max=2, tenant_at_once_max=2)
    waiting, is_open = [], asyncio.Event()

    async def submit(batch: Sequence[Submission]) -> list[Reply]:
        waiting.append(batch)
        await is_open.wait()
        return world.shard.handle(batch)

    runner = EffectRunner(
        world.outbox,
        {"notify": notify},
        submit=submit,
        owner="runner",
        clock=world.clock,
        clock_s=lambda: world.seconds,
        settings=settings,
    )
    for number in range(6):
        world.request(f"n{number}")
    while len(waiting) < 6:
        await runner.turn()
        await asyncio.sleep(0)

    assert notify.at_once_max <= 2
    is_open.set()
    await runner.settled()
    world.outbox.follow()
    assert world.outbox.counts(world.clock()).effects == 0


async def test_an_effect_that_has_ended_wakes_the_loop(world: World) -> None:
    """What it leads to is due at once: it does not wait for the next look at the clock."""
    pull, cancel = Provider(Done(facts=(reading("pending", 1),))), Provider(Done(facts=(reading("canceled", 601),)))

    is_idle = asyncio.Event()

    async def never(_: float) -> None:
        if pull.asked:
            is_idle.set()
        await asyncio.Event().wait()

    world.start(on_timeout="cancel")
    world.seconds = 600
    pull.is_free.clear()
    runner = world.runner({"pull": pull, "cancel": cancel}, pause=never)
    await runner.turn()
    await runner.turn()
    task = asyncio.create_task(runner.run())
    async with asyncio.timeout(5):
        await is_idle.wait()
        pull.is_free.set()
        await cancel.is_asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.long
async def test_what_was_performed_further_on_in_a_long_log_is_not_performed_again(world: World) -> None:
    notify = Provider()
    runner = world.runner({"notify": notify})
    wishes = [Effect(kind="notify", due_at=at(0), key=f"n{number}") for number in range(PAGE_MAX)]
    world.shard.handle(
        [
            Submission(stream=stream_id("effect", "acme", wish.key), command=RequestEffect(effect=wish))
            for wish in wishes
        ]
    )
    await world.perform(runner)
    world.outbox.close()
    (world.directory / "outbox.sqlite").unlink()
    world.outbox = world.open_outbox()

    await world.perform(world.runner({"notify": notify}, "successor"))

    assert len(notify.asked) == PAGE_MAX


async def test_the_loop_ends_when_another_process_owns_the_outbox(world: World) -> None:
    notify = Provider()
    runner = world.runner({"notify": notify})
    other = world.open_outbox()
    world.request("n1")

    async with asyncio.timeout(5):
        await runner.run()

    assert notify.asked == []
    other.close()


async def test_a_refusal_of_one_effect_does_not_open_the_breaker(world: World) -> None:
    refused = Failed(retryable=False, reason="no such charge", is_account_at_fault=False)
    notify = Provider(*[refused] * 5)
    for number in range(8):
        world.request(f"n{number}")

    await world.perform(world.runner({"notify": notify}, settings=EffectSettings(breaker_failures=2)))

    assert len(notify.asked) == 8


async def test_replaying_the_log_and_rebuilding_the_outbox_run_no_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is done; and deciding, folding and rebuilding never open a connection."""
    notify = Provider()
    world.start(on_timeout="cancel")
    world.request("n1")
    await world.perform(world.runner({"notify": notify}))

    def refuse(*_: object) -> None:
        raise AssertionError("a replay opens no connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    again = Outbox(world.directory / "rebuilt.sqlite", world.feed)
    while again.follow():
        pass
    assert again.claim(owner="x", now=world.clock(), lease_s=60, limit=10, room=ROOM) == []
    for entry in world.feed.read(0, limit=1000).entries:
        event = entry.envelope().event
        kind = KINDS[entry.stream.partition(":")[0]]
        kind.decider.evolve(kind.decider.initial(), event)

    assert len(notify.asked) == 1


async def test_what_the_outbox_has_is_what_the_state_says(world: World) -> None:
    world.start(on_timeout="cancel")
    world.tell("pi_2", RecordFact(fact=fact("e1", "intent", "captured", 1, payment_id="pi_2")))
    world.tell("pi_2", RecordFact(fact=fact("e2", "intent", "canceled", 1, payment_id="pi_2")))
    world.outbox.follow()

    [waiting] = world.outbox.outstanding("acme", limit=10)

    assert (waiting.effect.kind, waiting.effect.payment_id) == ("pull", "pi_2")
    assert waiting.effect.key == effect_key("acme", "pi_2", "pull-1")
    assert world.outbox.counts(world.clock() + CONFLICT_SETTLES + timedelta(seconds=5)).overdue_s == 5.0


async def test_the_loop_ends_with_its_task_and_leaves_nothing_running(world: World) -> None:
    notify = Provider()
    notify.is_free.clear()
    world.request("n1")
    task = asyncio.create_task(world.runner({"notify": notify}).run())
    await notify.is_asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert asyncio.all_tasks() == {asyncio.current_task()}
