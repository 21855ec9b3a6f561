"""An index shard without threads: its log in a file, hashed words for vectors, processes that die at a point."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from actors.index import DOCUMENTS, KINDS, PAYMENTS, ROLE, Index
from actors.journal import Journal
from actors.recorder import open_log
from actors.shard import Shard
from actors.tenants import Tenant, Tenants
from domain.codec import Submission, decode_replies, encode_submissions
from domain.document import DocumentCommand
from domain.ids import stream_id
from domain.message import Reply
from domain.sharding import BUCKET_COUNT, tenant_bucket_of
from projections.embedder import DIMENSIONS, HashEmbedder, TextEmbedder, Vectors
from projections.feed import SqliteFeed
from projections.knowledge import Passage
from projections.retrieval import AnyFound, AnyQuery, Gather, Gathered
from simulations.world_store import MemoryVectors, MemoryWords
from tests.worlds import TENANT, Clock, ids


class Memory(HashEmbedder):
    """Hashed words, each text once."""

    def __init__(self) -> None:
        self._known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(missing, super().embed(missing), strict=True))
        return np.array([self._known[text] for text in texts], dtype=np.float32).reshape(len(texts), DIMENSIONS)


class Crash(BaseException):
    """The process ends here; no event is blamed for it."""


class IndexWorld:
    """A directory with a log, and one index shard after the other that owns it. `kept` is what is in memory of them."""

    def __init__(self, directory: Path, *, embedder: TextEmbedder | None = None, in_files: bool = False) -> None:
        self.directory = directory
        self._embedder = Memory() if embedder is None else embedder
        self._in_files = in_files
        self._kept: dict[str, dict[str, Any]] = {}
        self._clock, self._new_id = Clock(), ids("index")
        self.tenant: Tenant | None = None
        self.start()

    def start(self, at_point: Callable[[str], None] = lambda point: None) -> None:
        """A new process; `at_point` may end it."""
        self.close()
        log = str(self.directory / "log.sqlite")
        shard = Shard(
            Journal(open_log(log)),
            KINDS,
            role=ROLE,
            buckets=range(BUCKET_COUNT),
            bucket=tenant_bucket_of,
            owner=self._new_id(),
            clock=self._clock,
            new_id=self._new_id,
        )

        def open_tenant(directory: Path, name: str, generation: int, embedder: TextEmbedder) -> Tenant:
            in_memory: dict[str, Any] = {
                "open_vectors": lambda path, name: MemoryVectors(self._kept.setdefault(f"{path}/{name}", {})),
                "open_words": lambda path: MemoryWords(self._kept.setdefault(str(path), {})),
            }
            places = {} if self._in_files else in_memory
            self.tenant = Tenant(directory, name, generation, embedder, at_point=at_point, **places)
            return self.tenant

        self.index = Index(
            shard=shard,
            tenants=lambda decide: Tenants(
                self.directory,
                is_here=lambda _: True,
                embedder=self._embedder,
                decide=decide,
                feed=SqliteFeed(log),
                open_tenant=open_tenant,
            ),
            questions=self._embedder,
            feed_of=lambda: SqliteFeed(log),
            data=self.directory,
            name="0of1",
            incarnation=self._new_id(),
            clock_s=lambda: 0.0,
            at_point=at_point,
        )

    def submit(self, commands: Sequence[DocumentCommand]) -> list[Reply]:
        """Decide about documents in one batch."""
        batch = [
            Submission(stream=stream_id("document", TENANT, command.document_id), command=command)
            for command in commands
        ]
        return decode_replies(self.index.handle(encode_submissions(batch)))

    def project(self) -> int:
        """Apply everything that is in the log; the position then."""
        for projection in (PAYMENTS, DOCUMENTS):
            while (turn := self.index.turn(projection)).is_behind:
                pass
        return turn.step.position

    def search(self, question: str, *, top_k: int = 5, **options: Any) -> list[Passage]:
        """What a question finds, as a shard answers it."""
        found = self.ask(Gather(tenant=TENANT, question=question, top_k=top_k, **options))
        assert isinstance(found, Gathered), found
        return found.passages

    def ask(self, query: AnyQuery) -> AnyFound:
        """One query and its reply."""
        replies = self.index.query(msgspec.msgpack.encode([query]))
        [found] = msgspec.msgpack.decode(replies, type=list[AnyFound])
        return found

    def close(self) -> None:
        if self.tenant is not None:
            self.tenant.knowledge.close()
            self.tenant.payments.store.close()
            self.tenant = None
