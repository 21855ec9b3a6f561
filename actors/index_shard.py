"""The index shard as a process hosts it: its parts on threads, batches as bytes.

Payments never wait for an embedding: documents have a projector and a thread of their own.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from actors.index import DOCUMENTS, KINDS, PAYMENTS, PROJECTIONS, ROLE, Index, Projection, Turn
from actors.journal import Journal
from actors.log import log_at
from actors.payment_shard import Health, as_numbers, new_id, now
from actors.shard import Shard
from actors.tenants import Tenants
from domain.codec import decode_recorded_at
from domain.errors import FencedError
from domain.settings import IndexSettings, ShardSettings
from domain.sharding import bucket_of, buckets_of_shard, shard_of, tenant_bucket_of
from projections.delays import DelayMeter
from projections.embedder import EmbeddingCache, ModelDirs
from projections.feed import LogEntry
from projections.feeds import feed_at
from projections.questions import QuestionCache

# Fast when busy, slow when idle: what is recorded while nothing else happens is visible after 50 ms at the latest.
POLL_MIN_S = 0.005
POLL_MAX_S = 0.05
BACKOFF_S = 0.5
# How long until a build that another process began is noticed; one that is asked for here begins at once.
BUILD_POLL_S = 0.5
SWITCH_INTERVAL_S = 0.0005
# The builder rests as long as it worked, at most this long at a time: it has half a core at most.
REST_MAX_S = 0.1

log = structlog.get_logger("index")


class IndexPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Which index shard this is, of how many, and where.

    Args:
        data: the directory of what is derived.
        log: where the log lies: a file, or an address of PostgreSQL.
        model: the directory of the embedding model.
    """

    data: str
    log: str
    shard: int
    shard_count: int
    models: ModelDirs
    settings: ShardSettings = ShardSettings()
    index: IndexSettings = IndexSettings()


def index_shard_of(tenant: str, shard_count: int) -> int:
    """The index shard that owns a tenant."""
    return shard_of(bucket_of(tenant), shard_count)


