"""How the objectives stand, for operators; how fresh its data is, for a tenant."""

import msgspec
from litestar import get

from actors.index import PROJECTIONS
from domain.errors import RetryableError
from domain.slo import Burn, Standing
from gateway.http.context import AnyRequest, node_of
from gateway.http.payments import index_away
from gateway.http.problems import problems
from gateway.tally import delays_of
from projections.delays import Delays


class BurnJson(msgspec.Struct, frozen=True, kw_only=True):
    """An alert on a budget. It fires while both rates are above `threshold`; `null` where nothing was counted."""

    alert: str
    severity: str
    threshold: float
    long_s: float
    short_s: float
    long_rate: float | None
    short_rate: float | None
    is_firing: bool


class SloJson(msgspec.Struct, frozen=True, kw_only=True):
    """An objective: in `window_s`, `bad` of `total` were bad. 1 is the whole budget; below 0 it is missed."""

    slo: str
    title: str
    target: float
    window_s: float
    bad: float
    total: float
    budget_left: float
    burns: list[BurnJson]
    is_without_data: bool


class SlosJson(msgspec.Struct, frozen=True, kw_only=True):
    """All objectives, the one with the least budget left first. Windows are shortened by `time_scale`."""

    time_scale: float
    slos: list[SloJson]


class FreshnessJson(msgspec.Struct, frozen=True, kw_only=True):
    """From recorded in the log to visible to questions, since the index shard started; `null` where there was nothing.

    `stale_s`: for how long the oldest event of the node that is not visible now has waited, 0 if all are.
    """

    visible: int
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    stale_s: float


class TenantFreshnessJson(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh a tenant's data is, by projection."""

    projections: dict[str, FreshnessJson]


@get(
    "/v1/slo",
    summary="How the objectives stand",
    responses=problems(s401="no credential"),
    tags=["operations"],
    sync_to_thread=False,
)
def slo(request: AnyRequest) -> SlosJson:
    engine = node_of(request).watch.engine
    return SlosJson(time_scale=engine.time_scale, slos=[_slo(each) for each in engine.standings()])


@get(
    "/v1/{tenant:str}/freshness",
    summary="How soon what is recorded is visible",
    responses=problems(
        s401="no credential", s404="not this credential's tenant", s503="the index shard does not answer"
    ),
    tags=["operations"],
)
async def freshness(request: AnyRequest, tenant: str) -> TenantFreshnessJson:
    node = node_of(request)
    delays = await delays_of(node.call_index(tenant), tenant)
    if delays is None:
        raise index_away(RetryableError("the index shard does not answer"))
    stale_s = node.watch.stale_s
    return TenantFreshnessJson(
        projections={
            projection: _freshness(each, stale_s.get(projection, 0.0))
            for projection, each in zip(PROJECTIONS, delays, strict=True)
        }
    )


def _slo(stands: Standing) -> SloJson:
    return SloJson(
        slo=stands.slo,
        title=stands.title,
        target=stands.target,
        window_s=stands.window_s,
        bad=stands.bad,
        total=stands.total,
        budget_left=stands.budget_left,
        burns=[_burn(each) for each in stands.burns],
        is_without_data=stands.is_without_data,
    )


def _burn(burn: Burn) -> BurnJson:
    return msgspec.convert(burn, BurnJson, from_attributes=True)


def _freshness(delays: Delays, stale_s: float) -> FreshnessJson:
    return FreshnessJson(
        visible=delays.count,
        mean_s=delays.sum_s / delays.count if delays.count else None,
        p50_s=delays.quantile_s(0.5),
        p95_s=delays.quantile_s(0.95),
        p99_s=delays.quantile_s(0.99),
        stale_s=stale_s,
    )


HANDLERS = [slo, freshness]
