"""Conversations for support agents: the latest, one with its messages, and which customer writes in it."""

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import delete, get, put
from litestar.params import Parameter
from msgspec import Meta

from domain.codec import Submission
from domain.conversation import Author, Conversation, IdentifyCustomer, Message
from domain.ids import stream_id
from domain.message import Accepted, Failed, Rejected, Unchanged
from gateway.http.context import OBJECT_ID_SCHEMA, AnyRequest, checked_id, node_of, trace_of
from gateway.http.problems import ProblemError, problems
from gateway.http.views import Timestamp, timestamp
from projections.conversations import ConversationFound

PAGE_MAX = 200
MESSAGES_MAX = 1_000
_CURSOR_RE = re.compile(r"[0-9]{1,18}")

ConversationId = Annotated[
    str, Parameter(description="source and user, e.g. `zalo:2512523625412515`", schema_extra=OBJECT_ID_SCHEMA)
]
Cursor = Annotated[
    str | None,
    Parameter(query="cursor", description="of the page before", schema_extra={"pattern": f"^{_CURSOR_RE.pattern}$"}),
]

_PROBLEMS = problems(
    s400="a parameter does not fit",
    s401="no credential",
    s404="no such conversation, or not of this credential's tenant",
    s413="the body is too large",
    s503="cannot be read or recorded now; try again",
)


