"""A question about the past is shown the versions that were current then, and that never changes afterwards."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.document import DocumentEvent, DocumentPublished, DocumentWithdrawn
from domain.ids import stream_id
from projections.embedder import HashEmbedder
from projections.feed import LogEntry
from projections.knowledge import KnowledgeStore
from simulations.world_store import MemoryVectors, MemoryWords
from tests.spec import NOON
from tests.worlds import TENANT, Entries

EMBEDDER = HashEmbedder()
FIVE = "Refunds reach the card within five working days."
TEN = "Refunds reach the card within ten working days."
PARKING = "Visitors may park behind the building."


def opened(directory: Path) -> KnowledgeStore:
    return KnowledgeStore(directory, vectors=MemoryVectors({}), words=MemoryWords({}), embedder=EMBEDDER)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KnowledgeStore]:
    knowledge = opened(tmp_path)
    yield knowledge
    knowledge.close()


def published(version: int, text: str, document_id: str = "refunds", title: str = "") -> DocumentPublished:
    title = title or f"About {document_id}"
    return DocumentPublished(document_id=document_id, version=version, title=title, text=text)


def withdrawn(version: int, document_id: str = "refunds") -> DocumentWithdrawn:
    return DocumentWithdrawn(document_id=document_id, version=version)


def log(*events: DocumentEvent) -> list[LogEntry]:
    make = Entries()
    return [make(stream_id("document", TENANT, event.document_id), event) for event in events]


def quoted(store: KnowledgeStore, question: str = FIVE, top_k: int = 5, **past: Any) -> list[tuple[str, int, str]]:
    [found] = store.search([question], EMBEDDER, top_k=top_k, **past)
    return [(each.document_id, each.version, each.text) for each in found]


@pytest.mark.parametrize("batch_max", [1, 10])
def test_a_position_in_the_past_knows_the_version_that_was_current_then(batch_max: int, store: KnowledgeStore) -> None:
    entries = log(published(1, FIVE), published(2, TEN), withdrawn(3), published(4, PARKING))
    for start in range(0, len(entries), batch_max):
        batch = entries[start : start + batch_max]
        store.apply(batch, batch[-1].position)

    assert [quoted(store, known_at=position) for position in range(6)] == [
        [],
        [("refunds", 1, FIVE)],
        [("refunds", 2, TEN)],
        [],
        [("refunds", 4, PARKING)],
        [("refunds", 4, PARKING)],
    ]
    assert quoted(store) == [("refunds", 4, PARKING)]


def test_a_time_in_the_past_knows_the_version_that_was_published_by_then(store: KnowledgeStore) -> None:
    entries = log(published(1, FIVE), published(2, TEN), withdrawn(3))
    store.apply(entries, 3)
    times = [entry.envelope().recorded_at for entry in entries]

    assert quoted(store, as_of=NOON) == []
    assert quoted(store, as_of=times[0]) == [("refunds", 1, FIVE)]
    assert quoted(store, as_of=times[1]) == [("refunds", 2, TEN)]
    assert quoted(store, as_of=times[2]) == []
    assert quoted(store, as_of=times[2], known_at=2) == [("refunds", 2, TEN)]
    assert quoted(store, as_of=times[0], known_at=2) == [("refunds", 1, FIVE)]


def test_the_past_at_the_head_is_the_present(store: KnowledgeStore) -> None:
    entries = log(published(1, FIVE), published(1, PARKING, "parking"), published(2, TEN), published(1, TEN, "more"))
    store.apply(entries, 4)

    [past] = store.search([FIVE], EMBEDDER, top_k=3, known_at=4)
    [present] = store.search([FIVE], EMBEDDER, top_k=3)

    assert {(each.document_id, each.version, each.text) for each in past} == {
        (each.document_id, each.version, each.text) for each in present
    }
    assert [round(each.score, 4) for each in past] == [round(each.score, 4) for each in present]


def test_equal_passages_stand_in_the_order_of_their_documents(store: KnowledgeStore) -> None:
    names = [f"doc-{number:02}" for number in range(30)]
    entries = log(*(published(1, FIVE, name, title="Refunds") for name in reversed(names)))
    for entry in entries:
        store.apply([entry], entry.position)

    [found] = store.search([FIVE], EMBEDDER, top_k=4, known_at=30)

    assert [each.document_id for each in found] == names[:4]


def test_more_passages_than_are_compared_at_once_are_all_compared(
    store: KnowledgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.document_history._ROWS_MAX", 3)
    events = [published(1, f"Paragraph {number} says this.", f"doc-{number}") for number in range(10)]
    store.apply(log(*events, published(1, FIVE)), 11)

    assert quoted(store, FIVE, top_k=1, known_at=11) == [("refunds", 1, FIVE)]
    assert len(quoted(store, FIVE, top_k=20, known_at=11)) == 11


def test_a_file_of_another_layout_is_emptied_and_comes_again_from_the_log(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.apply(log(published(1, FIVE)), 1)
    with store.store.reading() as connection:
        connection.execute("PRAGMA user_version=1")
    store.close()

    again = opened(tmp_path)

    assert (again.store.position(), quoted(again, known_at=1)) == (0, [])
    again.apply(log(published(1, FIVE)), 1)
    assert quoted(again, known_at=1) == [("refunds", 1, FIVE)]
    again.close()


NAMES = ["a", "b"]


def history(steps: Sequence[tuple[str, str]]) -> list[LogEntry]:
    """Documents with texts, withdrawn where a text is empty."""
    versions = dict.fromkeys(NAMES, 0)
    events: list[DocumentEvent] = []
    for name, text in steps:
        versions[name] += 1
        events.append(published(versions[name], text, name) if text else withdrawn(versions[name], name))
    return log(*events)


STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["", FIVE, TEN, PARKING])), min_size=1, max_size=8)


@pytest.mark.long
@given(STEPS, st.data())
@settings(max_examples=15)
def test_what_was_quoted_at_a_position_never_changes_and_is_so_after_a_rebuild_in_other_batches(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]], data: st.DataObject
) -> None:
    entries = history(steps)
    directory = tmp_path_factory.mktemp("documents")
    first, rebuilt = opened(directory / "first"), opened(directory / "rebuilt")
    said = {0: first.search([FIVE], EMBEDDER, top_k=3, known_at=0)}
    for entry in entries:
        first.apply([entry], entry.position)
        said[entry.position] = first.search([FIVE], EMBEDDER, top_k=3, known_at=entry.position)
    remaining = entries
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        rebuilt.apply(remaining[:size], remaining[size - 1].position)
        remaining = remaining[size:]

    for position, passages in said.items():
        assert first.search([FIVE], EMBEDDER, top_k=3, known_at=position) == passages
        assert rebuilt.search([FIVE], EMBEDDER, top_k=3, known_at=position) == passages
        current = {name: text for name, text in dict(steps[:position]).items() if text}
        assert {each.document_id: each.text for each in passages[0]} == current
    first.close()
    rebuilt.close()
