"""A view that was edited behind the log's back is seen, and one that is only behind is not taken for it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.recorder import LogRecorder
from actors.shard import Shard
from domain.payment_saga import RecordFact
from projections.feed import SqliteFeed
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector
from projections.retrieval import AnyQuery, GetPayment, PaymentFound
from simulations.incident_damage import ViewCheck, damage
from tests.domain.examples import fact
from tests.worlds import TENANT, link, new_log, new_shard, numbered, of_payment

_queries = msgspec.msgpack.Decoder(list[AnyQuery]).decode


class Node:
    """A log, a view of it, and who answers for the view."""

    def __init__(self, directory: Path, recorder: LogRecorder) -> None:
        self.feed = SqliteFeed(str(directory / "log.sqlite"))
        self.shard: Shard = new_shard(recorder)
        self.directory = directory / "view"
        self.store = PaymentStore(self.directory)
        self.projector = Projector(self.feed, topics=TOPICS, store_of=lambda _: self.store)
        self.check = ViewCheck(self.query, lambda: self.projector.position, self.feed)

    def take_in(self) -> None:
        """Two payments, one refund each, of one under a reference that is linked later."""
        for number in (1, 2):
            self.shard.handle([of_payment(f"pi_{number}", RecordFact(fact=numbered(number, f"pi_{number}")))])
        self.refund(3, "pi_1", "re_1", "failed")
        self.refund(4, "CAP-2", "re_2", "succeeded")
        self.shard.handle([link("CAP-2", "pi_2")])

    def refund(self, number: int, key: str, refund_id: str, status: str) -> None:
        told = fact(f"stripe:evt_{number}", f"refund:{refund_id}", status, number, payment_id=key, amount_minor=1_900)
        self.shard.handle([of_payment(key, RecordFact(fact=told))])

    def project(self) -> None:
        while self.projector.position < self.feed.head():
            self.projector.run_once()

    async def query(self, tenant: str, batch: bytes) -> bytes:
        """As an index shard answers."""
        found = []
        for query in _queries(batch):
            assert isinstance(query, GetPayment)
            assert query.tenant == tenant
            payment = self.store.payment_at(query.payment_id, as_of=query.as_of, known_at=query.known_at)
            found.append(PaymentFound(position=self.projector.position, payment=payment))
        return msgspec.msgpack.encode(found)

    def restart(self) -> None:
        """What was in memory is gone."""
        self.store.close()
        self.store = PaymentStore(self.directory)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    recorder = new_log(tmp_path)
    node = Node(tmp_path, recorder)
    node.take_in()
    yield node
    node.store.close()
    recorder.datastore.close()


async def test_a_view_that_is_what_the_log_says_does_not_differ(node: Node) -> None:
    node.project()

    assert await node.check.differing(TENANT) == []


async def test_a_view_that_is_only_behind_does_not_differ(node: Node) -> None:
    node.project()
    node.refund(5, "pi_2", "re_3", "failed")

    assert await node.check.differing(TENANT) == []


async def test_an_edited_refund_is_seen_in_the_facts_and_in_the_list(node: Node) -> None:
    node.project()
    done = damage(node.directory / "facts.sqlite", {"pi_1"})
    node.restart()

    assert done.payments == ["pi_1"]
    assert [node.feed.read(each - 1, limit=1).entries[0].key for each in done.positions] == ["pi_1"]
    assert await node.check.differing(TENANT) == ["pi_1"]
    edited = node.store.payment("pi_1")
    assert edited is not None
    assert [part.status for part in edited.refunds] == ["succeeded"]


async def test_a_payment_that_the_view_lost_is_seen(node: Node) -> None:
    node.project()
    with node.store.store.reading() as connection:
        connection.execute("DELETE FROM facts WHERE reference='pi_1'")
        connection.execute("DELETE FROM payments WHERE payment_id='pi_1'")

    assert await node.check.differing(TENANT) == ["pi_1"]
