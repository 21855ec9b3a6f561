"""For operators and their machines: lag, health, readiness, metrics, the description."""

import asyncio
from typing import Any

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from nats.errors import Error as NatsError
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from actors.index import DOCUMENTS, PAYMENTS
from actors.payment_shard import now
from domain.errors import RetryableError, TerminalError
from gateway.bus import pending
from gateway.composing import OUTCOMES
from gateway.http.context import AnyRequest, node_of
from gateway.http.payments import index_away
from gateway.http.problems import ProblemError, problems
from gateway.node import Node

LOG_TIMEOUT_S = 2.0
Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily


class LagJson(msgspec.Struct, frozen=True, kw_only=True):
    """Drained when `ingest_pending` is 0 and every projection is at `head`."""

    ingest_pending: int
    head: int
    projected: dict[str, int]


class PartState(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the node."""

    is_ready: bool
    detail: str


class ReadyJson(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the node takes work, part by part."""

    is_ready: bool
    parts: dict[str, PartState]


@get(
    "/v1/lag",
    summary="How far behind everything is",
    responses=problems(s401="no credential", s503="a part does not answer"),
    tags=["operations"],
)
async def lag(request: AnyRequest) -> LagJson:
    node = node_of(request)
    try:
        # In the order of the way of the data: what is counted as taken in is in the log that is read after it.
        spooled = node.spool.messages
        waiting = spooled + await pending(node.bus)
    except (NatsError, TimeoutError) as error:
        raise ProblemError(503, "bus.away", f"the stream does not answer: {error}", {"Retry-After": "1"}) from error
    head = await asyncio.to_thread(node.feed.head)
    try:
        heard = await asyncio.gather(*(listener.look(head) for listener in node.listeners))
    except RetryableError as error:
        raise index_away(error) from error
    return LagJson(
        ingest_pending=waiting,
        head=head,
        projected={
            **{name: min(of_shard.get(name, 0) for of_shard in heard) for name in (PAYMENTS, DOCUMENTS)},
            "corrections": min(node.corrector.position, head),
        },
    )


@get("/healthz", summary="The process lives", tags=["operations"], opt={"is_public": True}, sync_to_thread=False)
def healthz() -> dict[str, str]:
    return {"status": "alive"}


@get(
    "/readyz",
    summary="Every part that it takes to work",
    responses={503: ResponseSpec(data_container=ReadyJson, description="a part is not ready", generate_examples=False)},
    tags=["operations"],
    opt={"is_public": True},
)
async def readyz(request: AnyRequest) -> Response[ReadyJson]:
    node = node_of(request)
    parts = {**_parts(node), "log": await _log(node)}
    is_ready = all(part.is_ready for part in parts.values())
    return Response(ReadyJson(is_ready=is_ready, parts=parts), status_code=200 if is_ready else 503)


def _parts(node: Node) -> dict[str, PartState]:
    parts = {"node": PartState(is_ready=node.is_ready, detail="started" if node.is_ready else "starting or stopping")}
    connected = node.bus.is_connected
    parts["nats"] = PartState(is_ready=connected, detail="connected" if connected else f"{node.nats_url} is away")
    durable = node.is_bus_durable
    parts["nats_durability"] = PartState(
        is_ready=durable is not False,
        detail={True: "sync_interval always", False: "acknowledges before fsync", None: "the server's operator says"}[
            durable
        ],
    )
    for name, health in node.supervisor.health().items():
        parts[name] = PartState(
            is_ready=health is not None, detail=f"pid {health.pid}" if health is not None else "does not answer"
        )
    fenced = node.ledger.is_fenced
    parts["ledger"] = PartState(
        is_ready=not fenced, detail="another gateway has taken over; stop this one" if fenced else "takes answers"
    )
    for number, listener in enumerate(node.listeners):
        hears = listener.is_hearing()
        parts[f"changes-{number}"] = PartState(
            is_ready=hears, detail="heard" if hears else "not heard; the answer cache is passed by"
        )
    return parts


async def _log(node: Node) -> PartState:
    try:
        async with asyncio.timeout(LOG_TIMEOUT_S):
            head = await asyncio.to_thread(node.feed.head)
    except (RetryableError, TerminalError) as error:
        return PartState(is_ready=False, detail=error.reason)
    except TimeoutError:
        return PartState(is_ready=False, detail=f"was not read within {LOG_TIMEOUT_S:g} s")
    return PartState(is_ready=True, detail=f"read up to position {head}")


class NodeCollector:
    """The node's figures for Prometheus. Those of other processes come with their last health."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> list[Family]:
        """One family per figure, labelled by host."""
        families: dict[str, GaugeMetricFamily] = {}
        for host, health in self._node.supervisor.health().items():
            up = families.setdefault(
                "up", GaugeMetricFamily("recount_host_up", "1 if the host answers", labels=["host"])
            )
            up.add_metric([host], float(health is not None))
            for name, value in (health.stats if health is not None else {}).items():
                family = families.setdefault(
                    name, GaugeMetricFamily(f"recount_host_{name}", f"{name} since the host started", labels=["host"])
                )
                family.add_metric([host], value)
        replaced = GaugeMetricFamily("recount_host_replacements", "Times a silent host was replaced", labels=["host"])
        for host, count in self._node.supervisor.replacements().items():
            replaced.add_metric([host], count)
        counted = [_corrections(self._node), _compositions(self._node)]
        own: list[Family] = [replaced, *counted, _delays(self._node), *_cache(self._node), *_spool(self._node)]
        return [
            *families.values(),
            *own,
            *_head(self._node),
            *_tallies(self._node),
            *_effects(self._node),
            *_remediation(self._node),
        ]


def _head(node: Node) -> list[GaugeMetricFamily]:
    """Nothing while the log cannot be read: then the other figures are wanted more than ever."""
    try:
        head = node.feed.head()
    except RetryableError:
        return []
    return [GaugeMetricFamily("recount_log_head", "The last position in the log", value=head)]


def _cache(node: Node) -> list[Family]:
    """What the answer cache was worth: hits of all lookups are its hit rate."""
    cache = node.asker.cache
    lookups = CounterMetricFamily(
        "recount_answer_cache_lookups_total", "Questions by what the cache had", labels=["outcome"]
    )
    for outcome, count in (("hit", cache.hits), ("miss", cache.misses), ("bypass", cache.bypasses)):
        lookups.add_metric([outcome], count)
    return [
        lookups,
        CounterMetricFamily(
            "recount_answer_cache_invalidations_total", "Answers that a change made invalid", value=cache.evictions
        ),
        CounterMetricFamily(
            "recount_answer_cache_refusals_total", "Answers not kept, older than a change", value=cache.refusals
        ),
        GaugeMetricFamily("recount_answer_cache_entries", "Answers that are kept", value=len(cache)),
    ]


def _spool(node: Node) -> list[GaugeMetricFamily]:
    return [
        GaugeMetricFamily("recount_spool_messages", "Accepted, and not in the stream yet", value=node.spool.messages),
        GaugeMetricFamily("recount_spool_bytes", "How much that is", value=node.spool.bytes),
    ]


def _delays(node: Node) -> HistogramMetricFamily:
    """From recorded to visible, by projection. A tenant's own are under `GET /v1/{tenant}/freshness`."""
    visible = HistogramMetricFamily(
        "recount_visible_seconds", "From recorded in the log to visible to questions", labels=["host", "projection"]
    )
    for host, of_host in node.delays.items():
        for each in of_host:
            visible.add_metric([host, each.projection], buckets=each.cumulative(), sum_value=each.sum_s)
    return visible


def _effects(node: Node) -> list[Family]:
    """What is outstanding, and how attempts ended."""
    counts, stats = node.outbox.counts(now()), node.effects.stats
    outstanding = GaugeMetricFamily("recount_outstanding", "What waits for its time or a person", labels=["what"])
    for what in ("effects", "deadlines", "escalations"):
        outstanding.add_metric([what], getattr(counts, what))
    overdue = GaugeMetricFamily(
        "recount_effects_overdue_seconds", "How long the effect that is due longest is due", value=counts.overdue_s
    )
    attempts = CounterMetricFamily("recount_effects_total", "Attempts at effects since the start", labels=["outcome"])
    for outcome in ("performed", "failed", "given_up"):
        attempts.add_metric([outcome], getattr(stats, outcome))
    return [outstanding, overdue, attempts]


def _remediation(node: Node) -> list[Family]:
    """How runs of runbooks ended, and how many wait for a person."""
    ends = CounterMetricFamily("recount_remediations_total", "Ended runs of runbooks", labels=["runbook", "outcome"])
    for (runbook, outcome), count in node.remediator.ends.items():
        ends.add_metric([runbook, outcome], count)
    waiting = GaugeMetricFamily(
        "recount_remediations_waiting", "Runs that wait for a person", value=node.remediator.waiting
    )
    return [ends, waiting]


def _corrections(node: Node) -> CounterMetricFamily:
    """How often answers were found wrong, and right after all."""
    found = CounterMetricFamily("recount_corrections_total", "Answers judged otherwise than before", labels=["outcome"])
    for outcome in ("invalidated", "reinstated"):
        found.add_metric([outcome], node.corrector.counts[outcome])
    return found


def _compositions(node: Node) -> CounterMetricFamily:
    """What became of the answers that a model was to word."""
    found = CounterMetricFamily("recount_compositions_total", "Answers that a model was to word", labels=["outcome"])
    counts = node.model_composer.counts if node.model_composer is not None else {}
    for outcome in OUTCOMES:
        found.add_metric([outcome], counts.get(outcome, 0))
    return found


def _tallies(node: Node) -> list[CounterMetricFamily]:
    """What came, and what of it was put aside. Labels are names of the configuration, and one for all others."""
    labels = ["host", "tenant", "source"]
    came = CounterMetricFamily("recount_source_messages_total", "Messages by tenant and source", labels=labels)
    put_aside = CounterMetricFamily("recount_source_quarantined_total", "Messages put aside", labels=labels)
    for host, tallied in {"gateway": node.tally.totals(), **node.tallied}.items():
        for each in tallied:
            came.add_metric([host, each.tenant, each.source], each.messages)
            put_aside.add_metric([host, each.tenant, each.source], each.quarantined)
    return [came, put_aside]


@get("/metrics", summary="Prometheus metrics", tags=["operations"], opt={"is_public": True}, include_in_schema=False)
async def metrics(request: AnyRequest) -> Response[bytes]:
    await node_of(request).read_figures()
    # As a header: the framework would add a second charset to a media type.
    return Response(await asyncio.to_thread(generate_latest, REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


@get("/openapi.json", opt={"is_public": True}, include_in_schema=False, sync_to_thread=False)
def openapi(request: AnyRequest) -> Response[bytes]:
    schema = request.app.openapi_schema.to_schema()
    return Response(msgspec.json.encode(schema), media_type="application/json")


HANDLERS: list[Any] = [lag, healthz, readyz, metrics, openapi]
