"""Comparing all passages finds what an index would, and knows no other passages than the documents' file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.document import DocumentEvent, DocumentPublished, DocumentWithdrawn
from domain.ids import stream_id
from projections.embedder import HashEmbedder
from projections.exact_vectors import ExactIndex
from projections.knowledge import KnowledgeStore
from tests.worlds import TENANT, Entries

EMBEDDER = HashEmbedder()
FIVE = "Refunds reach the card within five working days."
TEN = "Refunds reach the card within ten working days."
PARKING = "Visitors may park behind the building."


def opened(directory: Path) -> KnowledgeStore:
    return KnowledgeStore(directory, vectors=ExactIndex(directory / "knowledge.sqlite"), embedder=EMBEDDER)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KnowledgeStore]:
    documents = opened(tmp_path)
    yield documents
    documents.close()


ENTRIES = Entries()


def tell(store: KnowledgeStore, *events: DocumentEvent) -> None:
    batch = [ENTRIES(stream_id("document", TENANT, event.document_id), event) for event in events]
    store.apply(batch, batch[-1].position)


def published(version: int, text: str, document_id: str = "refunds") -> DocumentPublished:
    return DocumentPublished(document_id=document_id, version=version, title=f"About {document_id}", text=text)


def found(store: KnowledgeStore, text: str = FIVE, top_k: int = 5) -> list[tuple[str, int]]:
    [hits] = store.index.query(EMBEDDER.embed([text]), top_k)
    return [(hit.document_id, hit.version) for hit in hits]


def test_the_nearest_comes_first_and_no_more_than_were_asked_for(store: KnowledgeStore) -> None:
    tell(store, published(1, PARKING, "parking"), published(1, FIVE), published(1, TEN, "slow"))

    assert found(store) == [("refunds", 1), ("slow", 1), ("parking", 1)]
    assert found(store, PARKING, top_k=1) == [("parking", 1)]


def test_passages_of_the_same_text_come_in_the_order_of_their_ids(store: KnowledgeStore) -> None:
    for name in ("c", "a", "b"):
        tell(store, DocumentPublished(document_id=name, version=1, title="", text=FIVE))

    assert [document_id for document_id, _ in found(store, top_k=2)] == ["a", "b"]


def test_each_question_is_answered_by_itself(store: KnowledgeStore) -> None:
    tell(store, published(1, FIVE), published(1, PARKING, "parking"))

    hits = store.index.query(EMBEDDER.embed([PARKING, FIVE]), 1)

    assert [each[0].document_id for each in hits] == ["parking", "refunds"]


def test_what_changes_is_known_at_once(store: KnowledgeStore) -> None:
    tell(store, published(1, FIVE), published(1, PARKING, "parking"))
    assert found(store)[0] == ("refunds", 1)

    tell(store, published(2, f"{TEN}\n\n## More\n\nOr later."))
    assert store.index.versions() == {"parking#0": 1, "refunds#0": 2, "refunds#1": 2}
    tell(store, DocumentWithdrawn(document_id="refunds", version=3))
    assert found(store) == [("parking", 1)]
    tell(store, published(4, FIVE))
    assert store.index.versions() == {"parking#0": 1, "refunds#0": 4}


def test_nothing_is_found_where_nothing_is(store: KnowledgeStore) -> None:
    assert found(store) == []
    assert store.index.versions() == {}


def test_what_was_closed_knows_the_same_when_it_is_opened_again(tmp_path: Path) -> None:
    before = opened(tmp_path)
    tell(before, published(1, FIVE), published(1, PARKING, "parking"))
    wanted = found(before)
    before.close()
    before.close()

    after = opened(tmp_path)
    assert found(after) == wanted
    after.close()
