"""Asking an API as it wants to be asked: timeouts, tries again with jitter, its own word on when, its rate limit."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from domain.errors import RetryableError, TerminalError

ATTEMPTS_MAX = 6
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 60.0
# Whatever a server says of when to come again, it is asked once an hour.
WAIT_MAX_S = 3_600.0
BODY_BYTES_MAX = 32 * 1024**2
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
# What an API says of a cursor that it does not know any more.
_LOST = frozenset({400, 404, 410})
# Seconds beyond this are a time, not a wait: both ways to write a reset are in use.
_EPOCH_S_MIN = 1_000_000_000


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    url: str
    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; of something unchanged (304) there is no body."""

    body: bytes = b""
    etag: str = ""
    is_unchanged: bool = False


class CursorLostError(TerminalError):
    """The API refuses the request, as it does for a cursor that it has forgotten."""


class Asker:
    """Asks one API.

    Args:
        client: sends.
        timeout_s: how long an answer is waited for.
        clock: the time, for waits that are told as a time.
        pause: waits that many seconds.
        jitter: a number from 0 to 1, so that not everybody comes again at once.
        on_retry: told before a pause: the reason and its seconds.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        timeout_s: float,
        clock: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        on_retry: Callable[[str, float], None] = lambda reason, pause_s: None,
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._clock = clock
        self._pause = pause
        self._jitter = jitter
        self._on_retry = on_retry
        self._next_not_before_s = 0.0

    async def ask(self, request: Request, *, etag: str = "") -> Answer:
        """The answer, after as many tries as it takes.

        Raises:
            RetryableError: the API is away, or has asked for patience, `ATTEMPTS_MAX` times.
            CursorLostError: it does not know what is asked for.
            TerminalError: it refuses, or answers what cannot be an answer.
        """
        headers = {"Accept": "application/json", **request.headers, **({"If-None-Match": etag} if etag else {})}
        reason, told_s = "", 0.0
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
                pause_s = told_s + self._jitter() * min(BACKOFF_FIRST_S * 2**attempt, BACKOFF_MAX_S)
                self._on_retry(reason, pause_s)
                await self._pause(pause_s)
            elif self._next_not_before_s > 0:
                await self._pause(self._next_not_before_s)
            self._next_not_before_s = 0.0
            try:
                response, body = await self._send(request, headers)
            except httpx.TransportError as error:
                reason, told_s = f"{type(error).__name__}: {error}".rstrip(": "), 0.0
                continue
            if response.status_code not in _RETRYABLE:
                self._next_not_before_s = until_reset_s(response.headers, self._clock())
                return _answer(response, body)
            reason = f"it answers {response.status_code}"
            told_s = retry_after_s(response.headers, self._clock())
        raise RetryableError(f"{request.url}: {reason}, {ATTEMPTS_MAX} times", retry_after_s=told_s)

    async def _send(self, request: Request, headers: Mapping[str, str]) -> tuple[httpx.Response, bytes]:
        """The response and its body. Raises `httpx.TransportError`, `TerminalError` for a body that is too large."""
        url = httpx.URL(request.url).copy_merge_params(dict(request.params))
        async with self._client.stream("GET", url, headers=dict(headers), timeout=self._timeout_s) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    raise TerminalError(f"{request.url}: the answer has more than {BODY_BYTES_MAX} bytes; ask for less")
            return response, bytes(body)


def retry_after_s(headers: httpx.Headers, now: datetime) -> float:
    """The seconds that a server asks for (RFC 9110, 10.2.3: a number or a date), 0 if it asks for none."""
    told = headers.get("retry-after", "").strip()
    if not told:
        return until_reset_s(headers, now)
    if told.isdecimal():
        return min(float(told), WAIT_MAX_S)
    try:
        at = parsedate_to_datetime(told)
    except ValueError:
        return 0.0
    return _from_now_s(at if at.tzinfo else at.replace(tzinfo=UTC), now)


def until_reset_s(headers: httpx.Headers, now: datetime) -> float:
    """The seconds until there may be a next request, if the rate limit's headers say that this was the last one.

    `RateLimit-Remaining` and `RateLimit-Reset` (draft-ietf-httpapi-ratelimit-headers), with or without `X-`.
    """
    remaining = headers.get("ratelimit-remaining", headers.get("x-ratelimit-remaining", ""))
    reset = headers.get("ratelimit-reset", headers.get("x-ratelimit-reset", "")).partition(".")[0]
    if remaining.strip() != "0" or not reset.isdecimal():
        return 0.0
    if int(reset) >= _EPOCH_S_MIN:
        return _from_now_s(datetime.fromtimestamp(min(int(reset), 2 * _EPOCH_S_MIN), UTC), now)
    return min(float(reset), WAIT_MAX_S)


def _from_now_s(at: datetime, now: datetime) -> float:
    return min(max((at - now).total_seconds(), 0.0), WAIT_MAX_S)


def _answer(response: httpx.Response, body: bytes) -> Answer:
    status = response.status_code
    where = f"{response.url.scheme}://{response.url.netloc.decode()}{response.url.path}"
    if status == httpx.codes.NOT_MODIFIED:
        return Answer(is_unchanged=True)
    if status == httpx.codes.OK:
        return Answer(body=body, etag=response.headers.get("etag", ""))
    if status in _LOST:
        raise CursorLostError(f"{where} answers {status}")
    if status in {401, 403}:
        raise TerminalError(f"{where} answers {status}: check poll.key and what it may read")
    raise TerminalError(f"{where} answers {status}; poll.url is wrong, or this is no list")
