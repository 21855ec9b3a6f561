"""`POST /v1/{tenant}/ask`: a question in, a cited answer out."""

from typing import Any

from litestar import post

from domain.errors import RetryableError
from gateway.asking import AnswerJson, AskRequest
from gateway.http.context import AnyRequest, authorize, trace_of
from gateway.http.payments import index_away
from gateway.http.problems import problems


@post(
    "/v1/{tenant:str}/ask",
    status_code=200,
    summary="Ask, and get an answer that cites its evidence",
    responses=problems(
        s400="the question does not fit",
        s401="no credential",
        s404="not of this credential's tenant",
        s413="the body is too large",
        s503="the position is not reached yet, or the answer cannot be entered in the ledger now",
    ),
    tags=["ask"],
)
async def ask(tenant: str, data: AskRequest, request: AnyRequest) -> AnswerJson:
    node = authorize(request, tenant)
    trace = trace_of(request)
    try:
        answer = await node.asker.ask(tenant, data, trace)
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
