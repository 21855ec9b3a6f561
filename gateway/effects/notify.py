"""Notifications to a merchant's endpoint: outgoing webhooks as Standard Webhooks 1.0.0 describes them.

https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md: `webhook-id` is the same over all
attempts, `webhook-timestamp` is the attempt's, and `webhook-signature` is over both and the body. Any 2xx is success,
410 says that nothing is wanted any more, and 429, 502 and 504 that less is.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import httpx
import msgspec

from domain.effects import Done, Effect, Failed, not_asked
from gateway.effects.http import TIMEOUT_S, away, exchange
from gateway.sources.standard_webhooks import signature


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a merchant wants to hear, and the secrets (`whsec_...`) that sign; several while one is replaced."""

    url: str
    secrets: Sequence[str]


class _Body(msgspec.Struct):
    type: str
    data: msgspec.Raw


class Notify:
    """Performs `notify`.

    Args:
        client: sends.
        endpoints: by tenant and name (`Effect.to`).
        timeout_s: how long an endpoint may take.
        clock: the time of the attempt.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoints: Mapping[tuple[str, str], Endpoint],
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._endpoints = endpoints
        self._timeout_s = timeout_s
        self._clock = clock

    async def perform(self, effect: Effect) -> Done | Failed:
        """Tell the endpoint: `{"type": topic, "data": text}`, the same bytes in every attempt.

        Not retryable: `endpoint.gone` (410), `endpoint.unknown`, `notification.not_json`. Everything else but 2xx is:
        an endpoint that answers 404 today may be mended tomorrow.
        """
        endpoint = self._endpoints.get((effect.tenant, effect.to))
        if endpoint is None:
            return not_asked("endpoint.unknown")
        try:
            body = body_of(effect)
        except msgspec.DecodeError:
            return not_asked("notification.not_json")
        attempted_at = int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": effect.key,
            "webhook-timestamp": str(attempted_at),
            "webhook-signature": " ".join(
                signature(secret, effect.key, attempted_at, body) for secret in endpoint.secrets
            ),
        }
        response = await exchange(
            self._client, "POST", endpoint.url, headers=headers, timeout_s=self._timeout_s, content=body
        )
        if isinstance(response, Failed):
            return response
        if response.is_success:
            return Done()
        if response.status == httpx.codes.GONE:
            return Failed(retryable=False, reason="endpoint.gone", is_account_at_fault=False)
        return away(response, self._clock()) or Failed(retryable=True, reason=f"http.{response.status}")


def body_of(effect: Effect) -> bytes:
    """The body of a notification. Raises `msgspec.DecodeError` if the effect's text is no JSON."""
    msgspec.json.decode(effect.text)
    return msgspec.json.encode(_Body(type=effect.topic, data=msgspec.Raw(effect.text.encode())))
