"""An index shard that was replaced and still runs, and what its successor must never miss."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from actors.index import PAYMENTS
from actors.tenants import generation_directory
from domain.errors import FencedError
from projections.payment_view import TOPICS, PaymentStore
from projections.retrieval import AnyFound, GetDocument, GetPayment
from tests.actors.index_node import TENANT, Node


@pytest.fixture
def former(tmp_path: Path) -> Iterator[Node]:
    """One that has shown a payment, and has closed the tenant again, because it was asked of another since."""
    node = Node(tmp_path, tenants_open_max=1)
    node.pay(1)
    node.project()
    node.ask()
    node.ask(tenant="globex")
    node.tenants.close_oldest()
    yield node
    node.close()


@pytest.fixture
def owner(tmp_path: Path, former: Node) -> Iterator[Node]:
    """Its successor, with the tenant open."""
    node = Node(tmp_path)
    node.project()
    node.ask()
    yield node
    node.close()


def test_one_that_was_replaced_opens_no_tenant_and_its_successor_tells_what_changes(former: Node, owner: Node) -> None:
    owner.pay(2)

    with pytest.raises(FencedError):
        former.project()
    owner.project()

    assert any("pi_2" in changed.get(TENANT, ()) for _, changed in owner.told())


def applied_by_another(owner: Node) -> None:
    """A payment that somebody else applies: it opened the file after its owner, and took it so."""
    owner.pay(2)
    feed = owner.index._projections[PAYMENTS].feed
    other = PaymentStore(generation_directory(owner.tenants.directory(TENANT), 1))
    entries = feed.read(other.store.position(), limit=10, topics=TOPICS).entries
    assert "pi_2" in other.apply(entries, feed.head())
    other.close()


def test_what_another_applied_is_not_passed_over_in_silence(owner: Node) -> None:
    applied_by_another(owner)

    with pytest.raises(FencedError):
        owner.project()

    assert owner.index.fenced is not None
    assert all(changed != {TENANT: []} for _, changed in owner.told())


def payment(node: Node) -> AnyFound:
    queries = [GetPayment(tenant=TENANT, payment_id="pi_2")]
    [found] = msgspec.msgpack.decode(node.index.query(msgspec.msgpack.encode(queries)), type=list[AnyFound])
    return found


def document(node: Node) -> AnyFound:
    queries = [GetDocument(tenant=TENANT, document_id="refunds")]
    [found] = msgspec.msgpack.decode(node.index.query(msgspec.msgpack.encode(queries)), type=list[AnyFound])
    return found


ASKED = pytest.mark.parametrize("asked", [Node.ask, payment, document], ids=["question", "payment", "document"])


@ASKED
def test_nothing_is_answered_from_a_file_that_another_has_opened(owner: Node, asked: Callable[[Node], object]) -> None:
    applied_by_another(owner)

    with pytest.raises(FencedError):
        asked(owner)
    assert owner.index.fenced is not None


@ASKED
def test_one_that_was_replaced_answers_nothing_and_takes_no_tenant_from_its_successor(
    former: Node, owner: Node, asked: Callable[[Node], object]
) -> None:
    with pytest.raises(FencedError):
        asked(former)

    assert owner.ask().payments
    assert owner.index.fenced is None


def test_one_that_was_replaced_builds_nothing(former: Node, owner: Node) -> None:
    with pytest.raises(FencedError):
        former.tenants.open_generation(TENANT, 1, former.tenants.generations(TENANT))

    owner.project()