class ConversationJson(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation without its messages.

    `customer_id` is empty while nobody has said who writes. `position` is where in the log it was last told of.
    """

    conversation_id: str
    customer_id: str
    is_following: bool | None
    messages: int
    answers: int
    last_message_at: Timestamp | None
    erasure_requested_at: Timestamp | None
    position: int


class ConversationsJson(msgspec.Struct, frozen=True, kw_only=True):
    """A page of conversations, the one last told of first; `cursor` continues, `null` at the end."""

    conversations: list[ConversationJson]
    cursor: str | None


class GivenAnswerJson(msgspec.Struct, frozen=True, kw_only=True):
    """What the assistant answers; its evidence is in the ledger under `answer_id`."""

    answer_id: str
    text: str
    abstained: bool


class MessageJson(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is kept: scrubbed, and of what was attached only the types."""

    message_id: str
    author: Author
    kind: str
    text: str
    attachments: list[str]
    reply_to: str
    occurred_at: Timestamp
    delivered_at: Timestamp | None
    seen_at: Timestamp | None
    answer: GivenAnswerJson | None


class TranscriptJson(ConversationJson, frozen=True, kw_only=True):
    """A conversation with its latest messages, in the provider's order."""

    transcript: list[MessageJson]


class CustomerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The customer of the payment provider's who writes in a conversation."""

    customer_id: Annotated[str, Meta(max_length=200, extra_json_schema=OBJECT_ID_SCHEMA)]


class IdentifiedJson(msgspec.Struct, frozen=True, kw_only=True):
    """Whose payments answers in the conversation may speak of from now on; empty for nobody's."""

    conversation_id: str
    customer_id: str


@get(
    "/v1/{tenant:str}/conversations",
    summary="Conversations, the latest first",
    responses=_PROBLEMS,
    tags=["conversations"],
)
async def list_conversations(
    tenant: str,
    request: AnyRequest,
    *,
    is_erasure_requested: Annotated[
        bool, Parameter(query="erasure_requested", description="only those whose customer asked for erasure")
    ] = False,
    limit: Annotated[int, Parameter(query="limit", ge=1, le=PAGE_MAX)] = 50,
    cursor: Cursor = None,
) -> ConversationsJson:
    if cursor and _CURSOR_RE.fullmatch(cursor) is None:
        raise ProblemError(400, "cursor.invalid", "cursor: pass on what the page before gave")
    found = await asyncio.to_thread(
        node_of(request).conversations.latest,
        tenant,
        limit=limit,
        before=int(cursor) if cursor else None,
        is_erasure_requested=is_erasure_requested,
    )
    return ConversationsJson(
        conversations=[ConversationJson(**_summary(each)) for each in found],
        cursor=str(found[-1].position) if len(found) == limit else None,
    )


@get(
    "/v1/{tenant:str}/conversations/{conversation_id:str}",
    summary="A conversation with its messages",
    responses=_PROBLEMS,
    tags=["conversations"],
)
async def get_conversation(
    tenant: str,
    conversation_id: ConversationId,
    request: AnyRequest,
    limit: Annotated[int, Parameter(query="limit", ge=1, le=MESSAGES_MAX)] = 200,
) -> TranscriptJson:
    checked_id(conversation_id, "conversation_id")
    found = await asyncio.to_thread(node_of(request).conversations.one, tenant, conversation_id)
    if found is None:
        raise ProblemError(404, "conversation.unknown", f"nothing was ever told of a conversation {conversation_id}")
    state = found.conversation
    latest = state.in_order()[-limit:]
    return TranscriptJson(**_summary(found), transcript=[_message(state, each) for each in latest])


@put(
    "/v1/{tenant:str}/conversations/{conversation_id:str}/customer",
    summary="Say which customer writes",
    description="From then on answers in the conversation speak of this customer's payments, and of no other's.",
    responses=_PROBLEMS,
    tags=["conversations"],
)
async def put_customer(
    tenant: str, conversation_id: ConversationId, data: CustomerBody, request: AnyRequest
) -> IdentifiedJson:
    return await _identify(tenant, conversation_id, checked_id(data.customer_id, "customer_id"), request)


@delete(
    "/v1/{tenant:str}/conversations/{conversation_id:str}/customer",
    status_code=200,
    summary="Take back which customer writes",
    responses=_PROBLEMS,
    tags=["conversations"],
)
async def delete_customer(tenant: str, conversation_id: ConversationId, request: AnyRequest) -> IdentifiedJson:
    return await _identify(tenant, conversation_id, "", request)


async def _identify(tenant: str, conversation_id: str, customer_id: str, request: AnyRequest) -> IdentifiedJson:
    trace = trace_of(request)
    submission = Submission(
        stream=stream_id("conversation", tenant, checked_id(conversation_id, "conversation_id")),
        command=IdentifyCustomer(customer_id=customer_id),
        command_id=trace.correlation_id,
        trace=trace,
    )
    [reply] = await node_of(request).payments.submit([submission])
    match reply:
        case Accepted() | Unchanged():
            return IdentifiedJson(conversation_id=conversation_id, customer_id=customer_id)
        case Rejected(code=code, detail=detail):
            raise ProblemError(400, code, detail)
        case Failed(reason=reason):
            raise ProblemError(503, "conversation.not_durable", f"{reason}; send it again", {"Retry-After": "1"})


def _summary(found: ConversationFound) -> dict[str, Any]:
    """The fields of `ConversationJson`."""
    state = found.conversation
    return {
        "conversation_id": found.conversation_id,
        "customer_id": state.customer_id,
        "is_following": state.is_following,
        "messages": len(state.messages),
        "answers": len(state.answers),
        "last_message_at": _time(max((each.occurred_at for each in state.messages.values()), default=None)),
        "erasure_requested_at": _time(state.erasure_requested_at),
        "position": found.position,
    }


def _message(state: Conversation, message: Message) -> MessageJson:
    given = state.answers.get(message.message_id)
    answer = GivenAnswerJson(answer_id=given.answer_id, text=given.text, abstained=given.abstained) if given else None
    return MessageJson(
        message_id=message.message_id,
        author=message.author,
        kind=message.kind,
        text=message.text,
        attachments=list(message.attachments),
        reply_to=message.reply_to,
        occurred_at=timestamp(message.occurred_at),
        delivered_at=_time(state.delivered.get(message.message_id)),
        seen_at=_time(state.seen.get(message.message_id)),
        answer=answer,
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)


HANDLERS: list[Any] = [list_conversations, get_conversation, put_customer, delete_customer]
