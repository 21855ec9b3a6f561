"""Replies in a Zalo chat, against the simulated account: what was said is what its conversation holds."""

from datetime import timedelta
from typing import Any

import pytest

from domain.effects import Done, Failed, not_asked
from gateway.effects.zalo_reply import TEXT_CHARS_MAX, ZaloAccount, ZaloReply
from simulations.provider import Provider
from simulations.provider_scenario import CallFault
from tests.gateway.effects.provider_examples import START, advance, client, effect, failing, provider

USER = "2512523625412515"
TEXT = "Your refund of 19.00 EUR arrived on 3 March."
SEND = "POST /v3.0/oa/message/cs"


async def reply(simulated: Provider, **fields: Any) -> Done | Failed:
    wanted = {"to": f"zalo:{USER}", "text": TEXT, "not_after": START + timedelta(hours=48), **fields}
    account = ZaloAccount(access_token=simulated.scenario.chat_token, base_url="http://provider.example")
    async with client(simulated) as sender:
        return await ZaloReply(sender, {"acme": account}, clock=simulated.clock).perform(effect("reply", **wanted))


def asked(**scenario: Any) -> Provider:
    simulated = provider(**scenario)
    simulated.zalo.hear(USER, "Where is my refund?")
    return simulated


def told(simulated: Provider) -> list[str]:
    return [each.text for each in simulated.zalo.said if each.is_from_account]


async def test_a_reply_is_said_once_and_its_id_is_known() -> None:
    simulated = asked()

    first, again = await reply(simulated), await reply(simulated)

    assert told(simulated) == [TEXT]
    assert first == again == Done(reference=simulated.zalo.said[-1].message_id)


async def test_a_reply_that_was_said_and_not_confirmed_is_not_said_again() -> None:
    simulated = asked(call_faults=(failing(SEND, "timeout_after"),))

    failed = await reply(simulated)
    advance(simulated, hours=1)
    again = await reply(simulated, due_at=START + timedelta(hours=1))

    assert failed == Failed(retryable=True, reason="http.timeout")
    assert isinstance(again, Done)
    assert told(simulated) == [TEXT]


async def test_the_same_words_to_a_later_question_are_said() -> None:
    simulated = asked()
    await reply(simulated)
    advance(simulated, hours=3)
    simulated.zalo.hear(USER, "Where is my refund?")

    await reply(simulated, not_after=START + timedelta(hours=51))

    assert told(simulated) == [TEXT, TEXT]


async def test_nothing_is_said_after_the_window() -> None:
    simulated = asked()
    advance(simulated, hours=49)

    ours = await reply(simulated)
    zalos = await reply(simulated, not_after=None)

    assert ours == not_asked("window.closed")
    assert zalos == Failed(retryable=False, reason="window.closed", is_account_at_fault=False)
    assert told(simulated) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("unavailable", "http.503"), ("rate_limited", "zalo.-32"), ("timeout_before", "http.timeout")],
)
async def test_what_may_succeed_later_is_retryable(fault: CallFault, reason: str) -> None:
    simulated = asked(call_faults=(failing(SEND, fault),))

    failed = await reply(simulated)

    assert isinstance(failed, Failed)
    assert (failed.retryable, failed.reason) == (True, reason)
    assert isinstance(await reply(simulated), Done)


async def test_a_text_that_is_too_long_ends_at_a_word() -> None:
    simulated = asked()

    await reply(simulated, text="refund " * 400)

    assert len(told(simulated)[0]) <= TEXT_CHARS_MAX
    assert told(simulated)[0].endswith("refund\N{HORIZONTAL ELLIPSIS}")


@pytest.mark.parametrize("to", ["zalo:anonymous:17", "telegram:17", ""])
async def test_whoever_cannot_be_written_to_gets_nothing(to: str) -> None:
    failed = await reply(asked(), to=to)

    assert failed == not_asked("effect.recipient_unknown")


async def test_a_token_that_has_expired_may_be_renewed() -> None:
    simulated = asked()
    account = ZaloAccount(access_token="expired", base_url="http://provider.example")
    async with client(simulated) as sender:
        port = ZaloReply(sender, {"acme": account}, clock=simulated.clock)
        failed = await port.perform(effect("reply", to=f"zalo:{USER}", text=TEXT))

    assert failed == Failed(retryable=True, reason="zalo.-216")
