"""A provider and an asker outside the stack: webhooks over real HTTP until they are taken, questions, waiting."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import httpx

from domain.errors import RetryableError, TerminalError
from simulations.disorder import Delivery, stripe_headers

IN_FLIGHT_MAX = 32
SEND_TRIES_MAX = 50
RETRY_S = 0.1
DRAIN_POLL_S = 0.05


class GatewayClient:
    """Speaks to one gateway for one tenant.

    Args:
        url: of the gateway.
        tenant: whose.
        api_key: the tenant's.
        secret: the tenant's Stripe signing secret.
    """

    def __init__(self, url: str, *, tenant: str, api_key: str, secret: str) -> None:
        self._tenant = tenant
        self._secret = secret
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=30,
            limits=httpx.Limits(max_connections=IN_FLIGHT_MAX),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def deliver(self, arrivals: Sequence[Delivery], *, on_taken: Callable[[], None] = lambda: None) -> None:
        """Send webhooks in order of arrival, some at a time, each again until it is taken, as a provider does.

        Raises `TerminalError` for one that is refused for good.
        """
        slots = asyncio.Semaphore(IN_FLIGHT_MAX)

        async def send(body: bytes) -> None:
            try:
                await self._send(body)
            finally:
                slots.release()
            on_taken()

        async with asyncio.TaskGroup() as sending:
            for arrival in arrivals:
                await slots.acquire()
                sending.create_task(send(arrival.event.body))

    async def _send(self, body: bytes) -> None:
        for _ in range(SEND_TRIES_MAX):
            headers = stripe_headers(body, self._secret, datetime.now(UTC))
            try:
                response = await self._http.post(f"/v1/{self._tenant}/webhooks/stripe", content=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(RETRY_S)
                continue
            if response.status_code == httpx.codes.ACCEPTED:
                return
            if response.status_code not in {429, 503}:
                raise TerminalError(f"a webhook was refused: {response.status_code} {response.text}")
            await asyncio.sleep(RETRY_S)
        raise RetryableError(f"a webhook was not taken in {SEND_TRIES_MAX} tries")

    async def post_webhook(self, body: bytes, headers: Mapping[str, str]) -> int:
        """One attempt to send a webhook: the status of the answer, 0 if there was none."""
        try:
            response = await self._http.post(f"/v1/{self._tenant}/webhooks/stripe", content=body, headers=dict(headers))
        except httpx.TransportError:
            return 0
        return response.status_code

    async def drained(self, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until everything that was taken is visible, and return the lag's last reading."""
        async with asyncio.timeout(timeout_s):
            while True:
                lag = await self.get("/v1/lag")
                if lag["ingest_pending"] == 0 and all(at == lag["head"] for at in lag["projected"].values()):
                    return lag
                await asyncio.sleep(DRAIN_POLL_S)

    async def ask(self, question: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - the request's JSON
        """The answer's JSON."""
        response = await self._http.post(f"/v1/{self._tenant}/ask", json={"question": question, **options})
        return _checked(response)

    async def put_document(self, document_id: str, title: str, text: str) -> dict[str, Any]:
        """The version and position."""
        response = await self._http.put(
            f"/v1/{self._tenant}/documents/{document_id}", json={"title": title, "text": text}
        )
        return _checked(response)

    async def payment(self, payment_id: str, **params: str | int) -> dict[str, Any] | None:
        """The payment view's JSON, `None` for one that is not known."""
        response = await self._http.get(f"/v1/{self._tenant}/payments/{payment_id}", params=params)
        return None if response.status_code == httpx.codes.NOT_FOUND else _checked(response)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What any other resource answers to a body, as JSON."""
        return _checked(await self._http.post(path, json=body))

    async def get(self, path: str) -> dict[str, Any]:
        """Any other resource's JSON."""
        return _checked(await self._http.get(path))


def _checked(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        raise TerminalError(f"{response.request.url.path}: {response.status_code} {response.text[:300]}")
    body: dict[str, Any] = response.json()
    return body
