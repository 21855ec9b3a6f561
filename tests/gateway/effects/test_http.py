"""One request of an effect, against a server that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from domain.effects import Failed, not_asked
from gateway.effects.http import BODY_BYTES_MAX, Response, away, exchange, make_client
from tests.gateway.effects.provider_examples import START

URL = "http://provider.example/v1/refunds"


async def asked(answer: Callable[[httpx.Request], object], *, timeout_s: float = 5.0) -> Response | Failed:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:  # type: ignore[arg-type]  # sync or async
        return await exchange(client, "GET", URL, headers={}, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError("refused"), Failed(retryable=True, reason="http.unreachable")),
        (httpx.RemoteProtocolError("cut"), Failed(retryable=True, reason="http.unreachable")),
        (httpx.ReadTimeout("slow"), Failed(retryable=True, reason="http.timeout")),
        (httpx.PoolTimeout("busy"), not_asked("http.timeout", retryable=True)),
    ],
)
async def test_no_answer_is_retryable(error: httpx.TransportError, expected: Failed) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    assert await asked(fail) == expected


async def test_an_answer_that_trickles_ends_in_time() -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answered = await asked(lambda request: httpx.Response(200, content=trickle()), timeout_s=0.02)

    assert answered == Failed(retryable=True, reason="http.timeout")


async def test_an_answer_without_end_is_not_kept() -> None:
    async def without_end() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 2**20

    answered = await asked(lambda request: httpx.Response(200, content=without_end()))

    assert BODY_BYTES_MAX < 2**30
    assert answered == Failed(retryable=False, reason="http.too_large")


async def test_an_answer_may_take_its_time_whatever_the_client_would_wait() -> None:
    waits: list[dict[str, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions["timeout"])
        return httpx.Response(200)

    await asked(answer, timeout_s=20.0)

    assert waits == [{"connect": 5.0, "read": 20.0, "write": 20.0, "pool": 20.0}]


@pytest.mark.parametrize(("told", "wait_s"), [("17", 17.0), ("Sat, 01 Mar 2025 12:00:30 GMT", 30.0), ("soon", 0.0)])
def test_who_wants_patience_says_how_much(told: str, wait_s: float) -> None:
    response = Response(status=429, headers=httpx.Headers({"Retry-After": told}), body=b"")

    failed = away(response, START)

    assert failed == Failed(retryable=True, reason="http.429", retry_after_s=wait_s)


@pytest.mark.parametrize("status", [200, 301, 400, 404])
def test_who_answers_is_not_away(status: int) -> None:
    assert away(Response(status=status, headers=httpx.Headers(), body=b""), START) is None


async def test_no_redirect_is_followed() -> None:
    async with make_client() as client:
        assert not client.follow_redirects
