"""Only the newest version of a document that is not withdrawn is ever quoted, whatever was interrupted."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.document import DocumentEvent, DocumentPublished, DocumentWithdrawn
from domain.ids import stream_id
from projections.embedder import HashEmbedder
from projections.feed import LogEntry
from projections.knowledge import TOPICS, DocumentView, KnowledgeStore, Passage
from projections.projector import Projector
from projections.vectors import VectorIndex, collection_name
from tests.projections.test_projector import Memory
from tests.worlds import TENANT, Entries

# Chroma takes over a second to import and to open, which the unit tier does not have.
pytestmark = pytest.mark.model

EMBEDDER = HashEmbedder()
FIVE = "Refunds reach the card within five working days."
TEN = "Refunds reach the card within ten working days."
PARKING = "Visitors may park behind the building."


@pytest.fixture
def entries() -> Entries:
    return Entries()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KnowledgeStore]:
    opened = new_store(tmp_path)
    yield opened
    opened.close()


def new_store(directory: Path, at_point: Callable[[str], None] = lambda point: None) -> KnowledgeStore:
    vectors = VectorIndex(directory / "vectors", collection_name(TENANT, 1))
    return KnowledgeStore(directory, vectors=vectors, embedder=EMBEDDER, at_point=at_point)


def entry(entries: Entries, event: DocumentEvent) -> LogEntry:
    return entries(stream_id("document", TENANT, event.document_id), event)


def published(version: int, text: str, document_id: str = "refunds", **fields: str) -> DocumentPublished:
    return DocumentPublished(
        document_id=document_id, version=version, title=f"About {document_id}", text=text, metadata=fields
    )


def withdrawn(version: int, document_id: str = "refunds") -> DocumentWithdrawn:
    return DocumentWithdrawn(document_id=document_id, version=version)


def apply(store: KnowledgeStore, *batch: LogEntry) -> set[str]:
    return store.apply(batch, batch[-1].position)


def passages(store: KnowledgeStore, question: str = FIVE, top_k: int = 5) -> list[Passage]:
    (found,) = store.search([question], EMBEDDER, top_k=top_k)
    return found


def quoted(store: KnowledgeStore, question: str = FIVE) -> list[tuple[str, int, str]]:
    return [(each.document_id, each.version, each.text) for each in passages(store, question)]


def test_a_document_is_found_by_its_words_best_first(store: KnowledgeStore, entries: Entries) -> None:
    changed = apply(
        store, entry(entries, published(1, PARKING, "parking")), entry(entries, published(1, FIVE, lang="en"))
    )

    best, worst = passages(store)

    assert (best.document_id, best.title, best.text) == ("refunds", "About refunds", FIVE)
    assert best.heading.startswith("About refunds")
    assert 1 >= best.score > worst.score
    assert changed == {"document:refunds", "document:parking"}
    assert store.document("refunds") == DocumentView(
        document_id="refunds", version=1, title="About refunds", text=FIVE, metadata={"lang": "en"}, position=2
    )


def test_several_questions_are_answered_each_by_itself(store: KnowledgeStore, entries: Entries) -> None:
    apply(store, entry(entries, published(1, PARKING, "parking")), entry(entries, published(1, FIVE)))

    refunds, parking = store.search([FIVE, PARKING], EMBEDDER, top_k=1)

    assert ([each.document_id for each in refunds], [each.document_id for each in parking]) == (
        ["refunds"],
        ["parking"],
    )
    assert store.search([], EMBEDDER, top_k=1) == []


def test_without_documents_nothing_is_found(store: KnowledgeStore) -> None:
    assert passages(store) == []
    assert (store.document("refunds"), store.document_count()) == (None, 0)


@pytest.mark.parametrize("in_batches", [1, 10])
def test_only_the_newest_version_is_quoted(in_batches: int, store: KnowledgeStore, entries: Entries) -> None:
    log = [
        entry(entries, published(1, f"{FIVE}\n\n## More\n\n{FIVE} Or sooner.")),
        entry(entries, published(2, PARKING)),
        entry(entries, published(3, TEN)),
    ]
    for start in range(0, len(log), in_batches):
        apply(store, *log[start : start + in_batches])

    assert quoted(store) == [("refunds", 3, TEN)]
    assert store.document_count() == 1


@pytest.mark.parametrize("in_batches", [1, 10])
def test_what_is_withdrawn_is_never_quoted(in_batches: int, store: KnowledgeStore, entries: Entries) -> None:
    log = [
        entry(entries, published(1, FIVE)),
        entry(entries, published(1, PARKING, "parking")),
        entry(entries, withdrawn(2)),
    ]
    for start in range(0, len(log), in_batches):
        apply(store, *log[start : start + in_batches])

    assert quoted(store) == [("parking", 1, PARKING)]
    assert (store.document("refunds"), store.document_count()) == (None, 1)


@pytest.mark.parametrize("second", [withdrawn(2), published(2, PARKING)])
def test_a_vector_that_lingers_is_not_quoted(second: DocumentEvent, store: KnowledgeStore, entries: Entries) -> None:
    """An index of vectors is not believed: what it finds is looked up among the current versions."""
    apply(store, entry(entries, published(1, FIVE)))
    vectors = store._vectors
    assert isinstance(vectors, VectorIndex)
    kept = vectors._passages.get(include=["embeddings", "metadatas"])
    apply(store, entry(entries, second))
    vectors._passages.upsert(ids=["refunds#lingers"], embeddings=kept["embeddings"], metadatas=kept["metadatas"])
    assert store._vectors.query(EMBEDDER.embed([FIVE]), 1)[0][0].version == 1

    assert [version for _, version, _ in quoted(store)] == [2] * (second != withdrawn(2))


def test_what_is_published_again_after_it_was_withdrawn_is_quoted(store: KnowledgeStore, entries: Entries) -> None:
    for event in (published(1, FIVE), withdrawn(2), published(3, FIVE)):
        apply(store, entry(entries, event))

    assert quoted(store) == [("refunds", 3, FIVE)]


class Crash(Exception):  # noqa: N818 - a death, not an error
    """The process ends here."""


def crash(point: str) -> None:
    assert point == "after_vectors"
    raise Crash


@pytest.mark.parametrize(
    "second", [published(2, TEN), withdrawn(2), published(2, f"{TEN}\n\n## More\n\nOr sooner.\n\n## Less\n\nOr not.")]
)
def test_a_crash_between_vectors_and_checkpoint_shows_nothing_wrong_and_is_made_good(
    second: DocumentEvent, tmp_path: Path, entries: Entries
) -> None:
    log = Memory([entry(entries, published(1, f"{FIVE}\n\n## More\n\nBanks differ.")), entry(entries, second)])
    before = new_store(tmp_path)
    apply(before, log.entries[0])
    before.close()
    dying = new_store(tmp_path, at_point=crash)
    with pytest.raises(Crash):
        apply(dying, log.entries[1])
    # Whoever asks now is told nothing that is out of date.
    assert {version for _, version, _ in quoted(dying)} <= {1}
    assert (dying.store.position(), dying.document_count()) == (1, 1)
    dying.close()

    restarted = new_store(tmp_path)
    Projector(log, topics=TOPICS, store_of={TENANT: restarted}.get).run_once()
    whole = new_store(tmp_path / "whole")
    Projector(log, topics=TOPICS, store_of={TENANT: whole}.get).run_once()

    assert passages(restarted) == passages(whole)
    assert restarted.document("refunds") == whole.document("refunds")
    assert restarted.store.position() == 2
    for opened in (restarted, whole):
        opened.close()


def test_an_event_of_another_kind_is_refused(store: KnowledgeStore, entries: Entries) -> None:
    with pytest.raises(AssertionError, match="none of"):
        apply(store, entries.link("ch_1", "pi_1"))
