"""From its commit on a withdrawn document is not quoted, although the projection still has it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.document import PutDocument, WithdrawDocument
from domain.message import Accepted
from projections.retrieval import DocumentFound, GetDocument
from tests.actors.index_worlds import Crash, IndexWorld
from tests.worlds import TENANT

FIVE = "Refunds reach the card within five working days."


@pytest.fixture
def world(tmp_path: Path) -> Iterator[IndexWorld]:
    made = IndexWorld(tmp_path)
    made.submit([put("refunds"), put("parking", "Visitors may park behind the building.")])
    made.project()
    yield made
    made.close()


def put(document_id: str, text: str = FIVE, **metadata: str) -> PutDocument:
    return PutDocument(document_id=document_id, title=f"About {document_id}", text=text, metadata=metadata)


def quoted(world: IndexWorld, **options: int) -> list[str]:
    return [each.document_id for each in world.search(FIVE, **options)]


def document(world: IndexWorld) -> str | None:
    found = world.ask(GetDocument(tenant=TENANT, document_id="refunds"))
    assert isinstance(found, DocumentFound)
    return None if found.document is None else found.document.text


def test_it_is_gone_before_it_is_projected_and_afterwards(world: IndexWorld) -> None:
    [reply] = world.submit([WithdrawDocument(document_id="refunds")])

    assert isinstance(reply, Accepted)
    assert (quoted(world), document(world)) == (["parking"], None)
    world.project()
    assert (quoted(world), document(world)) == (["parking"], None)


def test_the_past_still_has_it(world: IndexWorld) -> None:
    known_at = world.project()
    world.submit([WithdrawDocument(document_id="refunds")])

    assert quoted(world, known_at=known_at) == ["refunds", "parking"]


def test_a_process_that_starts_between_commit_and_projection_knows_it(world: IndexWorld) -> None:
    world.submit([WithdrawDocument(document_id="refunds")])

    world.start()

    assert quoted(world) == ["parking"]


def test_what_is_published_again_is_quoted_once_it_is_projected(world: IndexWorld) -> None:
    world.submit([WithdrawDocument(document_id="refunds"), put("refunds", f"{FIVE} Or sooner.")])
    assert quoted(world) == ["parking"]

    world.project()

    assert quoted(world) == ["refunds", "parking"]


def test_one_that_was_refused_hides_nothing(world: IndexWorld) -> None:
    world.submit([WithdrawDocument(document_id="unknown")])

    assert quoted(world) == ["refunds", "parking"]


def test_a_filter_reaches_the_documents(world: IndexWorld) -> None:
    world.submit([put("policy", kind="policy", lang="en")])
    world.project()

    found = world.search(FIVE, filters={"kind": "policy"})

    assert [each.document_id for each in found] == ["policy"]
    assert world.search(FIVE, filters={"kind": "policy", "lang": "vi"}) == []


def test_a_crash_while_it_is_projected_brings_nothing_back(world: IndexWorld) -> None:
    def crash(point: str) -> None:
        if point == "after_vectors":
            raise Crash

    world.start(crash)
    world.submit([WithdrawDocument(document_id="refunds")])
    with pytest.raises(Crash):
        world.project()
    assert quoted(world) == ["parking"]

    world.start()

    assert quoted(world) == ["parking"]
    world.project()
    assert quoted(world) == ["parking"]
