"""What an index answers while its projectors go on."""

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.index import KINDS, PAYMENTS, PROJECTIONS, ROLE, Index
from actors.journal import Journal
from actors.shard import Shard
from actors.tenants import Tenant, Tenants
from domain.codec import Submission, encode_submissions
from domain.document import PutDocument
from domain.ids import stream_id
from domain.payment_saga import RecordFact
from domain.sharding import BUCKET_COUNT, tenant_bucket_of
from projections.embedder import HashEmbedder
from projections.feed import SqliteFeed
from projections.retrieval import Gather, Gathered
from simulations.world_store import InterruptedEmbedder, MemoryVectors
from tests.domain.examples import PAYMENT, fact
from tests.spec import NOON
from tests.worlds import TENANT, new_log, new_shard, of_payment

AUTHORIZED = fact("e1", "intent", "authorized", 1, amount_minor=4900)
CAPTURED = fact("e2", "intent", "captured", 2, amount_minor=4900, captured_minor=4900)


class Interrupt:
    """Does nothing until it is told what to do, and that once."""

    def __init__(self) -> None:
        self.todo: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        todo, self.todo = self.todo, lambda: None
        todo()


def new_index(directory: Path, interrupt: Interrupt) -> Index:
    embedder, ids = HashEmbedder(), itertools.count()
    log = SqliteFeed(str(directory / "log.sqlite"))
    shard = Shard(
        Journal(new_log(directory)),
        KINDS,
        role=ROLE,
        buckets=range(BUCKET_COUNT),
        bucket=tenant_bucket_of,
        owner="test",
        clock=lambda: NOON,
        new_id=lambda: f"k{next(ids)}",
    )
    return Index(
        shard=shard,
        tenants=lambda decide: Tenants(
            directory,
            is_here=lambda _: True,
            embedder=embedder,
            decide=decide,
            feed=log,
            open_tenant=lambda path, name, generation, _: Tenant(
                path, name, generation, embedder, open_vectors=lambda _, __: MemoryVectors({})
            ),
        ),
        questions=InterruptedEmbedder(embedder, interrupt),
        feed_of=lambda: log,
        data=directory,
        name="0of1",
        incarnation="first",
        clock_s=lambda: 0.0,
    )


def test_payments_are_told_with_the_position_at_which_they_were_read(tmp_path: Path) -> None:
    interrupt = Interrupt()
    payments, index = new_shard(new_log(tmp_path)), new_index(tmp_path, interrupt)
    payments.handle([of_payment(PAYMENT, RecordFact(fact=AUTHORIZED))])
    # The question is embedded, and so the query interrupted, only where there is something to be found.
    put = PutDocument(document_id="d", title="Refunds", text="Refunds take five days.")
    index.handle(encode_submissions([Submission(stream=stream_id("document", TENANT, "d"), command=put)]))
    for projection in PROJECTIONS:
        index.turn(projection)

    def go_on() -> None:
        payments.handle([of_payment(PAYMENT, RecordFact(fact=CAPTURED))])
        index.turn(PAYMENTS)

    interrupt.todo = go_on
    query = Gather(tenant=TENANT, question="Where is my money?", object_ids=(PAYMENT,), top_k=1)
    [found] = msgspec.msgpack.decode(index.query(msgspec.msgpack.encode([query])), type=list[Gathered])

    [payment] = found.payments
    assert payment.view.status == "captured"
    assert found.position == payment.view.position
