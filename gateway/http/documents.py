"""Knowledge documents: publish, read, take back."""

from typing import Annotated, Any

import msgspec
from litestar import delete, get, put
from litestar.params import Parameter
from msgspec import Meta

from actors.index import DOCUMENTS
from domain.codec import Submission
from domain.document import TEXT_CHARS_MAX, DocumentCommand, PutDocument, WithdrawDocument
from domain.ids import stream_id
from domain.message import Accepted, Failed, Rejected, Unchanged
from gateway.http.context import OBJECT_ID_SCHEMA, AnyRequest, MinPosition, checked_id, node_of, trace_of
from gateway.http.payments import look_up
from gateway.http.problems import ProblemError, problems
from gateway.node import Node
from projections.retrieval import DocumentFound, GetDocument

DocumentId = Annotated[str, Parameter(schema_extra=OBJECT_ID_SCHEMA)]

_PROBLEMS = problems(
    s400="the document does not fit",
    s401="no credential",
    s404="no such document, or not of this credential's tenant",
    s413="the body is too large",
    s503="cannot be recorded now; send it again",
)


class DocumentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document's content: plain text or Markdown."""

    title: Annotated[str, Meta(min_length=1, max_length=500)]
    text: Annotated[
        str, Meta(min_length=1, max_length=TEXT_CHARS_MAX, extra_json_schema={"pattern": r"[^\s\x00-\x1f\x7f-\x9f]"})
    ]
    metadata: dict[str, str] = {}


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
    metadata: dict[str, str]
    position: int


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
    node = node_of(request)
    command = PutDocument(
        document_id=checked_id(document_id, "document_id"), title=data.title, text=data.text, metadata=data.metadata
    )
    return await _decide(node, tenant, document_id, command, request)


@get("/v1/{tenant:str}/documents/{document_id:str}", summary="A document", responses=_PROBLEMS, tags=["documents"])
async def get_document(
    tenant: str, document_id: DocumentId, request: AnyRequest, min_position: MinPosition = 0
) -> DocumentJson:
    node = node_of(request)
    query = GetDocument(tenant=tenant, document_id=checked_id(document_id, "document_id"), min_position=min_position)
    found = await look_up(node, query, DocumentFound, projection=DOCUMENTS)
    if found.document is None:
        raise ProblemError(404, "document.unknown", "there is no such document, or it was taken back")
    return msgspec.convert(found.document, DocumentJson, from_attributes=True)


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


HANDLERS: list[Any] = [put_document, get_document, delete_document]
