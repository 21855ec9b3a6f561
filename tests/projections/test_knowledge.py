"""Only the newest version of a document that is not withdrawn is ever quoted, whatever was interrupted."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from domain.document import DocumentEvent, DocumentPublished, DocumentWithdrawn
from domain.ids import stream_id
from projections.embedder import EmbeddingCache, HashEmbedder, Vectors
from projections.feed import LogEntry
from projections.knowledge import TOPICS, DocumentView, KnowledgeStore, Passage
from projections.lexical import LexicalIndex
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
    changed = store.apply(batch, batch[-1].position)
    store.settle()
    return changed


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
    kept = vectors._passages.get(include=["embeddings"])
    apply(store, entry(entries, second))
    vectors._passages.upsert(ids=kept["ids"], embeddings=kept["embeddings"])
    assert store._vectors.query(EMBEDDER.embed([FIVE]), 1)[0][0].chunk_id == kept["ids"][0]

    assert [version for _, version, _ in quoted(store)] == [2] * (second != withdrawn(2))


def test_what_is_published_again_after_it_was_withdrawn_is_quoted(store: KnowledgeStore, entries: Entries) -> None:
    for event in (published(1, FIVE), withdrawn(2), published(3, FIVE)):
        apply(store, entry(entries, event))

    assert quoted(store) == [("refunds", 3, FIVE)]


class Crash(Exception):  # noqa: N818 - a death, not an error
    """The process ends here."""


@pytest.mark.parametrize("point", ["after_vectors", "after_words"])
@pytest.mark.parametrize(
    "second", [published(2, TEN), withdrawn(2), published(2, f"{TEN}\n\n## More\n\nOr sooner.\n\n## Less\n\nOr not.")]
)
def test_a_crash_between_the_indexes_and_the_checkpoint_shows_nothing_wrong_and_is_made_good(
    second: DocumentEvent, point: str, tmp_path: Path, entries: Entries
) -> None:
    def crash(reached: str) -> None:
        if reached == point:
            raise Crash

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
    restarted.settle()
    whole.settle()

    assert passages(restarted, top_k=20) == passages(whole, top_k=20)
    assert restarted.document("refunds") == whole.document("refunds")
    assert restarted.store.position() == 2
    for opened in (restarted, whole):
        opened.close()


@pytest.mark.parametrize("lost", ["lexical", "vectors"])
def test_an_index_that_is_lost_comes_again_from_what_is_kept(lost: str, tmp_path: Path, entries: Entries) -> None:
    before = new_store(tmp_path)
    many = [entry(entries, published(1, f"{PARKING} Gate {number}.", f"gate-{number}")) for number in range(450)]
    apply(before, *many, entry(entries, published(1, FIVE)), entry(entries, published(1, TEN, "gone")))
    apply(before, entry(entries, published(2, TEN)), entry(entries, withdrawn(2, "gone")))
    found = passages(before, top_k=1)
    versions = before.index.versions()
    before.close()
    shutil.rmtree(tmp_path / lost)

    after = new_store(tmp_path)
    after.settle()

    assert after.store.position() == 454
    assert after.index.versions() == after.words.versions() == versions
    assert passages(after, top_k=1) == found
    # What was withdrawn stays so, however late an older version comes.
    apply(after, many[0], entry(entries, published(1, TEN, "gone")))
    assert after.index.versions() == after.words.versions() == versions
    after.close()


def test_words_that_were_not_committed_when_the_process_was_killed_come_from_what_is_kept(
    tmp_path: Path, entries: Entries
) -> None:
    before = new_store(tmp_path)
    apply(before, entry(entries, published(1, FIVE)))
    # What tantivy had committed by then.
    shutil.copytree(tmp_path / "lexical", tmp_path / "committed")
    apply(before, entry(entries, published(2, TEN)), entry(entries, published(1, PARKING, "parking")))
    versions = before.words.versions()
    before.close()
    shutil.rmtree(tmp_path / "lexical")
    (tmp_path / "committed").rename(tmp_path / "lexical")

    after = new_store(tmp_path)
    after.settle()

    assert after.words.versions() == versions == after.index.versions()
    after.close()


class Wordless(HashEmbedder):
    """Knows no word with a digit in it, as a model of language does not know the number of an error or a product."""

    name = "wordless/1"

    def embed(self, texts: Sequence[str]) -> Vectors:
        return super().embed([re.sub(r"\w*\d\w*", "", text) for text in texts])


def test_what_its_words_alone_find_is_found_with_its_cosine(tmp_path: Path, entries: Entries) -> None:
    vectors = VectorIndex(tmp_path / "vectors", collection_name(TENANT, 1))
    store = KnowledgeStore(tmp_path, vectors=vectors, embedder=Wordless())
    events = [published(1, f"{PARKING} Gate {number}.", f"gate-{number}") for number in range(80)]
    apply(store, *(entry(entries, event) for event in events))
    apply(store, entry(entries, published(1, "Error E4711 is a card that was declined.", "errors")))
    question = "Visitors park behind the building: E4711"

    [found] = store.search([question], Wordless(), top_k=50)

    [of_words] = [each for each in found if each.document_id == "errors"]
    [asked] = Wordless().embed([question])
    [of_passage] = Wordless().embed([f"{of_words.heading}\n{of_words.text}"])
    assert of_words.score == pytest.approx(float(asked @ of_passage), abs=1e-5)
    store.close()


def test_what_was_just_published_is_found_before_its_words_are_committed(
    tmp_path: Path, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = LexicalIndex(tmp_path / "lexical")
    vectors = VectorIndex(tmp_path / "vectors", collection_name(TENANT, 1))
    store = KnowledgeStore(tmp_path, vectors=vectors, embedder=EMBEDDER, words=words)
    others = [published(1, f"A parcel of kind {number} is heavy.", f"kind-{number}") for number in range(8)]
    apply(store, *(entry(entries, event) for event in others))
    store.settle()
    held, write = threading.Event(), words._write
    monkeypatch.setattr(words, "_write", lambda *changes: (held.wait(), write(*changes)))

    news = entry(entries, published(1, "A parcel goes back to the warehouse after 14 days.", "parcels"))
    store.apply([news], news.position)
    [found] = store.search(["When does a parcel go back to the warehouse?"], EMBEDDER, top_k=3)

    assert words.uncommitted() == {"parcels"}
    assert found[0].document_id == "parcels"
    held.set()
    store.settle()
    assert not words.uncommitted()
    store.close()


def test_a_filter_is_applied_before_the_ranking(store: KnowledgeStore, entries: Entries) -> None:
    events = [published(1, FIVE, f"doc-{number:02}", lang="vi") for number in range(60)]
    apply(store, *(entry(entries, event) for event in events))
    apply(store, entry(entries, published(1, PARKING, "parking", lang="en", kind="place")))

    def found(**filters: str) -> set[str]:
        [of_question] = store.search([FIVE], EMBEDDER, top_k=5, filters=filters)
        return {each.document_id for each in of_question}

    assert found(lang="en") == found(lang="en", kind="place") == {"parking"}
    assert found(lang="vi", kind="place") == found(**{"lang') OR 1=1 --": "en"}) == set()
    assert len(found(lang="vi")) == 5
    apply(store, entry(entries, withdrawn(2, "parking")))
    assert found(lang="en") == set()


def test_a_changed_document_embeds_its_changed_passages_alone(tmp_path: Path, entries: Entries) -> None:
    cache = EmbeddingCache(EMBEDDER, tmp_path / "embeddings.sqlite")
    vectors = VectorIndex(tmp_path / "vectors", collection_name(TENANT, 1))
    store = KnowledgeStore(tmp_path, vectors=vectors, embedder=cache)
    text = "".join(f"## Part {number}\n\nThis is part {number}.\n\n" for number in range(30))
    apply(store, entry(entries, published(1, text)))
    assert cache.misses == 30

    apply(store, entry(entries, published(2, f"Before all parts.\n\n{text.replace('is part 7.', 'is the seventh.')}")))

    assert cache.misses == 32
    store.close()
    cache.close()


def test_an_event_of_another_kind_is_refused(store: KnowledgeStore, entries: Entries) -> None:
    with pytest.raises(AssertionError, match="none of"):
        apply(store, entries.link("ch_1", "pi_1"))
