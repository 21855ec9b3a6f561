"""What is fetched to verify with: only what the source allows, once, bounded, and again when it is old."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import pytest

from domain.errors import RetryableError
from gateway.certificates import BYTES_MAX, FETCHES_MAX, KEPT_MAX, KEPT_S, MISSED_S, Certificates, Chained
from gateway.sources import paypal, stripe
from gateway.sources.port import Certified

URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"
HEADERS = {"paypal-cert-url": URL}
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


class Web:
    """What lies at each URL, and how often it was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.found: dict[str, httpx.Response | Exception] = {}
        self.now_s = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = self.under_way_max = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked[str(request.url)] += 1
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        found = self.found.get(str(request.url), httpx.Response(404))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def web() -> Web:
    return Web()


@pytest.fixture
async def certificates(web: Web) -> AsyncIterator[Certificates]:
    opened = Certificates(clock_s=lambda: web.now_s, transport=httpx.MockTransport(web.answer))
    yield opened
    await opened.close()


def url(number: int) -> str:
    return f"{URL}-{number}"


async def test_a_certificate_is_fetched_once_and_again_when_it_is_old(web: Web, certificates: Certificates) -> None:
    web.found[URL] = httpx.Response(200, content=PEM)
    assert isinstance(paypal, Certified)
    assert isinstance(paypal, Chained)
    for _ in range(3):
        assert await certificates.of(paypal, HEADERS) == {URL: PEM}
    assert web.asked[URL] == 1
    web.now_s = KEPT_S + 1
    assert await certificates.of(paypal, HEADERS) == {URL: PEM}
    assert web.asked[URL] == 2


async def test_what_is_no_certificate_is_asked_for_again_soon(web: Web, certificates: Certificates) -> None:
    for found in (
        httpx.Response(404, content=PEM),
        httpx.Response(302, headers={"location": "https://elsewhere.example/"}),
        httpx.Response(200, content=b"<html>sign in</html>"),
        httpx.Response(200, content=PEM + b" " * BYTES_MAX),
    ):
        web.found[URL] = found
        web.asked.clear()
        web.now_s += MISSED_S + 1
        assert await certificates.of(paypal, HEADERS) == {}
        assert await certificates.of(paypal, HEADERS) == {}
        assert web.asked == {URL: 1}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"paypal-cert-url": ""},
        {"paypal-cert-url": "https://evil.example/cert"},
        {"paypal-cert-url": "http://api.paypal.com/cert"},
        {"paypal-cert-url": "https://api.paypal.com.evil.example/cert"},
        {"paypal-cert-url": "https://api.paypal.com@evil.example/cert"},
    ],
)
async def test_nothing_is_fetched_that_the_source_does_not_allow(
    web: Web, certificates: Certificates, headers: Mapping[str, str]
) -> None:
    assert await certificates.of(paypal, headers) == {}
    assert await certificates.of(stripe, HEADERS) == {}
    assert not web.asked


@pytest.mark.parametrize("trouble", [httpx.Response(503), httpx.ConnectError("down"), httpx.ReadTimeout("slow")])
async def test_what_cannot_be_fetched_now_is_said_so_and_asked_for_again(
    web: Web, certificates: Certificates, trouble: httpx.Response | Exception
) -> None:
    web.found[URL] = trouble
    with pytest.raises(RetryableError):
        await certificates.of(paypal, HEADERS)
    web.found[URL] = httpx.Response(200, content=PEM)
    assert await certificates.of(paypal, HEADERS) == {URL: PEM}


async def test_those_who_wait_for_one_certificate_share_a_request(web: Web, certificates: Certificates) -> None:
    web.found[URL] = httpx.Response(200, content=PEM)
    web.gate.clear()
    waiting = [asyncio.create_task(certificates.of(paypal, HEADERS)) for _ in range(20)]
    impatient = asyncio.create_task(certificates.of(paypal, HEADERS))
    await until(lambda: web.asked[URL] == 1)
    impatient.cancel()
    web.gate.set()
    assert await asyncio.gather(*waiting) == [{URL: PEM}] * 20
    assert web.asked[URL] == 1


async def test_many_urls_make_few_requests_at_a_time_and_little_is_kept(web: Web, certificates: Certificates) -> None:
    web.gate.clear()
    headers = [{"paypal-cert-url": url(number)} for number in range(KEPT_MAX * 2)]
    waiting = [asyncio.create_task(certificates.of(paypal, each)) for each in headers]
    await until(lambda: web.under_way == FETCHES_MAX)
    web.gate.set()
    await asyncio.gather(*waiting)
    assert web.under_way_max == FETCHES_MAX
    assert len(certificates._kept) == KEPT_MAX


async def test_what_is_under_way_ends_with_the_node(web: Web) -> None:
    certificates = Certificates(transport=httpx.MockTransport(web.answer))
    web.gate.clear()
    waiting = asyncio.create_task(certificates.of(paypal, HEADERS))
    await until(lambda: web.asked[URL] == 1)
    await certificates.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it gives way to the other tasks; none of them has an event
            await asyncio.sleep(0)


ROOT = "http://cacerts.example/issuer.crt"


class Linked:
    """A source whose certificates are issued one by another, each saying where the next one is."""

    name = "linked"
    acknowledgement = paypal.acknowledgement
    verify = staticmethod(paypal.verify)
    read = staticmethod(paypal.read)
    certificate_url = staticmethod(paypal.certificate_url)

    def issuer_url(self, chain: bytes) -> str:
        assert chain.startswith(PEM)
        return ROOT

    def with_issuer(self, chain: bytes, issuer: bytes) -> bytes:
        return chain + issuer


async def test_a_chain_is_followed_to_its_end_and_no_further(web: Web, certificates: Certificates) -> None:
    source = Linked()
    assert isinstance(source, Certified)
    assert isinstance(source, Chained)
    web.found = {URL: httpx.Response(200, content=PEM), ROOT: httpx.Response(200, content=PEM)}
    (chain,) = (await certificates.of(source, HEADERS)).values()
    assert chain == PEM * 4
    web.found[ROOT] = httpx.Response(404)
    web.now_s = KEPT_S + 1
    assert await certificates.of(source, HEADERS) == {URL: PEM}
