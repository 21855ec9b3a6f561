"""`POST /v1/{tenant}/search`: the passages that speak to a question, best first."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import post
from msgspec import Meta

from domain.errors import RetryableError
from gateway.http.context import POSITION_MAX, AnyRequest, checked_known_at, checked_time, node_of
from gateway.http.payments import index_away
from gateway.http.problems import problems
from projections.retrieval import Gather

TOP_K_MAX = 100
FILTERS_MAX = 20


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked for. `filters` names metadata that a document must have, all of them."""

    question: Annotated[
        str, Meta(min_length=1, max_length=4_000, extra_json_schema={"pattern": r"[^\s\x00-\x1f\x7f-\x9f]"})
    ]
    top_k: Annotated[int, Meta(ge=1, le=TOP_K_MAX)] = 5
    filters: Annotated[dict[str, str], Meta(max_length=FILTERS_MAX)] = {}
    as_of: datetime | None = None
    known_at: Annotated[int, Meta(ge=0, le=POSITION_MAX)] | None = None
    min_position: Annotated[int, Meta(ge=0, le=POSITION_MAX)] = 0


class PassageJson(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of the version of its document that is (or was) current.

    `heading` is the document's title and the headings above the passage; `score` the cosine of passage and question.
    """

    document_id: str
    version: int
    title: str
    heading: str
    text: str
    score: float


class FoundJson(msgspec.Struct, frozen=True, kw_only=True):
    """Passages by meaning and words together, and the log position and generation that they are from."""

    passages: list[PassageJson]
    position: int
    generation: int


@post(
    "/v1/{tenant:str}/search",
    status_code=200,
    summary="Search the documents",
    responses=problems(
        s400="the question does not fit",
        s401="no credential",
        s404="not of this credential's tenant",
        s409="`known_at` is beyond the end of the log",
        s413="the body is too large",
        s503="the position is not reached yet, or the index is away",
    ),
    tags=["documents"],
)
async def search(tenant: str, data: SearchRequest, request: AnyRequest) -> FoundJson:
    node = node_of(request)
    query = Gather(
        tenant=tenant,
        question=data.question,
        top_k=data.top_k,
        filters=data.filters,
        as_of=checked_time(data.as_of),
        known_at=checked_known_at(node, data.known_at),
        min_position=data.min_position,
    )
    try:
        found = await node.asker.gather(tenant, query)
    except RetryableError as error:
        raise index_away(error) from error
    position = found.knowledge_position if data.known_at is None else min(found.knowledge_position, data.known_at)
    return FoundJson(
        passages=[msgspec.convert(each, PassageJson, from_attributes=True) for each in found.passages],
        position=position,
        generation=found.generation,
    )


HANDLERS: list[Any] = [search]
