"""What a provider hears: the success that it wants once its message is durable, and else why not."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.datastructures import State

from domain.settings import NatsSettings, NodeSettings
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.certificates import Certificates
from gateway.http import webhooks
from gateway.http.access_log import AccessLog
from gateway.http.context import JsonRequest
from gateway.http.problems import ProblemError, on_problem
from gateway.node import Node
from gateway.sources import SOURCES, adyen, paypal
from gateway.sources.port import Acknowledgement
from tests.gateway.sources import adyen_platform_examples as platform
from tests.gateway.sources.adyen_examples import KEY, PAYMENT, REFUND, item, notification, signed
from tests.gateway.sources.examples import charge, event
from tests.gateway.sources.examples import signed as stripe_headers

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]

SECRET = "whsec_example"
CERTIFICATE_URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"


def settings(data: Path) -> NodeSettings:
    """A tenant with a source of each kind of answer."""
    sources = {
        "stripe": SourceSettings(secrets=(SECRET,)),
        "adyen": SourceSettings(secrets=(KEY,)),
        "shop": SourceSettings(kind="adyen-platform", secrets=(platform.KEY,)),
        "paypal": SourceSettings(options={"webhook_id": "WH-1"}),
    }
    return NodeSettings(data=str(data), nats=NatsSettings(port=0), tenants={"acme": TenantSettings(sources=sources)})


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node as far as taking webhooks needs it: its data and its bus."""
    started = Node(settings(tmp_path / "var"))
    started._prepare_data()
    await started._start_bus()
    started._stops.append(started.certificates.close)
    yield started
    await started.stop()


