"""Notifications, as an endpoint receives them: verified by the module that verifies Standard Webhooks for us."""

from collections.abc import Callable

import httpx
import pytest

from domain.effects import Done, Failed, not_asked
from domain.errors import TerminalError
from gateway.effects.notify import Endpoint, Notify
from gateway.sources import standard_webhooks
from gateway.sources.port import Trust
from tests.gateway.effects.provider_examples import KEY, START, effect

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
TELL = effect("notify", topic="answer.invalidated", text='{"answer_id":"a1"}')


async def notify(
    answer: Callable[[httpx.Request], httpx.Response], secrets: tuple[str, ...] = SECRETS, **fields: object
) -> Done | Failed:
    endpoint = Endpoint(url="https://merchant.example/hooks", secrets=secrets)
    wanted = TELL if not fields else effect("notify", **fields)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as sender:
        return await Notify(sender, {("acme", ""): endpoint}, clock=lambda: START).perform(wanted)


async def test_a_notification_is_signed_by_every_secret_and_named_by_its_key() -> None:
    received: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(204)

    outcome = await notify(take)

    request = received[0]
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert outcome == Done()
    assert headers["webhook-id"] == KEY
    assert request.content == b'{"type":"answer.invalidated","data":{"answer_id":"a1"}}'
    for secret in SECRETS:
        trust = Trust(secrets=(secret,))
        assert standard_webhooks.verify(headers, request.content, trust=trust, now=START) is None
        changed = request.content.replace(b"a1", b"a2")
        assert standard_webhooks.verify(headers, changed, trust=trust, now=START) == "signature.mismatch"


@pytest.mark.parametrize(
    ("status", "retryable", "reason", "retry_after_s"),
    [
        (404, True, "http.404", 0.0),
        (302, True, "http.302", 0.0),
        (429, True, "http.429", 9.0),
        (500, True, "http.500", 9.0),
        (410, False, "endpoint.gone", 0.0),
    ],
)
async def test_whatever_is_no_success_is_tried_again_unless_the_endpoint_is_gone(
    status: int, *, retryable: bool, reason: str, retry_after_s: float
) -> None:
    outcome = await notify(lambda request: httpx.Response(status, headers={"Retry-After": "9"}))

    assert isinstance(outcome, Failed)
    assert (outcome.retryable, outcome.reason, outcome.retry_after_s) == (retryable, reason, retry_after_s)


async def test_an_endpoint_that_nobody_configured_is_not_called() -> None:
    outcome = await notify(lambda request: httpx.Response(204), to="elsewhere", text="{}")

    assert outcome == not_asked("endpoint.unknown")


async def test_what_is_no_json_is_not_sent() -> None:
    outcome = await notify(lambda request: httpx.Response(204), text="not json")

    assert outcome == not_asked("notification.not_json")


async def test_nothing_is_sent_that_an_empty_secret_would_sign() -> None:
    with pytest.raises(TerminalError, match="base64"):
        await notify(lambda request: httpx.Response(204), secrets=("whsec_",))
