"""What the node does about its own troubles, and what of it waits for a person: for operators, with their own key."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import get, post
from litestar.handlers import BaseRouteHandler

from domain.errors import Rejection, RetryableError
from gateway.http.context import AnyConnection, AnyRequest, node_of
from gateway.http.problems import ProblemError, problems
from gateway.remediating import Standing

_PROBLEMS = problems(
    s401="no operator's credential",
    s404="no such runbook",
    s409="it may not begin now, or the step does not wait",
    s503="it cannot be recorded now",
)


class RunJson(msgspec.Struct, frozen=True, kw_only=True):
    """A run under way. `stage` is `held` while it waits for a person, and `held_for` says why."""

    run_id: str
    trigger: str
    step: str
    stage: str
    attempts: int
    targets: Sequence[str]
    held_for: str


class RunbookJson(msgspec.Struct, frozen=True, kw_only=True):
    """A runbook, and how it stands. `is_flapping`: it ran too often, and does not begin by itself."""

    runbook: str
    steps: list[str]
    run: RunJson | None
    ended_at: datetime | None
    outcome: str | None
    is_flapping: bool


class RemediationJson(msgspec.Struct, frozen=True, kw_only=True):
    """Every runbook."""

    mode: str
    runbooks: list[RunbookJson]


class BeginRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a runbook is to run, and on what, e.g. `acme/stripe`; without targets on what its checks find."""

    reason: str
    targets: list[str] = []


class SettleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who approves or declines which step of which run."""

    run_id: str
    step: str
    by: str


async def operators_only(request: AnyConnection, _handler: BaseRouteHandler) -> None:
    """Ask for an operator's key before anything else of a request is read; a tenant's does not open what is all's.

    Raises `ProblemError` 401 without one.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    keys = node_of(request).settings.remediation.operator_keys
    fits = [secrets.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    if scheme.lower() != "bearer" or not any(fits):
        raise ProblemError(
            401,
            "operator.missing",
            "send one of remediation.operator_keys as `Authorization: Bearer <key>`",
            {"WWW-Authenticate": "Bearer"},
        )


@get(
    "/v1/remediation",
    summary="What the node does about its own troubles",
    responses=_PROBLEMS,
    tags=["operations"],
    opt={"is_public": True, "is_operators": True},
    guards=[operators_only],
)
async def list_remediation(request: AnyRequest) -> RemediationJson:
    return await _all(request)


@post(
    "/v1/remediation/{runbook:str}/begin",
    status_code=200,
    summary="Begin a runbook",
    responses=_PROBLEMS,
    tags=["operations"],
    opt={"is_public": True, "is_operators": True},
    guards=[operators_only],
)
async def begin_remediation(runbook: str, data: BeginRequest, request: AnyRequest) -> RemediationJson:
    try:
        await node_of(request).remediator.begin(runbook, data.reason, data.targets)
    except (Rejection, RetryableError) as error:
        raise _problem(error) from error
    return await _all(request)


@post(
    "/v1/remediation/{runbook:str}/approve",
    status_code=200,
    summary="Let a step that waits be taken",
    responses=_PROBLEMS,
    tags=["operations"],
    opt={"is_public": True, "is_operators": True},
    guards=[operators_only],
)
async def approve_step(runbook: str, data: SettleRequest, request: AnyRequest) -> RemediationJson:
    return await _settle(runbook, data, request, is_approved=True)


@post(
    "/v1/remediation/{runbook:str}/decline",
    status_code=200,
    summary="End a run whose step waits",
    responses=_PROBLEMS,
    tags=["operations"],
    opt={"is_public": True, "is_operators": True},
    guards=[operators_only],
)
async def decline_step(runbook: str, data: SettleRequest, request: AnyRequest) -> RemediationJson:
    return await _settle(runbook, data, request, is_approved=False)


async def _settle(runbook: str, wish: SettleRequest, request: AnyRequest, *, is_approved: bool) -> RemediationJson:
    remediator = node_of(request).remediator
    try:
        await remediator.settle(runbook, wish.run_id, wish.step, by=wish.by, is_approved=is_approved)
    except (Rejection, RetryableError) as error:
        raise _problem(error) from error
    return await _all(request)


async def _all(request: AnyRequest) -> RemediationJson:
    node = node_of(request)
    return RemediationJson(
        mode=node.settings.remediation.mode, runbooks=[_runbook(each) for each in await node.remediator.standings()]
    )


def _runbook(standing: Standing) -> RunbookJson:
    state, run = standing.state, standing.state.run
    return RunbookJson(
        runbook=standing.runbook.name,
        steps=[step.name for step in standing.runbook.steps],
        run=None
        if run is None
        else RunJson(
            run_id=run.run_id,
            trigger=run.trigger,
            step=run.step.name,
            stage=run.stage,
            attempts=run.attempts,
            targets=run.chosen,
            held_for=run.held_for,
        ),
        ended_at=state.ended_at,
        outcome=state.outcome,
        is_flapping=state.is_flapping,
    )


def _problem(error: Rejection | RetryableError) -> ProblemError:
    if isinstance(error, RetryableError):
        return ProblemError(503, "storage.away", error.reason, {"Retry-After": "1"})
    status = 404 if error.code == "remediation.unknown" else 409
    return ProblemError(status, error.code, error.detail)


HANDLERS: list[Any] = [list_remediation, begin_remediation, approve_step, decline_step]
