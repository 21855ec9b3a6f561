"""An index shard in this process, turned by hand, over a log in a file that tests write to."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from actors.changes import AwaitChanges, Changes
from actors.index import KINDS, PROJECTIONS, ROLE, Index
from actors.journal import Journal
from actors.payment_shard import KINDS as PAYMENT_KINDS
from actors.recorder import LogRecorder, open_log
from actors.shard import Shard
from actors.tenants import Tenant, Tenants
from domain.codec import Submission
from domain.document import PutDocument, WithdrawDocument
from domain.ids import stream_id
from domain.message import Accepted
from domain.payment_saga import RecordFact
from domain.settings import IndexSettings
from domain.sharding import BUCKET_COUNT, bucket_of, tenant_bucket_of
from projections.embedder import EmbeddingCache, HashEmbedder, TextEmbedder, Vectors
from projections.feed import SqliteFeed
from projections.retrieval import AnyFound, Gather, Gathered
from tests.domain.examples import fact
from tests.worlds import Clock, ids

TENANT = "acme"
FIVE = "Refunds reach the card within five working days."
TEN = "Refunds reach the card within ten working days."
PARKING = "Visitors may park behind the building."


class Crash(BaseException):
    """The process ends here: nobody handles that."""


class Counting:
    """The hash embedder, which counts the texts that it turns into vectors."""

    def __init__(self, name: str = "hashed-words/1") -> None:
        self._embedder = HashEmbedder()
        self.name = name
        self.texts = 0

    def embed(self, texts: Any) -> Vectors:
        self.texts += len(texts)
        return self._embedder.embed(texts)


class Node:
    """An index shard in this process, whose projectors and builder are turned by hand, and a log to write to."""

    def __init__(self, data: Path, *, model: TextEmbedder | None = None, **options: Any) -> None:
        self.data = data
        log = str(data / "log.sqlite")
        self.recorder: LogRecorder = open_log(log)
        self.model = model or Counting()
        self.cache = EmbeddingCache(self.model, data / "embeddings.sqlite")
        clock = Clock()
        shard = Shard(
            Journal(self.recorder),
            KINDS,
            role=ROLE,
            buckets=range(BUCKET_COUNT),
            bucket=tenant_bucket_of,
            owner="test",
            clock=clock,
            new_id=ids("index"),
        )
        self._payments = Shard(
            Journal(self.recorder),
            PAYMENT_KINDS,
            role="payments",
            buckets=range(BUCKET_COUNT),
            bucket=bucket_of,
            owner="test",
            clock=clock,
            new_id=ids("payments"),
        )
        self.at_point: Callable[[str], None] = lambda point: None
        self.points: list[str] = []
        self.index = Index(
            shard=shard,
            tenants=lambda decide: Tenants(
                data,
                is_here=lambda _: True,
                embedder=self.cache,
                decide=decide,
                feed=SqliteFeed(log),
                open_tenant=partial(Tenant, at_point=self._at_point),
                settings=IndexSettings(**options),
            ),
            questions=self.model,
            feed_of=lambda: SqliteFeed(log),
            data=data,
            name="0of1",
            incarnation="test",
            clock_s=lambda: 0.0,
            at_point=self._at_point,
        )
        self.tenants = self.index._tenants

    def _at_point(self, point: str) -> None:
        self.points.append(point)
        self.at_point(point)

    def put(self, document_id: str, text: str, tenant: str = TENANT) -> None:
        self._accepted(
            self.index.shard,
            Submission(
                stream=stream_id("document", tenant, document_id),
                command=PutDocument(document_id=document_id, title=f"About {document_id}", text=text),
            ),
        )

    def withdraw(self, document_id: str, tenant: str = TENANT) -> None:
        stream = stream_id("document", tenant, document_id)
        self._accepted(self.index.shard, Submission(stream=stream, command=WithdrawDocument()))

    def pay(self, *numbers: int, tenant: str = TENANT) -> None:
        """Payment `pi_<number>` was captured, each in a fact of its own."""
        told = [
            fact(f"stripe:evt_{each}", f"charge:ch_{each}", "captured", each, payment_id=f"pi_{each}", amount_minor=900)
            for each in numbers
        ]
        self._accepted(
            self._payments,
            *(
                Submission(stream=stream_id("payment", tenant, each.payment_id), command=RecordFact(fact=each))
                for each in told
            ),
        )

    def _accepted(self, shard: Shard, *batch: Submission) -> None:
        assert all(isinstance(reply, Accepted) for reply in shard.handle(batch))

    def project(self) -> None:
        """Turn the projectors until they are at the end of the log."""
        for projection in PROJECTIONS:
            while self.index.turn(projection).is_behind:
                pass

    def build(self) -> None:
        """Turn the builder until it has nothing left to do."""
        while self.index.builder.step():
            pass

    def ask(self, question: str = FIVE, tenant: str = TENANT, payment: str = "pi_1") -> Gathered:
        queries = [Gather(tenant=tenant, question=question, object_ids=(payment,), top_k=3)]
        [found] = msgspec.msgpack.decode(self.index.query(msgspec.msgpack.encode(queries)), type=list[AnyFound])
        assert isinstance(found, Gathered)
        return found

    def told(self) -> list[tuple[str, dict[str, list[str]]]]:
        wanted = msgspec.msgpack.encode(AwaitChanges(after=0, timeout_s=0))
        changes = msgspec.msgpack.decode(self.index.changes(wanted), type=Changes)
        return [(each.projection, each.changed) for each in changes.changes]

    def stages(self, tenant: str = TENANT) -> dict[int, str]:
        generations = self.tenants.generations(tenant).generations
        return {number: each.stage for number, each in generations.items()}

    def directories(self, tenant: str = TENANT) -> list[str]:
        return sorted(path.name for path in self.tenants.directory(tenant).iterdir())

    def close(self) -> None:
        """As the end of its process: nothing is finished."""
        for place in self.tenants._places.values():
            if place.held is not None:
                place.held.tenant.close()
        self.index.builder.close()
        for each in self.index._projections.values():
            each.progress.close()
        self.cache.close()


def fill(node: Node) -> None:
    """Three documents, one of them withdrawn, one changed, and some payments, all visible."""
    node.put("refunds", TEN)
    node.put("parking", PARKING)
    node.put("gone", "This was never true of any refund.")
    node.put("refunds", FIVE)
    node.withdraw("gone")
    node.pay(*range(1, 30))
    node.project()
