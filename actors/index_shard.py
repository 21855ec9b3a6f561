"""The index shard: the one process that owns the directories of its tenants.

It hosts the document and generation aggregates, runs the projectors, answers queries, and says what has changed.
Payments never wait for an embedding: documents have a projector of their own.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from actors.changes import AwaitChanges, ChangeLog
from actors.journal import Journal
from actors.payment_shard import Health, as_numbers, log_path, new_id, now
from actors.recorder import open_log
from actors.shard import Kind, Shard
from actors.tenants import Tenant, Tenants
from domain.codec import decode_submissions, encode_replies
from domain.document import Document, DocumentDecider
from domain.index_generation import Index, IndexDecider
from domain.settings import ShardSettings
from domain.sharding import bucket_of, buckets_of_shard, shard_of, tenant_bucket_of
from projections import knowledge, payment_view
from projections.embedder import Embedder, EmbeddingCache
from projections.feed import Feed, LogEntry, SqliteFeed
from projections.projector import Projector, Step, TenantStore
from projections.questions import QuestionCache
from projections.retrieval import AnyFound, AnyQuery, Gather, Gathered, GetDocument, NotYet
from projections.store import Store

ROLE = "knowledge"
# Fast when busy, slow when idle: what is recorded while nothing else happens is visible after 50 ms at the latest.
POLL_MIN_S = 0.005
POLL_MAX_S = 0.05
BACKOFF_S = 0.5
KINDS = {
    "document": Kind(decider=DocumentDecider(), state=Document),
    "index": Kind(decider=IndexDecider(), state=Index),
}
PAYMENTS = "payments"
DOCUMENTS = "documents"

log = structlog.get_logger("index")


class IndexPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Which index shard this is, of how many, and where. `model` is the directory of the embedding model."""

    data: str
    shard: int
    shard_count: int
    model: str
    settings: ShardSettings = ShardSettings()


_queries = msgspec.msgpack.Decoder(list[AnyQuery])
_encode = msgspec.msgpack.Encoder().encode


def index_shard_of(tenant: str, shard_count: int) -> int:
    """The index shard that owns a tenant."""
    return shard_of(bucket_of(tenant), shard_count)


