"""`POST /v1/{tenant}/ask`: a question in, a cited answer out."""

from typing import Any

from litestar import post
from msgspec.structs import replace

from domain.errors import RetryableError
from gateway.asking import AnswerJson, AskRequest
from gateway.http.context import POSITION_MAX, AnyRequest, checked_known_at, checked_time, node_of, trace_of
from gateway.http.payments import index_away
from gateway.http.problems import ProblemError, problems


@post(
    "/v1/{tenant:str}/ask",
    status_code=200,
    summary="Ask, and get an answer that cites its evidence",
    responses=problems(
        s400="the question does not fit",
        s401="no credential",
        s404="not of this credential's tenant",
        s409="`known_at` is beyond the end of the log",
        s413="the body is too large",
        s503="the position is not reached yet, or the answer cannot be entered in the ledger now",
    ),
    tags=["ask"],
)
async def ask(tenant: str, data: AskRequest, request: AnyRequest) -> AnswerJson:
    if max(data.known_at or 0, data.min_position) > POSITION_MAX:
        raise ProblemError(400, "position.out_of_range", f"a log position is at most {POSITION_MAX}")
    node = node_of(request)
    question = replace(data, as_of=checked_time(data.as_of), known_at=checked_known_at(node, data.known_at))
    try:
        answer = await node.asker.ask(tenant, question, trace_of(request))
    except RetryableError as error:
        raise index_away(error) from error
    request.scope["state"]["log"] = {
        "tenant": tenant,
        "answer_id": answer.answer_id,
        "intent": answer.intent,
        "abstained": answer.abstained,
        "cached": answer.cached,
        "position": answer.position,
    }
    return answer


HANDLERS: list[Any] = [ask]