class IndexShard:
    """Hosts one index shard. Commands come from one thread, queries and listeners from several."""

    def __init__(self, place: bytes) -> None:
        at = msgspec.msgpack.decode(place, type=IndexPlace)
        data = Path(at.data)
        # A thread that computes lets go of the interpreter after this, not after 5 ms: a question takes it many times.
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # On as many cores as this shard's part of the machine has.
        passages, questions = at.models.load(threads=max(1, (os.cpu_count() or 1) // at.shard_count))
        self._delays = DelayMeter()
        shard = Shard(
            Journal(log_at(at.log)),
            KINDS,
            role=ROLE,
            buckets=buckets_of_shard(at.shard, at.shard_count),
            bucket=tenant_bucket_of,
            owner=f"{ROLE}-{at.shard}/{os.getpid()}",
            clock=now,
            new_id=new_id,
            settings=at.settings,
        )
        self._index = Index(
            shard=shard,
            tenants=lambda decide: Tenants(
                data,
                is_here=lambda tenant: index_shard_of(tenant, at.shard_count) == at.shard,
                embedder=EmbeddingCache(passages, data / "embeddings.sqlite"),
                decide=decide,
                feed=feed_at(at.log),
                settings=at.index,
            ),
            questions=QuestionCache(questions),
            feed_of=lambda: feed_at(at.log),
            data=data,
            name=f"{at.shard}of{at.shard_count}",
            incarnation=new_id(),
            clock_s=time.monotonic,
            give_way=_GivingWay(),
            on_visible=self._measure,
        )
        self._news = {projection: threading.Event() for projection in PROJECTIONS}
        for projection in PROJECTIONS:
            threading.Thread(target=self._project, args=(projection,), name=projection, daemon=True).start()
        threading.Thread(target=self._build, args=(at.index.inspect_every_s,), name="builder", daemon=True).start()

    def handle(self, batch: bytes) -> bytes:
        """Commands in, replies out. Raises `FencedError` once another host has taken over."""
        replies = self._index.handle(batch)
        # What is committed here is projected here, without waiting for the next poll.
        self._news[DOCUMENTS].set()
        return replies

    def query(self, batch: bytes) -> bytes:
        """A list of queries in, their replies in order out."""
        return self._index.query(batch)

    def changes(self, wanted: bytes) -> bytes:
        """Wait for what the projectors change: `AwaitChanges` in, `Changes` out."""
        return self._index.changes(wanted)

    def delays(self, tenant: bytes) -> bytes:
        """From recorded to visible: the `Delays` of a tenant's projections, or with no tenant those of all together."""
        meter, name = self._delays, tenant.decode()
        return msgspec.msgpack.encode(meter.of_tenant(name, PROJECTIONS) if name else meter.of_all(PROJECTIONS))

    def generations(self, request: bytes) -> bytes:
        """What an operator asks about generations: `GenerationRequest` in, `GenerationReply` out."""
        return self._index.generations(request)

    def ping(self, _: bytes = b"") -> bytes:
        """A `Health`. Raises `FencedError` once fenced: a host that can commit no more is to be replaced."""
        index = self._index
        if index.fenced is not None:
            raise index.fenced
        stats = as_numbers(index.shard.stats) | {
            "parked": float(index.parked),
            "applied_payments": float(index.applied(PAYMENTS)),
            "applied_documents": float(index.applied(DOCUMENTS)),
            "lag_ms": float(index.lag_ms()),
            "tenants_open": float(index.open_count()),
            **as_numbers(index.builder.stats),
        }
        return msgspec.msgpack.encode(Health(pid=os.getpid(), stats=stats))

    def _measure(self, projection: Projection, entries: Sequence[LogEntry]) -> None:
        visible_at = now()
        by_tenant: dict[str, list[float]] = {}
        for entry in entries:
            delay_s = (visible_at - decode_recorded_at(entry.state)).total_seconds()
            by_tenant.setdefault(entry.tenant, []).append(delay_s)
        for tenant, delays_s in by_tenant.items():
            self._delays.count(tenant, projection, delays_s)

    def _project(self, projection: Projection) -> None:
        """One projector's thread, for as long as the process lives. What fails is tried again; nothing is skipped."""
        news, failing = self._news[projection], threading.Event()
        pause_s = POLL_MIN_S
        while True:
            started_s = time.perf_counter()
            news.clear()
            try:
                turn = self._index.turn(projection)
            except FencedError as error:
                log.warning("projection_fenced", projection=projection, reason=error.reason)
                return
            except Exception:
                # The thread must outlive whatever one turn runs into.
                log.exception("projection_failed", projection=projection, position=self._index.position(projection))
                failing.wait(BACKOFF_S)
                continue
            _note(projection, turn, time.perf_counter() - started_s)
            pause_s = POLL_MIN_S if turn.step.applied else min(pause_s * 2, POLL_MAX_S)
            if not turn.is_behind:
                news.wait(pause_s)

    def _build(self, inspect_every_s: float) -> None:
        """The builder's thread, for as long as the process lives. What fails is tried again."""
        builder = self._index.builder
        idle = threading.Event()
        inspected_s = time.monotonic()
        while True:
            try:
                self._index.close_oldest()
                if builder.step():
                    continue
                if time.monotonic() - inspected_s > inspect_every_s:
                    builder.inspect_open()
                    inspected_s = time.monotonic()
            except FencedError as error:
                log.warning("builder_fenced", reason=error.reason)
                return
            except Exception:
                # As above.
                log.exception("build_failed")
                idle.wait(BACKOFF_S)
            builder.wait(BUILD_POLL_S)


class _GivingWay:
    """Rests after a piece of work for as long as that took. One thread calls it."""

    def __init__(self) -> None:
        self._never = threading.Event()
        self._rested_s = time.perf_counter()

    def __call__(self) -> None:
        self._never.wait(min(time.perf_counter() - self._rested_s, REST_MAX_S))
        self._rested_s = time.perf_counter()


def _note(projection: Projection, turn: Turn, took_s: float) -> None:
    """One line for a turn that applied something."""
    if turn.step.applied:
        log.info(
            "projected",
            projection=projection,
            events=turn.step.applied,
            parked=turn.step.parked,
            position=turn.step.position,
            behind=turn.head - turn.step.position,
            ms=round(took_s * 1000, 1),
        )
