"""Carries calls to the simulated provider: as an ASGI application, or inside one process without a network."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from simulations.provider import Provider
from simulations.provider_api import Call

BODY_BYTES_MAX = 1024**2

# What ASGI hands over and takes is a dictionary of anything (https://asgi.readthedocs.io/en/latest/specs/www.html).
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class ProviderApp:
    """The provider as an ASGI application. A call that is never answered is held until its client has gone.

    `changed` is set after each call, because one may have made webhooks due.
    """

    def __init__(self, provider: Provider) -> None:
        self.changed = asyncio.Event()
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            part = await receive()
            if part["type"] == "http.disconnect":
                return
            body += part.get("body", b"")
            if not part.get("more_body") or len(body) > BODY_BYTES_MAX:
                break
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        call = Call(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=bytes(body),
        )
        reply = await self._provider.answer(call)
        self.changed.set()
        if reply.is_cut:
            # ASGI has no word for it; uvicorn's `send` is a method of what holds the connection.
            send.__self__.transport.abort()  # type: ignore[attr-defined]  # see above
        if reply.hangs or reply.is_cut:
            while (await receive())["type"] != "http.disconnect":
                continue
            return
        named = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
        named.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": named})
        await send({"type": "http.response.body", "body": reply.body})


class InProcess(httpx.AsyncBaseTransport):
    """An httpx transport that calls the provider without a network; a call that hangs ends in `httpx.ReadTimeout`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = Call(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.aread(),
        )
        reply = await self._provider.answer(call)
        if reply.hangs:
            raise httpx.ReadTimeout("the provider does not answer", request=request)
        if reply.is_cut:
            raise httpx.ReadError("the provider cuts the connection", request=request)
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body, request=request)
