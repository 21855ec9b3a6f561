"""The certificates that messages point to: fetched where the source allows, bounded, kept for a while."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import httpx

from domain.errors import RetryableError
from gateway.sources.port import Certified, SourceModule

TIMEOUT_S = 3.0
BYTES_MAX = 65_536
CHAIN_MAX = 4
KEPT_MAX = 64
KEPT_S = 86_400.0
# What is no certificate is asked for again soon: it may have been a mistake, and whoever asks need not be the provider.
MISSED_S = 30.0
FETCHES_MAX = 8

_PEM = b"-----BEGIN CERTIFICATE-----"


@runtime_checkable
class Chained(Protocol):
    """A source whose URL gives a certificate without those that vouch for it."""

    def issuer_url(self, chain: bytes) -> str:
        """Where the next certificate is, on a host that the source trusts to serve it; empty if none is missing."""
        ...

    def with_issuer(self, chain: bytes, issuer: bytes) -> bytes:
        """The chain with what was found there, as PEM; the chain alone if that was no certificate."""
        ...


class Certificates:
    """Fetches what sources need to verify, over HTTP and without redirects. One request per URL is under way at a time.

    Args:
        clock_s: a monotonic clock, for how long a certificate is kept.
        transport: how requests are made, if not over the network.
    """

    def __init__(
        self, *, clock_s: Callable[[], float] = time.monotonic, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._clock_s = clock_s
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._slots = asyncio.Semaphore(FETCHES_MAX)

    async def of(self, source: SourceModule, headers: Mapping[str, str]) -> dict[str, bytes]:
        """The chain for a message, by the URL that the source reads from its headers; empty if there is none.

        Raises `RetryableError` if it cannot be fetched now.
        """
        url = source.certificate_url(headers) if isinstance(source, Certified) else ""
        if not url:
            return {}
        chain = self._recalled(url)
        if chain is None:
            if url not in self._fetching:
                task = asyncio.create_task(self._fetch_chain(source, url))
                self._fetching[url] = task
                task.add_done_callback(lambda _: self._fetching.pop(url, None))
            # One who gives up waiting takes the certificate from nobody else.
            chain = await asyncio.shield(self._fetching[url])
        return {url: chain} if chain else {}

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._fetching.values()):
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _recalled(self, url: str) -> bytes | None:
        until_s, chain = self._kept.get(url, (0.0, b""))
        return chain if self._clock_s() < until_s else None

    async def _fetch_chain(self, source: SourceModule, url: str) -> bytes:
        chain = await self._fetch(url)
        if _PEM not in chain:
            chain = b""
        while chain and isinstance(source, Chained) and chain.count(_PEM) < CHAIN_MAX:
            issuer_url = source.issuer_url(chain)
            longer = source.with_issuer(chain, await self._fetch(issuer_url)) if issuer_url else chain
            if longer.count(_PEM) <= chain.count(_PEM):
                break
            chain = longer
        self._kept[url] = (self._clock_s() + (KEPT_S if chain else MISSED_S), chain)
        self._kept.move_to_end(url)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return chain

    async def _fetch(self, url: str) -> bytes:
        """What lies at a URL; empty if nothing does, or too much. Raises `RetryableError`."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, transport=self._transport)
        body = b""
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_S), self._client.stream("GET", url) as response:
                if response.is_server_error:
                    raise RetryableError(f"the certificate's host answers {response.status_code}", retry_after_s=1)
                if response.status_code != httpx.codes.OK:
                    return b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > BYTES_MAX:
                        return b""
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise RetryableError(f"the certificate cannot be fetched now: {reason}", retry_after_s=1) from error
        return body
