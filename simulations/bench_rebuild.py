"""`recount bench rebuild`: a large generation is built again, and no text of it embedded again."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from actors.index import KINDS, PROJECTIONS, ROLE, Index
from actors.journal import Entry, Journal
from actors.payment_shard import new_id
from actors.recorder import open_log
from actors.shard import Shard
from actors.tenants import Tenants
from domain.codec import Envelope
from domain.document import DocumentPublished
from domain.errors import TerminalError
from domain.ids import stream_id
from domain.settings import BATCH_MAX
from domain.sharding import BUCKET_COUNT, tenant_bucket_of
from projections.embedder import EmbeddingCache, HashEmbedder
from projections.feed import SqliteFeed

SEED = 23
TENANT = "bench"
PER_DOCUMENT = 20
_VOCABULARY = 5_000
_WORDS = 20


class RebuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """The build of a generation whose passages the one before it has.

    `embedded` is how many texts went to the model meanwhile; `beside` how many passages the graph of the new generation
    lost, which are compared one by one beside it.
    """

    passages: int
    projected_s: float
    filled_s: float
    checked_s: float
    promoted_s: float
    embedded: int
    beside: int
    stage: str
    abandoned_for: str
    meets_target: bool


def bench_rebuild(directory: Path, passages: int, say: Callable[[str], None]) -> RebuildReport:
    """One tenant's documents, projected, and its next generation, built by an index shard without threads."""
    log = str(directory / "log.sqlite")
    journal = Journal(open_log(log))
    say(f"{passages} passages of random words, with hashed words for vectors")
    _write_log(journal, passages)
    cache = EmbeddingCache(HashEmbedder(), directory / "embeddings.sqlite")
    index = _index(directory, log, journal, cache)
    started_s = time.perf_counter()
    for projection in PROJECTIONS:
        while index.turn(projection).is_behind:
            continue
    projected_s = time.perf_counter() - started_s
    say(f"projected in {projected_s:.0f} s; {cache.misses} texts embedded")
    return _build(index, cache, passages, projected_s, say)


def _build(
    index: Index, cache: EmbeddingCache, passages: int, projected_s: float, say: Callable[[str], None]
) -> RebuildReport:
    builder, before = index.builder, cache.misses
    builder.start(TENANT, "bench")
    generation = builder.generations(TENANT).newest
    # How long each stage lasted, by what the log says at its end.
    lasted_s: dict[str, float] = {}
    stage, since_s = "building", time.perf_counter()
    while stage in ("building", "caught_up", "checked"):
        builder.step()
        now = builder.generations(TENANT).generations[generation]
        if now.stage != stage:
            lasted_s[stage] = time.perf_counter() - since_s
            say(f"{now.stage} after {lasted_s[stage]:.1f} s")
            stage, since_s = now.stage, time.perf_counter()
    builder.close()
    return RebuildReport(
        passages=passages,
        projected_s=round(projected_s, 1),
        filled_s=round(lasted_s["building"], 1),
        checked_s=round(lasted_s.get("caught_up", 0.0), 1),
        promoted_s=round(lasted_s.get("checked", 0.0), 1),
        embedded=cache.misses - before,
        beside=now.counts.get("beside", 0),
        stage=stage,
        abandoned_for=now.abandoned_for,
        meets_target=stage == "active" and cache.misses == before and now.counts["passages"] == passages,
    )


def _index(directory: Path, log: str, journal: Journal, cache: EmbeddingCache) -> Index:
    shard = Shard(
        journal,
        KINDS,
        role=ROLE,
        buckets=range(BUCKET_COUNT),
        bucket=tenant_bucket_of,
        owner="bench",
        clock=lambda: datetime.now(UTC),
        new_id=new_id,
    )
    return Index(
        shard=shard,
        tenants=lambda decide: Tenants(
            directory, is_here=lambda _: True, embedder=cache, decide=decide, feed=SqliteFeed(log)
        ),
        questions=HashEmbedder(),
        feed_of=lambda: SqliteFeed(log),
        data=directory,
        name="0of1",
        incarnation="bench",
        clock_s=time.monotonic,
    )


def _write_log(journal: Journal, passages: int) -> None:
    """The documents as shards would have appended them."""
    if passages % PER_DOCUMENT:
        raise TerminalError(f"a document has {PER_DOCUMENT} passages: ask for a multiple of that")
    batch: list[Entry] = []
    recorded_at = datetime.now(UTC)
    for event in _documents(passages // PER_DOCUMENT):
        envelope = Envelope(event=event, recorded_at=recorded_at, commit="bench")
        batch.append(Entry(stream=stream_id("document", TENANT, event.document_id), version=1, envelope=envelope))
        if len(batch) == BATCH_MAX:
            journal.append(batch, leases={})
            batch = []
    if batch:
        journal.append(batch, leases={})


def _documents(count: int) -> Iterator[DocumentPublished]:
    rng = random.Random(SEED)
    for number in range(count):
        sections = (
            f"## Part {part}\n\n{' '.join(f'w{rng.randrange(_VOCABULARY)}' for _ in range(_WORDS))}.\n\n"
            for part in range(PER_DOCUMENT)
        )
        yield DocumentPublished(
            document_id=f"d{number:06}", version=1, title=f"Matter {number}", text="".join(sections)
        )
