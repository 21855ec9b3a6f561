"""Knowledge documents: publish, upload, read, take back."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from litestar import delete, get, put
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import Parameter
from msgspec import Meta

from actors.index import DOCUMENTS
from domain.codec import Submission
from domain.document import TEXT_CHARS_MAX, DocumentCommand, PutDocument, TextFormat, WithdrawDocument
from domain.errors import Rejection
from domain.ids import stream_id
from domain.message import Accepted, Failed, Rejected, Unchanged
from gateway.formats import MEDIA_TYPES, Content, read_content
from gateway.http.context import OBJECT_ID_SCHEMA, AnyRequest, MinPosition, checked_id, node_of, trace_of
from gateway.http.payments import look_up
from gateway.http.problems import ProblemError, problems
from gateway.node import Node
from projections.retrieval import DocumentFound, GetDocument

UPLOAD_BYTES_MAX = 16 * 1024**2
TITLE_CHARS_MAX = 500

DocumentId = Annotated[str, Parameter(schema_extra=OBJECT_ID_SCHEMA)]
Title = Annotated[
    str, Parameter(query="title", max_length=TITLE_CHARS_MAX, description="instead of the document's own title")
]
Metadata = Annotated[list[str] | None, Parameter(query="metadata", description="as often as needed: `kind=policy`")]

_PROBLEMS = problems(
    s400="the document does not fit",
    s401="no credential",
    s404="no such document, or not of this credential's tenant",
    s413="the body is too large",
    s503="cannot be recorded now; send it again",
)


class DocumentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document's content. HTML is published as the Markdown that it is turned into."""

    title: Annotated[str, Meta(min_length=1, max_length=TITLE_CHARS_MAX)]
    text: Annotated[
        str, Meta(min_length=1, max_length=TEXT_CHARS_MAX, extra_json_schema={"pattern": r"[^\s\x00-\x1f\x7f-\x9f]"})
    ]
    metadata: dict[str, str] = {}
    format: Literal["markdown", "plain", "html"] = "markdown"


class DocumentVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The version that is current now, and the log position from which on answers know it."""

    version: int
    position: int


class DocumentJson(msgspec.Struct, frozen=True, kw_only=True):
    """The current version of a document."""

    document_id: str
    version: int
    title: str
    text: str
    format: Annotated[TextFormat, msgspec.Meta(description="how `text` is written")]
    metadata: dict[str, str]
    position: int


@dataclass
class _Upload(Operation):
    """The description of a body that the framework does not read for us."""

    def __post_init__(self) -> None:
        text = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, min_length=1))
        self.request_body = RequestBody(
            description="the file as it is; text in UTF-8", content=dict.fromkeys(MEDIA_TYPES, text), required=True
        )


async def _decide(
    node: Node, tenant: str, document_id: str, command: DocumentCommand, request: AnyRequest
) -> DocumentVersion:
    trace = trace_of(request)
    submission = Submission(
        stream=stream_id("document", tenant, document_id),
        command=command,
        command_id=trace.correlation_id,
        trace=trace,
    )
    [reply] = await node.knowledge.submit([node.cleanser(submission)])
    match reply:
        case Accepted(version=version, position=position):
            return DocumentVersion(version=version, position=position)
        case Unchanged(version=version):
            return DocumentVersion(version=version, position=node.feed.head())
        case Rejected(code=code, detail=detail):
            raise ProblemError(404 if code == "document.unknown" else 400, code, detail)
        case Failed(reason=reason):
            raise ProblemError(503, "document.not_durable", f"{reason}; send it again", {"Retry-After": "1"})


@put(
    "/v1/{tenant:str}/documents/{document_id:str}",
    summary="Publish a document",
    responses=_PROBLEMS,
    tags=["documents"],
)
async def put_document(
    tenant: str, document_id: DocumentId, data: DocumentBody, request: AnyRequest
) -> DocumentVersion:
    content = Content(title="", text=data.text, text_format="plain" if data.format == "plain" else "markdown")
    if data.format == "html":
        content = await _content(data.text.encode(), "text/html")
    command = PutDocument(
        document_id=checked_id(document_id, "document_id"),
        title=data.title,
        text=content.text,
        metadata=data.metadata,
        text_format=content.text_format,
    )
    return await _decide(node_of(request), tenant, document_id, command, request)


@put(
    "/v1/{tenant:str}/documents/{document_id:str}/content",
    summary="Publish a file: plain text, Markdown, HTML or PDF, by its content type",
    responses={**_PROBLEMS, **problems(s415="no document has this content type")},
    operation_class=_Upload,
    request_max_body_size=UPLOAD_BYTES_MAX,
    tags=["documents"],
)
async def put_content(
    tenant: str, document_id: DocumentId, request: AnyRequest, title: Title = "", metadata: Metadata = None
) -> DocumentVersion:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise ProblemError(415, "media_type.unsupported", f"send one of {', '.join(MEDIA_TYPES)}")
    content = await _content(await request.body(), media_type)
    command = PutDocument(
        document_id=checked_id(document_id, "document_id"),
        title=title.strip() or content.title or document_id,
        text=content.text,
        metadata=_metadata(metadata or []),
        text_format=content.text_format,
    )
    return await _decide(node_of(request), tenant, document_id, command, request)


async def _content(raw: bytes, media_type: str) -> Content:
    """What is in a file, read beside the event loop. Raises `ProblemError` 400."""
    try:
        return await asyncio.to_thread(read_content, raw, media_type)
    except Rejection as error:
        raise ProblemError(400, error.code, error.detail) from error


def _metadata(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise ProblemError(400, "metadata.invalid", "metadata: give each as name=value")
    return {name: value for name, _, value in pairs}


@get("/v1/{tenant:str}/documents/{document_id:str}", summary="A document", responses=_PROBLEMS, tags=["documents"])
async def get_document(
    tenant: str, document_id: DocumentId, request: AnyRequest, min_position: MinPosition = 0
) -> DocumentJson:
    node = node_of(request)
    query = GetDocument(tenant=tenant, document_id=checked_id(document_id, "document_id"), min_position=min_position)
    found = await look_up(node, query, DocumentFound, projection=DOCUMENTS)
    if found.document is None:
        raise ProblemError(404, "document.unknown", "there is no such document, or it was taken back")
    view = found.document
    return DocumentJson(
        document_id=view.document_id,
        version=view.version,
        title=view.title,
        text=view.text,
        format=view.text_format,
        metadata=view.metadata,
        position=view.position,
    )


@delete(
    "/v1/{tenant:str}/documents/{document_id:str}",
    status_code=200,
    summary="Take a document back",
    responses=_PROBLEMS,
    tags=["documents"],
)
async def delete_document(tenant: str, document_id: DocumentId, request: AnyRequest) -> DocumentVersion:
    node = node_of(request)
    return await _decide(node, tenant, checked_id(document_id, "document_id"), WithdrawDocument(), request)


HANDLERS: list[Any] = [put_document, put_content, get_document, delete_document]
