"""`POST /v1/{tenant}/webhooks/{source}`: verified, published durably, answered. Everything else happens later."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Response, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, RequestBody, Schema
from litestar.status_codes import HTTP_204_NO_CONTENT

from domain.errors import RetryableError, TerminalError
from domain.tenant_settings import SourceSettings
from gateway.bus import Outgoing, ingest_subject
from gateway.http.context import AnyRequest, node_of, trace_of
from gateway.http.limits import check_rate, take_rate
from gateway.http.problems import ProblemError, problems
from gateway.intake import CORRELATION_HEADER, PROVIDER_HEADER_PREFIX, TRACEPARENT_HEADER, provider_headers
from gateway.node import Node
from gateway.sources import SOURCES
from gateway.sources.port import Acknowledgement, SourceModule, Trust, Unreadable

KEPT_HEADER_BYTES_MAX = 4_096
_NOT_KEPT = frozenset({"authorization", "cookie", "host", "connection", "content-length", "traceparent"})


class WebhookAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook is durable; `id` says where: `INGEST:<sequence>` in the stream, or `SPOOL:<number>` before it."""

    id: str


@dataclass
class _Webhook(Operation):
    """The description of a body that the framework does not read for us, and of what each provider wants to hear."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(
            description="what the provider sent, byte for byte: its signature is over the bytes",
            content={"application/json": OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT))},
            required=True,
        )
        self.responses = {**(self.responses or {}), **_described(SOURCES)}


def _described(sources: Mapping[str, SourceModule]) -> dict[str, OpenAPIResponse]:
    """The success of every source that wants another than 202, by its status."""
    wishes = {name: source.acknowledgement for name, source in sources.items()}
    found: dict[str, OpenAPIResponse] = {}
    for status in sorted({wish.status for wish in wishes.values()} - {Acknowledgement().status}):
        named = {name: wish for name, wish in wishes.items() if wish.status == status}
        contents = {
            wish.media_type: OpenAPIMediaType(schema=_schema_of(wish)) for wish in named.values() if _has_body(wish)
        }
        found[str(status)] = OpenAPIResponse(
            description=f"durable, as {', '.join(sorted(named))} wants to hear it", content=contents or None
        )
    return found


def _schema_of(wish: Acknowledgement) -> Schema:
    return Schema(type=OpenAPIType.STRING if wish.media_type.startswith("text/") else OpenAPIType.OBJECT)


def _has_body(wish: Acknowledgement) -> bool:
    return wish.status != HTTP_204_NO_CONTENT


@post(
    "/v1/{tenant:str}/webhooks/{source:str}",
    status_code=202,
    summary="Take a provider's webhook",
    description="The raw body as the provider signed it. Success once it is durable; everything else happens later.",
    responses=problems(
        s400="the body cannot be read; it is kept in quarantine",
        s401="the signature is missing, wrong or too old",
        s404="no such tenant or source",
        s413="the body is too large",
        s429="more than the tenant's rate; nothing was taken",
        s503="not durable now, or the source is paused; send it again",
    ),
    tags=["webhooks"],
    opt={"is_public": True},
    operation_class=_Webhook,
    request_max_body_size=None,  # The node's own setting bounds it.
)
async def take_webhook(tenant: str, source: str, request: AnyRequest) -> Response[WebhookAccepted]:
    node = node_of(request)
    module = node.sources.of(tenant, source)
    of_tenant = node.settings.tenants.get(tenant)
    if of_tenant is None or isinstance(module, Unreadable) or source not in of_tenant.sources:
        raise ProblemError(404, "source.unknown", "there is no such tenant or source")
    check_rate(node, tenant, source)
    if (left_s := node.pauses.left_s(tenant, source)) > 0:
        detail = "this source is paused, because what it sends cannot be taken in; send it again later"
        raise ProblemError(503, "source.paused", detail, {"Retry-After": str(math.ceil(left_s))})
    wish = module.acknowledgement
    try:
        async with asyncio.timeout(wish.within_s):
            name = await _take(node, module, tenant, source, request)
    except TimeoutError as error:
        detail = f"it was not durable within {wish.within_s:g} s; send it again"
        raise ProblemError(503, "webhook.not_durable", detail, {"Retry-After": "1"}) from error
    request.scope["state"]["log"] = {"tenant": tenant, "source": source, "id": name}
    return _acknowledged(wish, name)


def _acknowledged(wish: Acknowledgement, name: str) -> Response[Any]:
    """The success that the provider wants to hear; without a wish of its own, where the message lies."""
    if not _has_body(wish):
        return Response(None, status_code=wish.status)
    body = wish.body.encode() or msgspec.json.encode(WebhookAccepted(id=name))
    return Response(body, status_code=wish.status, media_type=wish.media_type)


async def _take(node: Node, module: SourceModule, tenant: str, source: str, request: AnyRequest) -> str:
    """Verify and make durable; returns where the message lies. Raises `ProblemError`."""
    raw = await _body(request, node.settings.http.body_bytes_max)
    headers = {name.lower(): value for name, value in request.headers.items()}
    await _verify(node, module, node.settings.tenants[tenant].sources[source], headers, raw)
    take_rate(node, tenant, source)
    trace = trace_of(request)
    kept = {f"{PROVIDER_HEADER_PREFIX}{name}": value for name, value in headers.items() if name not in _NOT_KEPT}
    if sum(map(len, kept)) + sum(map(len, kept.values())) > KEPT_HEADER_BYTES_MAX:
        kept = {}
    await _refuse_unreadable(node, module, tenant, source, raw, kept)
    kept[CORRELATION_HEADER] = trace.correlation_id
    if trace.traceparent:
        kept[TRACEPARENT_HEADER] = trace.traceparent
    try:
        return await node.spool.accept(Outgoing(ingest_subject(tenant, source), raw, kept))
    except RetryableError as error:
        raise ProblemError(
            503, "webhook.not_durable", f"{error.reason}; send it again", {"Retry-After": "1"}
        ) from error
    except TerminalError as error:
        raise ProblemError(413, "body.too_large", error.reason) from error


async def _verify(
    node: Node, module: SourceModule, settings: SourceSettings, headers: Mapping[str, str], raw: bytes
) -> None:
    """Raises `ProblemError` 401 for what the provider did not sign, 503 if its certificate cannot be had now."""
    try:
        certificates = await node.certificates.of(module, headers)
    except RetryableError as error:
        detail = f"{error.reason}; send it again"
        raise ProblemError(503, "webhook.certificate_away", detail, {"Retry-After": "1"}) from error
    trust = Trust(
        secrets=settings.secrets,
        tolerance_s=settings.tolerance_s,
        options=settings.options,
        certificates=certificates,
    )
    reason = module.verify(headers, raw, trust=trust, now=datetime.now(UTC))
    if reason is not None:
        raise ProblemError(401, reason, _ADVICE.get(reason, "the signature does not fit this body and our secret"))


_ADVICE = {
    "signature.missing": "the request carries no signature header",
    "signature.malformed": "the signature header cannot be read",
    "signature.no_secret": "no secret that can be one is configured for this source",
    "signature.wrong_credentials": "the request has not the user and password that the source's basic_auth asks for",
    "signature.no_webhook_id": "set the option webhook_id of this source; the provider signs it with every message",
    "signature.certificate_missing": "there is no certificate where the request says that it is",
    "signature.certificate_untrusted": "the certificate that the request points to is not the provider's, or not valid",
    "signature.too_old": "the signature is older than the tolerance; check the clock, or send it signed anew",
}


async def _body(request: AnyRequest, bytes_max: int) -> bytes:
    """The raw body. Raises `ProblemError` 413 as soon as it is known to be too large."""
    too_large = ProblemError(413, "body.too_large", f"a webhook's body may have {bytes_max} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise too_large
        parts.append(part)
    return b"".join(parts)


async def _refuse_unreadable(
    node: Node, module: SourceModule, tenant: str, source: str, raw: bytes, kept: dict[str, str]
) -> None:
    """A signed body that is no event at all is kept and refused: sending it again will not mend it."""
    reading = module.read(raw, headers=provider_headers(kept), ref="")
    if isinstance(reading, Unreadable) and reading.code.startswith("body."):
        node.tally.count(tenant, source, is_quarantined=True)
        name = await asyncio.to_thread(
            node.quarantine.put,
            tenant,
            source,
            raw=raw,
            headers=kept,
            code=reading.code,
            detail=reading.detail,
            at=datetime.now(UTC),
        )
        raise ProblemError(400, reading.code, f"{reading.detail}; it is kept in quarantine as {name}")


HANDLERS = [take_webhook]
