"""One request of an effect: bounded in time and size, and every way in which it can fail told apart."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import httpx
import msgspec

from domain.effects import Failed, not_asked
from gateway.polling_http import retry_after_s

TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 5.0
# Connections that are kept open for the next call.
KEPT_MAX = 32
BODY_BYTES_MAX = 4 * 1024**2
# 408 and 425 of RFC 9110 and RFC 8470; the others are somebody's bad moment.
_AWAY = frozenset({408, 425, 500, 502, 503, 504})


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, whatever it says."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110, 15.3


def make_client() -> httpx.AsyncClient:
    """A client for effects. It follows no redirect, which would carry a credential to another host.

    How many calls there are at once is up to whoever makes them (`EffectSettings`). A pool with an end of its own would
    not only keep one waiting behind another's slow provider: calls that end while they wait for it leave connections
    behind that are nobody's and are never given to anybody (httpcore 1.0.9), until there are no others.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_MAX)
    return httpx.AsyncClient(limits=limits, timeout=_timeout(TIMEOUT_S), follow_redirects=False)


def _timeout(timeout_s: float) -> httpx.Timeout:
    return httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    content: bytes | None = None,
) -> Response | Failed:
    """Ask, and the answer or why there is none; all of it within `timeout_s`.

    Codes: `http.timeout` (it may have been done), `http.unreachable`, `http.too_large`.
    """
    try:
        async with (
            asyncio.timeout(timeout_s),
            # Said with every request: a client's own timeouts are whatever it was made with.
            client.stream(method, url, headers=dict(headers), content=content, timeout=_timeout(timeout_s)) as response,
        ):
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    return Failed(retryable=False, reason="http.too_large")
            return Response(status=response.status_code, headers=response.headers, body=bytes(body))
    except httpx.PoolTimeout:
        # Whoever waits for a connection of our own pool has met nobody.
        return not_asked("http.timeout", retryable=True)
    except (TimeoutError, httpx.TimeoutException):
        return Failed(retryable=True, reason="http.timeout")
    except httpx.TransportError:
        return Failed(retryable=True, reason="http.unreachable")


def away(response: Response, now: datetime) -> Failed | None:
    """The failure of one who is away or wants patience, with what it asks for (`Retry-After`); else `None`.

    Codes: `http.429`, `http.503` and the like.
    """
    if response.status != httpx.codes.TOO_MANY_REQUESTS and response.status not in _AWAY:
        return None
    wait_s = retry_after_s(response.headers, now)
    return Failed(retryable=True, reason=f"http.{response.status}", retry_after_s=wait_s)