class IndexShard:
    """Hosts one index shard. Commands come from one thread, queries and listeners from several."""

    def __init__(self, place: bytes) -> None:
        at = msgspec.msgpack.decode(place, type=IndexPlace)
        data = Path(at.data)
        model = Embedder(Path(at.model))
        self._questions = QuestionCache(model)
        self._shard = Shard(
            Journal(open_log(str(log_path(at.data)))),
            KINDS,
            role=ROLE,
            buckets=buckets_of_shard(at.shard, at.shard_count),
            bucket=tenant_bucket_of,
            owner=f"{ROLE}-{at.shard}/{os.getpid()}",
            clock=now,
            new_id=new_id,
            settings=at.settings,
        )
        self._deciding = threading.Lock()
        self._tenants = Tenants(
            data,
            is_here=lambda tenant: index_shard_of(tenant, at.shard_count) == at.shard,
            embedder=EmbeddingCache(model, data / "embeddings.sqlite"),
            decide=self._decide,
            feed=SqliteFeed(str(log_path(at.data))),
        )
        self._changes = ChangeLog(new_id(), (PAYMENTS, DOCUMENTS))
        self._behind_since_s: float | None = None
        self._parked = 0
        self._applied = {PAYMENTS: 0, DOCUMENTS: 0}
        self._run(PAYMENTS, payment_view.TOPICS, lambda tenant: tenant.payments, at)
        self._run(DOCUMENTS, knowledge.TOPICS, lambda tenant: tenant.knowledge, at)

    def _decide(self, batch: bytes) -> bytes:
        with self._deciding:
            return encode_replies(self._shard.handle(decode_submissions(batch)))

    def handle(self, batch: bytes) -> bytes:
        """Commands in, replies out. Raises `FencedError` once another host has taken over."""
        return self._decide(batch)

    def ping(self, _: bytes = b"") -> bytes:
        """A `Health`. Raises `FencedError` once fenced: a host that can commit no more is to be replaced."""
        if self._shard.fenced is not None:
            raise self._shard.fenced
        stats = as_numbers(self._shard.stats) | {
            "parked": float(self._parked),
            "applied_payments": float(self._applied[PAYMENTS]),
            "applied_documents": float(self._applied[DOCUMENTS]),
            "lag_ms": float(self._lag_ms()),
        }
        return _encode(Health(pid=os.getpid(), stats=stats))

    def changes(self, wanted: bytes) -> bytes:
        """Wait for what the projectors change: `AwaitChanges` in, `Changes` out."""
        return _encode(self._changes.after(msgspec.msgpack.decode(wanted, type=AwaitChanges)))

    def query(self, batch: bytes) -> bytes:
        """A list of queries in, their replies in order out; questions are embedded together."""
        queries = _queries.decode(batch)
        found: list[AnyFound | None] = [self._look_up(query) for query in queries]
        gathers = {
            index: query for index, query in enumerate(queries) if isinstance(query, Gather) and found[index] is None
        }
        by_tenant: dict[str, list[int]] = {}
        for index, query in gathers.items():
            by_tenant.setdefault(query.tenant, []).append(index)
        for name, indices in by_tenant.items():
            self._gather(name, {index: gathers[index] for index in indices}, found)
        return _encode(found)

    def _look_up(self, query: AnyQuery) -> AnyFound | None:
        position = self._changes.projected(DOCUMENTS if isinstance(query, GetDocument) else PAYMENTS)
        if isinstance(query, Gather) and query.top_k:
            position = min(position, self._changes.projected(DOCUMENTS))
        if position < query.min_position:
            return NotYet(position=position)
        if isinstance(query, Gather):
            return None
        return self._tenants.open(query.tenant).reader.look_up(query, position)

    def _gather(self, name: str, gathers: dict[int, Gather], found: list[AnyFound | None]) -> None:
        tenant = self._tenants.open(name)
        # The position is read before the stores: what comes in between makes the answer newer than it says.
        position = self._changes.projected(PAYMENTS)
        knowledge_position = self._changes.projected(DOCUMENTS)
        lag_ms = self._lag_ms()
        asking = [index for index, query in gathers.items() if query.top_k]
        passages = tenant.knowledge.search(
            [gathers[index].question for index in asking],
            self._questions,
            top_k=max((gathers[index].top_k for index in asking), default=0),
        )
        of_index = dict(zip(asking, passages, strict=True))
        for index, query in gathers.items():
            payments, looked_up = tenant.reader.evidence(query)
            found[index] = Gathered(
                position=position,
                knowledge_position=knowledge_position,
                generation=tenant.generation,
                lag_ms=lag_ms,
                payments=payments,
                passages=of_index.get(index, [])[: query.top_k],
                looked_up=looked_up,
            )

    def _lag_ms(self) -> int:
        since_s = self._behind_since_s
        return 0 if since_s is None else round((time.monotonic() - since_s) * 1000)

    def _run(
        self, projection: str, topics: tuple[str, ...], store_of: Callable[[Tenant], TenantStore], at: IndexPlace
    ) -> None:
        feed = SqliteFeed(str(log_path(at.data)))
        checkpoint = Store(
            Path(at.data) / "projectors" / f"{projection}-{at.shard}of{at.shard_count}.sqlite",
            "CREATE TABLE IF NOT EXISTS tenants (tenant TEXT PRIMARY KEY, position INTEGER NOT NULL)",
        )

        def open_store(name: str) -> TenantStore | None:
            return store_of(self._tenants.open(name)) if self._tenants.is_here(name) else None

        projector = Projector(
            feed,
            topics=topics,
            store_of=open_store,
            position=self._tenants.resume_position(checkpoint, store_of),
            on_parked=self._on_parked,
        )
        loop = threading.Thread(
            target=self._project,
            args=(projection, projector, feed, checkpoint, store_of),
            name=projection,
            daemon=True,
        )
        loop.start()

    def _project(
        self,
        projection: str,
        projector: Projector,
        feed: Feed,
        checkpoint: Store,
        store_of: Callable[[Tenant], TenantStore],
    ) -> None:
        """One projector's thread, for as long as the process lives. What fails is tried again; nothing is skipped."""
        idle = threading.Event()
        pause_s = POLL_MIN_S
        while True:
            started_s = time.perf_counter()
            try:
                step = projector.run_once()
                # Told before anything else can fail: what changed and is not told would stay in the caches.
                self._changes.reached(
                    projection,
                    step.position,
                    step.position,
                    {tenant: sorted(keys) for tenant, keys in step.changed.items()},
                )
                self._applied[projection] += step.applied
                if step.changed:
                    self._tenants.checkpoint(checkpoint, step, store_of)
                head = feed.head()
            except Exception:
                # The thread must outlive whatever one turn runs into.
                log.exception("projection_failed", projection=projection, position=projector.position)
                idle.wait(BACKOFF_S)
                continue
            self._note(projection, step, head, time.perf_counter() - started_s)
            pause_s = POLL_MIN_S if step.applied else min(pause_s * 2, POLL_MAX_S)
            if step.position >= head:
                idle.wait(pause_s)

    def _note(self, projection: str, step: Step, head: int, took_s: float) -> None:
        """One line for a turn that applied something, and since when payments are behind."""
        if projection == PAYMENTS:
            if step.position >= head:
                self._behind_since_s = None
            elif self._behind_since_s is None:
                self._behind_since_s = time.monotonic()
        if step.applied:
            log.info(
                "projected",
                projection=projection,
                events=step.applied,
                parked=step.parked,
                position=step.position,
                behind=head - step.position,
                ms=round(took_s * 1000, 1),
            )

    def _on_parked(self, entry: LogEntry, error: str) -> None:
        self._parked += 1
        log.error("event_parked", position=entry.position, stream=entry.stream, topic=entry.topic, reason=error)
