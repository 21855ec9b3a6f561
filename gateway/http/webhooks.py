"""`POST /v1/{tenant}/webhooks/{source}`: verified, published durably, answered. Everything else happens later."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from litestar import post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from domain.errors import RetryableError, TerminalError
from gateway.bus import Outgoing, ingest_subject
from gateway.http.context import AnyRequest, node_of, trace_of
from gateway.http.problems import ProblemError, problems
from gateway.intake import CORRELATION_HEADER, PROVIDER_HEADER_PREFIX, TRACEPARENT_HEADER, provider_headers
from gateway.node import Node
from gateway.sources.port import SourceModule, Trust, Unreadable

KEPT_HEADER_BYTES_MAX = 4_096
_NOT_KEPT = frozenset({"authorization", "cookie", "host", "connection", "content-length", "traceparent"})


class WebhookAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook is durable; `id` is where it lies in the stream."""

    id: str


@dataclass
class _RawBody(Operation):
    """The description of a body that the framework does not read for us."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(
            description="what the provider sent, byte for byte: its signature is over the bytes",
            content={"application/json": OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT))},
            required=True,
        )


@post(
    "/v1/{tenant:str}/webhooks/{source:str}",
    status_code=202,
    summary="Take a provider's webhook",
    description="The raw body as the provider signed it. 202 once it is durable; everything else happens later.",
    responses=problems(
        s400="the body cannot be read; it is kept in quarantine",
        s401="the signature is missing, wrong or too old",
        s404="no such tenant or source",
        s413="the body is too large",
        s503="not durable now; send it again",
    ),
    tags=["webhooks"],
    opt={"is_public": True},
    operation_class=_RawBody,
    request_max_body_size=None,  # The node's own setting bounds it.
)
async def take_webhook(tenant: str, source: str, request: AnyRequest) -> WebhookAccepted:
    node = node_of(request)
    of_tenant = node.settings.tenants.get(tenant)
    module = node.sources.of(tenant, source)
    if of_tenant is None or isinstance(module, Unreadable) or source not in of_tenant.sources:
        raise ProblemError(404, "source.unknown", "there is no such tenant or source")
    raw = await _body(request, node.settings.http.body_bytes_max)
    settings = of_tenant.sources[source]
    headers = {name.lower(): value for name, value in request.headers.items()}
    trust = Trust(secrets=settings.secrets, tolerance_s=settings.tolerance_s, options=settings.options)
    reason = module.verify(headers, raw, trust=trust, now=datetime.now(UTC))
    if reason is not None:
        raise ProblemError(401, reason, _ADVICE.get(reason, "the signature does not fit this body and our secret"))
    trace = trace_of(request)
    kept = {f"{PROVIDER_HEADER_PREFIX}{name}": value for name, value in headers.items() if name not in _NOT_KEPT}
    if sum(map(len, kept)) + sum(map(len, kept.values())) > KEPT_HEADER_BYTES_MAX:
        kept = {}
    await _refuse_unreadable(node, module, tenant, source, raw, kept)
    kept[CORRELATION_HEADER] = trace.correlation_id
    if trace.traceparent:
        kept[TRACEPARENT_HEADER] = trace.traceparent
    try:
        sequence = await node.publisher.publish(Outgoing(ingest_subject(tenant, source), raw, kept))
    except RetryableError as error:
        raise ProblemError(
            503, "webhook.not_durable", f"{error.reason}; send it again", {"Retry-After": "1"}
        ) from error
    except TerminalError as error:
        raise ProblemError(413, "body.too_large", error.reason) from error
    request.scope["state"]["log"] = {"tenant": tenant, "source": source, "id": f"INGEST:{sequence}"}
    return WebhookAccepted(id=f"INGEST:{sequence}")


_ADVICE = {
    "signature.missing": "the request carries no signature header",
    "signature.malformed": "the signature header cannot be read",
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