@asynccontextmanager
async def gateway(node: Node) -> AsyncIterator[httpx.AsyncClient]:
    routes = Litestar(
        route_handlers=webhooks.HANDLERS,
        state=State({"node": node}),
        request_class=JsonRequest,
        exception_handlers={ProblemError: on_problem},
    )
    transport = httpx.ASGITransport(app=AccessLog(routes))  # type: ignore[arg-type] # two names for one protocol
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def post(node: Node, source: str, raw: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    async with gateway(node) as client:
        return await client.post(f"/v1/acme/webhooks/{source}", content=raw, headers=headers or {})


async def stored(node: Node) -> list[bytes]:
    """The bodies that lie in the stream."""
    stream = node.bus.jetstream()
    count = (await stream.stream_info("INGEST")).state.messages
    return [(await stream.get_msg("INGEST", seq=number)).data or b"" for number in range(1, count + 1)]


async def test_a_provider_without_wishes_hears_where_its_message_lies(node: Node) -> None:
    raw = event("charge.succeeded", charge())
    response = await post(node, "stripe", raw, stripe_headers(raw, SECRET, datetime.now(UTC)))
    assert (response.status_code, response.json()) == (202, {"id": "INGEST:1"})
    assert response.headers["content-type"] == "application/json"
    assert await stored(node) == [raw]


async def test_what_a_deaf_stream_does_not_take_is_accepted_and_gets_there_when_it_hears_again(node: Node) -> None:
    raw = event("charge.succeeded", charge())
    headers = stripe_headers(raw, SECRET, datetime.now(UTC))
    assert node.nats_server is not None
    os.kill(node.nats_server.pid, signal.SIGSTOP)
    try:
        response = await post(node, "stripe", raw, headers)
    finally:
        os.kill(node.nats_server.pid, signal.SIGCONT)
    assert (response.status_code, response.json()) == (202, {"id": "SPOOL:1"})
    async with asyncio.timeout(20):
        while node.spool.messages:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
    assert set(await stored(node)) == {raw}


async def test_a_paused_source_is_asked_to_send_later_and_the_others_are_taken(node: Node) -> None:
    node.pauses.pause("acme", "stripe", 90)
    raw = event("charge.succeeded", charge())
    held = await post(node, "stripe", raw, stripe_headers(raw, SECRET, datetime.now(UTC)))
    taken = await post(node, "adyen", notification(signed(item("AUTHORISATION"))))

    assert (held.status_code, held.json()["code"]) == (503, "source.paused")
    assert 0 < int(held.headers["retry-after"]) <= 90
    assert taken.status_code == 200
    assert len(await stored(node)) == 1


async def test_adyen_hears_that_its_notification_is_accepted(node: Node) -> None:
    raw = notification(signed(item("AUTHORISATION")), signed(item("REFUND", REFUND, PAYMENT)))
    response = await post(node, "adyen", raw)
    assert (response.status_code, response.text) == (200, "[accepted]")
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["x-correlation-id"]
    assert await stored(node) == [raw]


async def test_a_source_of_another_name_is_answered_as_its_kind_is(node: Node) -> None:
    raw = platform.webhook(platform.transfer())
    response = await post(node, "shop", raw, platform.signed(raw))
    assert (response.status_code, response.text) == (200, "[accepted]")


async def test_one_forged_item_refuses_the_whole_notification(node: Node) -> None:
    raw = notification(signed(item("AUTHORISATION")), item("REFUND", REFUND, PAYMENT))
    response = await post(node, "adyen", raw)
    assert (response.status_code, response.json()["code"]) == (401, "signature.missing")
    assert await stored(node) == []


async def test_a_signed_item_that_cannot_be_believed_is_taken_because_sending_it_again_will_not_mend_it(
    node: Node,
) -> None:
    raw = notification(signed(item("REFUND", REFUND, PAYMENT, eventDate=7)))
    assert (await post(node, "adyen", raw)).status_code == 200
    assert await stored(node) == [raw]


async def test_what_is_not_durable_in_the_providers_time_is_to_be_sent_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = msgspec.structs.replace(adyen.acknowledgement, within_s=0.2)
    monkeypatch.setattr(adyen, "acknowledgement", hurried)
    assert node.nats_server is not None
    os.kill(node.nats_server.pid, signal.SIGSTOP)
    try:
        response = await post(node, "adyen", notification(signed(item("AUTHORISATION"))))
    finally:
        os.kill(node.nats_server.pid, signal.SIGCONT)
    assert (response.status_code, response.json()["code"]) == (503, "webhook.not_durable")
    assert "0.2 s" in response.json()["detail"]
    assert response.headers["retry-after"] == "1"


PAYPAL = {
    "paypal-transmission-id": "t-1",
    "paypal-transmission-time": "2026-03-01T12:00:00Z",
    "paypal-transmission-sig": "AAAA",
    "paypal-auth-algo": paypal.ALGORITHM,
    "paypal-cert-url": CERTIFICATE_URL,
}


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [
        (httpx.Response(503), 503, "webhook.certificate_away"),
        (httpx.ConnectError("no way"), 503, "webhook.certificate_away"),
        (httpx.Response(404), 401, "signature.certificate_missing"),
        (httpx.Response(200, content=b"-----BEGIN CERTIFICATE-----\n"), 401, "signature.certificate_untrusted"),
    ],
)
async def test_a_certificate_is_looked_at_before_the_signature(
    node: Node, found: httpx.Response | Exception, status: int, code: str
) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if isinstance(found, Exception):
            raise found
        return found

    await node.certificates.close()
    node.certificates = Certificates(transport=httpx.MockTransport(answer))
    response = await post(node, "paypal", b"{}", PAYPAL)
    await node.certificates.close()
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert asked == [CERTIFICATE_URL]


async def test_the_description_names_every_success(node: Node) -> None:
    described = Litestar(route_handlers=webhooks.HANDLERS).openapi_schema.to_schema()
    responses = described["paths"]["/v1/{tenant}/webhooks/{source}"]["post"]["responses"]
    for name, source in SOURCES.items():
        wish = source.acknowledgement
        response = responses[str(wish.status)]
        assert (wish.media_type in response.get("content", {})) == (wish.status != 204), name
        assert wish == Acknowledgement() or wish.status == 202 or name in response["description"]
    assert responses["200"]["content"]["text/plain"]["schema"] == {"type": "string"}
    assert {"400", "401", "404", "413", "503"} <= responses.keys()


@pytest.mark.parametrize(
    ("wish", "status", "body"),
    [
        (Acknowledgement(), 202, b'{"id":"INGEST:7"}'),
        (Acknowledgement(status=200), 200, b'{"id":"INGEST:7"}'),
        (Acknowledgement(status=200, body='{"return_code":1}'), 200, b'{"return_code":1}'),
        (Acknowledgement(status=200, body="[accepted]", media_type="text/plain"), 200, b"[accepted]"),
        (Acknowledgement(status=204), 204, None),
    ],
)
def test_a_wish_is_granted_word_for_word(wish: Acknowledgement, status: int, body: bytes | None) -> None:
    response = webhooks._acknowledged(wish, "INGEST:7")
    assert (response.status_code, response.content) == (status, body)
    assert body is None or response.media_type == wish.media_type
