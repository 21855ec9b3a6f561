"""Comparing all passages finds what an index would, and knows no other passages than the documents' file."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.document import DocumentEvent, DocumentPublished, DocumentWithdrawn
from domain.ids import stream_id
from projections.chunking import document_of
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
    version_of = store.index.versions()
    return [(hit.document_id, version_of[hit.chunk_id]) for hit in hits]


def versions(store: KnowledgeStore) -> list[tuple[str, int]]:
    """(document id, version) of every passage."""
    return sorted((document_of(each), version) for each, version in store.index.versions().items())


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
    assert versions(store) == [("parking", 1), ("refunds", 2), ("refunds", 2)]
    tell(store, DocumentWithdrawn(document_id="refunds", version=3))
    assert found(store) == [("parking", 1)]
    tell(store, published(4, FIVE))
    assert versions(store) == [("parking", 1), ("refunds", 4)]


@pytest.mark.long
def test_whatever_was_deleted_before_what_is_published_is_found_at_once(store: KnowledgeStore) -> None:
    rng = random.Random(5)
    versions_of: dict[str, int] = {}
    for _ in range(400):
        name = f"d{rng.randrange(40)}"
        version = versions_of[name] = versions_of.get(name, 0) + 1
        if version % 3 == 0:
            tell(store, DocumentWithdrawn(document_id=name, version=version))
            assert name not in {document_id for document_id, _ in found(store, top_k=100)}
            continue
        text = f"{name} has matter {rng.randrange(1_000_000)} in its version {version}."
        tell(store, published(version, text, name))
        assert found(store, f"About {name}\n{text}", top_k=1) == [(name, version)]


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
