"""What was said and was wrong when it was said, with what is true; and any answer with all that it relied on."""

import asyncio
from typing import Annotated, Any

from litestar import get
from litestar.params import Parameter

from actors.payment_shard import now
from domain.answer import verdict
from domain.payment import view
from gateway.corrections import payments_now
from gateway.http.context import OBJECT_ID_SCHEMA, POSITION_MAX, AnyRequest, checked_id, node_of
from gateway.http.correction_views import CorrectionsJson, GivenJson, correction_json, given_json, reinstated_json
from gateway.http.problems import ProblemError, problems
from projections.answer_ledger import AnswerLedger

PAGE_DEFAULT = 200
PAGE_MAX = 1_000

AnswerId = Annotated[str, Parameter(description="as an answer brought it", schema_extra=OBJECT_ID_SCHEMA)]
After = Annotated[
    int,
    Parameter(query="after", ge=0, le=POSITION_MAX, description="the position that the page before gave"),
]


@get(
    "/v1/{tenant:str}/corrections",
    summary="Answers that were wrong when they were given",
    description="In the order in which that was found out. An answer is listed once, with the last word about it.",
    responses=problems(
        s400="a parameter does not fit",
        s401="no credential",
        s404="not of this credential's tenant",
        s503="cannot be read now; try again",
    ),
    tags=["answers"],
)
async def list_corrections(
    tenant: str,
    request: AnyRequest,
    *,
    after: After = 0,
    limit: Annotated[int, Parameter(query="limit", ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
) -> CorrectionsJson:
    return await asyncio.to_thread(_corrections, node_of(request).answers, tenant, after, limit)


@get(
    "/v1/{tenant:str}/answers/{answer_id:str}",
    summary="An answer, what it relied on, and whether it still stands",
    responses=problems(
        s400="the id cannot be one",
        s401="no credential",
        s404="no such answer, or not of this credential's tenant",
        s503="cannot be read now; try again",
    ),
    tags=["answers"],
)
async def get_answer(tenant: str, answer_id: AnswerId, request: AnyRequest) -> GivenJson:
    checked_id(answer_id, "answer_id")
    return await asyncio.to_thread(_answer, node_of(request).answers, tenant, answer_id)


def _corrections(answers: AnswerLedger, tenant: str, after: int, limit: int) -> CorrectionsJson:
    page = answers.store(tenant).corrections(after, limit=limit)
    found = [(each, answers.answer(tenant, each.answer_id)) for each in page]
    # The log may have a newer word already, which is on a later page as soon as it is read.
    current = [(each, answer) for each, answer in found if answer is not None and answer.position == each.position]
    return CorrectionsJson(
        corrections=[
            correction_json(answer, each.conversation_id, payments_now(answers, tenant, answer), at=now())
            for each, answer in current
            if each.is_wrong
        ],
        reinstated=[reinstated_json(answer) for each, answer in current if not each.is_wrong],
        position=page[-1].position if page else after,
    )


def _answer(answers: AnswerLedger, tenant: str, answer_id: str) -> GivenJson:
    found = answers.answer(tenant, answer_id)
    if found is None:
        raise ProblemError(404, "answer.unknown", f"no answer {answer_id} was ever given")
    facts = {said.payment_id: answers.facts(tenant, said.payment_id) for said in found.record.stated}
    return given_json(
        found,
        answers.store(tenant).conversation_of(answer_id),
        verdict(found.record, facts, found.repeated_at),
        {payment_id: view(payment_id, of_payment) for payment_id, of_payment in facts.items()},
        at=now(),
    )


HANDLERS: list[Any] = [list_corrections, get_answer]
