"""The asking side of a node without Ray: a log, an index shard with its tenants' directories, the asker and its ledger.

Everything is production's but the model that embeds and where its vectors lie.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.index import KINDS as INDEX_KINDS
from actors.index import PROJECTIONS, Index
from actors.journal import Journal
from actors.payment_shard import KINDS
from actors.recorder import LogRecorder
from actors.tenants import Tenant, Tenants
from domain.codec import Submission
from domain.document import PutDocument
from domain.fact import Fact
from domain.ids import stream_id
from domain.message import Failed, Trace
from domain.payment_saga import LinkPayment, RecordFact
from domain.settings import AskSettings
from gateway.asking import AnswerJson, Asker, AskRequest
from gateway.changes import Listener
from gateway.composing import Composer
from gateway.ledger import Ledger
from projections.embedder import HashEmbedder, TextEmbedder
from projections.feed import SqliteFeed
from simulations.world_store import MemoryVectors
from tests.worlds import Clock, ids, new_log, new_shard


class AskingWorld:
    """Payments and documents of any tenants, and whoever asks about them."""

    def __init__(
        self, directory: Path, recorder: LogRecorder, *, composer: Composer | None = None, min_score: float = 0.2
    ) -> None:
        self.recorder = recorder
        self._feed_file = str(directory / "log.sqlite")
        self.clock = Clock()
        self.shard = new_shard(recorder, kinds={**KINDS, **INDEX_KINDS}, clock=self.clock)
        embedder = HashEmbedder()
        vectors: dict[str, Any] = {}

        def open_tenant(directory: Path, name: str, generation: int, embedder: TextEmbedder) -> Tenant:
            def open_vectors(_: Path, collection: str) -> MemoryVectors:
                return MemoryVectors(vectors.setdefault(collection, {}))

            return Tenant(directory, name, generation, embedder, open_vectors=open_vectors)

        self.index = Index(
            shard=self.shard,
            tenants=lambda decide: Tenants(
                directory,
                is_here=lambda _: True,
                embedder=embedder,
                decide=decide,
                feed=self._feed(),
                open_tenant=open_tenant,
            ),
            questions=embedder,
            feed_of=self._feed,
            data=directory,
            name="0of1",
            incarnation="first",
            clock_s=lambda: 0.0,
        )
        self.ledger = Ledger(Journal(recorder), node="gateway", clock=self.clock, new_id=ids("ledger"))
        self.asker = Asker(
            call_of=lambda _: self._call,
            # Nobody listens: every answer is computed.
            listener_of=lambda _: Listener(
                self._call, on_change=lambda _: None, on_missed=lambda: None, clock_s=lambda: 0.0
            ),
            ledger=self.ledger,
            settings=AskSettings(linger_ms=0.0, min_score=min_score),
            clock=self.clock,
            new_id=ids("answer"),
            composer=composer,
        )

    def _feed(self) -> SqliteFeed:
        return SqliteFeed(self._feed_file)

    async def _call(self, method: str, payload: bytes) -> bytes:
        assert method == "query"
        return self.index.query(payload)

    def pay(self, tenant: str, facts: Iterable[Fact]) -> None:
        self._tell(
            Submission(stream=stream_id("payment", tenant, fact.payment_id), command=RecordFact(fact=fact))
            for fact in facts
        )

    def link(self, tenant: str, payment_of: Mapping[str, str]) -> None:
        """References and their payments."""
        self._tell(
            Submission(stream=stream_id("payment", tenant, reference), command=LinkPayment(payment_id=payment_id))
            for reference, payment_id in payment_of.items()
        )

    def publish(self, tenant: str, document_id: str, text: str, metadata: Mapping[str, str] | None = None) -> None:
        command = PutDocument(document_id=document_id, title=document_id, text=text, metadata=metadata or {})
        self._tell([Submission(stream=stream_id("document", tenant, document_id), command=command)])

    def _tell(self, submissions: Iterable[Submission]) -> None:
        replies = self.shard.handle(list(submissions))
        assert not [reply for reply in replies if isinstance(reply, Failed)]

    def settle(self) -> None:
        """Project all that is in the log."""
        for projection in PROJECTIONS:
            while self.index.turn(projection).is_behind:
                continue

    async def ask(self, tenant: str, question: str, **fields: Any) -> AnswerJson:
        return await self.asker.ask(tenant, self.request(question, **fields), Trace(correlation_id="c-1"))

    def request(self, question: str, **fields: Any) -> AskRequest:
        return AskRequest(question=question, **fields)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AskingWorld]:
    """One whose log is in the test's own directory."""
    recorder = new_log(tmp_path)
    yield AskingWorld(tmp_path, recorder)
    recorder.datastore.close()
