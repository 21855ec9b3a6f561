"""The tenants of an index shard: a directory each, `tenants/<tenant>/g<generation>/`, opened on demand."""

import threading
from collections.abc import Callable
from pathlib import Path

from domain.codec import AnyCommand, Submission, decode_replies, encode_submissions
from domain.errors import RetryableError
from domain.ids import stream_id
from domain.index_generation import (
    ActivateGeneration,
    IndexDecider,
    IndexEvent,
    ReportCaughtUp,
    ReportChecked,
    StartGeneration,
)
from domain.message import Failed
from projections.embedder import TextEmbedder
from projections.feed import Feed
from projections.knowledge import KnowledgeStore
from projections.lexical import LexicalIndex, WordIndex
from projections.payment_view import PaymentStore
from projections.projector import Step, TenantStore
from projections.retrieval import TenantReader
from projections.store import Store
from projections.vectors import PassageIndex, VectorIndex, collection_name

_INDEX = IndexDecider()


class Tenant:
    """One tenant's open stores in its active generation."""

    def __init__(
        self,
        directory: Path,
        name: str,
        generation: int,
        embedder: TextEmbedder,
        *,
        open_vectors: Callable[[Path, str], PassageIndex] = VectorIndex,
        open_words: Callable[[Path], WordIndex] = LexicalIndex,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self.generation = generation
        of_generation = directory / f"g{generation}"
        self.payments = PaymentStore(of_generation)
        self.knowledge = KnowledgeStore(
            of_generation,
            vectors=open_vectors(of_generation / "vectors", collection_name(name, generation)),
            embedder=embedder,
            words=open_words(of_generation / "lexical"),
            at_point=at_point,
        )
        self.reader = TenantReader(self.payments, self.knowledge, generation)


class Tenants:
    """Opens tenants, each once.

    Args:
        data: the node's directory.
        is_here: whether a tenant belongs to this shard.
        embedder: for documents.
        decide: takes encoded commands to the shard that hosts the generations.
        feed: the log, to find the active generation in.
        open_tenant: opens the stores of a tenant's generation in a directory.
    """

    def __init__(
        self,
        data: Path,
        *,
        is_here: Callable[[str], bool],
        embedder: TextEmbedder,
        decide: Callable[[bytes], bytes],
        feed: Feed,
        open_tenant: Callable[[Path, str, int, TextEmbedder], Tenant] = Tenant,
    ) -> None:
        self._open_tenant = open_tenant
        self._data = data
        self.is_here = is_here
        self._embedder = embedder
        self._decide = decide
        self._feed = feed
        self._opening = threading.RLock()
        self._open: dict[str, Tenant] = {}

    def open(self, name: str) -> Tenant:
        """The tenant's stores in its active generation; a tenant without one gets its first."""
        tenant = self._open.get(name)
        if tenant is not None:
            return tenant
        with self._opening:
            if name not in self._open:
                assert self.is_here(name), f"{name} belongs to another index shard"
                if not self._active_generation(name):
                    self._activate_first(name)
                generation = self._active_generation(name)
                self._open[name] = self._open_tenant(self._data / "tenants" / name, name, generation, self._embedder)
            return self._open[name]

    def _active_generation(self, name: str) -> int:
        state = _INDEX.initial()
        for entry in self._feed.stream(stream_id("index", name, "generations")):
            event = entry.envelope().event
            assert isinstance(event, IndexEvent), f"{type(event).__name__} is in the stream of generations"
            state = _INDEX.evolve(state, event)
        return state.active

    def _activate_first(self, name: str) -> None:
        """An empty index has nothing to catch up with, so its first generation goes through its stages at once."""
        steps: list[AnyCommand] = [
            StartGeneration(generation=1, reason="the tenant's first"),
            ReportCaughtUp(generation=1, position=0),
            ReportChecked(generation=1, counts={}, checksum=""),
            ActivateGeneration(generation=1),
        ]
        stream = stream_id("index", name, "generations")
        batch = [Submission(stream=stream, command=step, command_id="first-generation") for step in steps]
        for reply in decode_replies(self._decide(encode_submissions(batch))):
            if isinstance(reply, Failed):
                raise RetryableError(f"the first generation of {name} cannot be started now: {reply.reason}")

    def resume_position(self, checkpoint: Store, store_of: Callable[[Tenant], TenantStore]) -> int:
        """Where a projector goes on: its checkpoint, or where the tenant stands that lost the most.

        A tenant's derived files may be gone, or, after a power loss, lie behind what they had reached: they are not
        fsynced with every commit.
        """
        with checkpoint.reading() as connection:
            reached = connection.execute("SELECT tenant, position FROM tenants").fetchall()
        resume = checkpoint.position()
        for name, position in reached:
            if self.is_here(name) and (stands := store_of(self.open(name)).store.position()) < position:
                resume = min(resume, stands)
        return resume

    def checkpoint(self, checkpoint: Store, step: Step, store_of: Callable[[Tenant], TenantStore]) -> None:
        """Remember how far the projector is, over all tenants and in those that changed."""
        reached = [(name, store_of(self.open(name)).store.position()) for name in step.changed]
        with checkpoint.writing(step.position) as connection:
            connection.executemany(
                "INSERT INTO tenants VALUES (?,?) ON CONFLICT (tenant) DO UPDATE SET position=excluded.position",
                reached,
            )
