"""A generation that is not the fold of the log, has lost a passage or finds a ghost is never promoted."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.document import DocumentPublished, DocumentWithdrawn
from domain.ids import stream_id
from projections import generation_checks, knowledge, payment_view
from projections.chunking import document_of
from projections.embedder import HashEmbedder, Vectors
from projections.exact_vectors import ExactIndex
from projections.generation_checks import Checks, Report, passages_of
from projections.knowledge import KnowledgeStore
from projections.payment_view import PaymentStore
from projections.projector import Projector
from projections.rebuild import Bounds
from projections.vectors import Hit, PassageIndex, VectorIndex
from tests.domain.examples import fact
from tests.projections.test_projector import Memory
from tests.worlds import TENANT, Entries

EMBEDDER = HashEmbedder()


class Spoilt(ExactIndex):
    """An index that has lost passages, or keeps finding one that is gone; as Chroma's graph does."""

    lost: frozenset[str] = frozenset()
    ghost: Hit | None = None

    def query(self, vectors: Vectors, top_k: int) -> list[list[Hit]]:
        return [
            [*([self.ghost] if self.ghost else []), *(hit for hit in hits if hit.chunk_id not in self.lost)]
            for hits in super().query(vectors, top_k)
        ]


class Generation:
    """A tenant's stores, filled from a log in memory."""

    def __init__(self, directory: Path, index: PassageIndex | None = None) -> None:
        self.entries = Entries()
        self.log = Memory([])
        self.index = Spoilt(directory / "knowledge.sqlite")
        self.payments = PaymentStore(directory)
        self.documents = KnowledgeStore(directory, vectors=index or self.index, embedder=EMBEDDER)

    def fill(self) -> None:
        for number in range(12):
            text = f"Matter {number} is settled within {number + 3} days of its {number}th hearing."
            self._document(DocumentPublished(document_id=f"d{number}", version=1, title=f"Matter {number}", text=text))
        self._document(DocumentWithdrawn(document_id="d3", version=2))
        for number in range(5):
            told = fact(f"evt_{number}", f"charge:ch_{number}", "captured", number, payment_id=f"pi_{number}")
            self.log.entries.append(self.entries.fact(told))
        early = fact("evt_9", "charge:ch_9", "captured", 9, payment_id="ch_9")
        self.log.entries.append(self.entries.fact(early))
        self.log.entries.append(self.entries.link("ch_9", "pi_1"))
        self._project()

    def publish(self, document_id: str, version: int, text: str) -> None:
        self._document(DocumentPublished(document_id=document_id, version=version, title="Matter", text=text))
        self._project()

    def _project(self) -> None:
        for topics, store in ((payment_view.TOPICS, self.payments), (knowledge.TOPICS, self.documents)):
            Projector(self.log, topics=topics, store_of={TENANT: store}.get).run_once()
        self.documents.settle()

    def _document(self, event: DocumentPublished | DocumentWithdrawn) -> None:
        self.log.entries.append(self.entries(stream_id("document", TENANT, event.document_id), event))

    def report(self, live: KnowledgeStore | None = None, catch_up: Callable[[], None] = lambda: None) -> Report:
        end = len(self.log.entries)
        bounds = Bounds(payments=end, documents=end)
        return Checks(self.payments, self.documents).report(
            self.log, TENANT, bounds, live=live, embedder=EMBEDDER, catch_up=catch_up
        )

    def rank_last(self, decoys: set[str]) -> None:
        """Passages that are found by their vectors, all of them, and behind others when asked for in words."""
        original = type(self.index).query
        self.index.query = lambda vectors, top_k: [  # type: ignore[method-assign]  # this index alone is worse
            sorted(hits, key=lambda hit: hit.chunk_id in decoys) for hits in original(self.index, vectors, top_k)
        ]

    def change(self, sql: str) -> None:
        part = self.documents if "documents" in sql or "chunks" in sql else self.payments
        with part.store.reading() as connection:
            connection.execute(sql)

    def passage_of(self, document_id: str) -> str:
        [passage] = [each for each, _, _ in passages_of(self.documents) if document_of(each) == document_id]
        return passage

    def close(self) -> None:
        self.payments.close()
        self.documents.close()


@pytest.fixture
def generation(tmp_path: Path) -> Iterator[Generation]:
    opened = Generation(tmp_path / "new")
    opened.fill()
    yield opened
    opened.close()


def test_what_is_the_fold_of_the_log_passes(generation: Generation, tmp_path: Path) -> None:
    again = Generation(tmp_path / "again")
    again.fill()

    report = generation.report(live=again.documents)

    assert report.faults == ()
    assert report.counts["documents"] == report.counts["passages"] == report.counts["golden"] == 11
    assert (report.counts["withdrawn"], report.counts["facts"], report.counts["payments"]) == (1, 6, 5)
    assert again.report() == Report(counts={**report.counts, "golden": 0}, checksum=report.checksum)
    again.close()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM facts WHERE position=(SELECT min(position) FROM facts)", "facts: 1 of 6 are missing"),
        ("DELETE FROM links", "links: 1 of 1 are missing"),
        ("DELETE FROM payments WHERE payment_id='pi_2'", "payments: 1 of 5 are missing: pi_2"),
        ("INSERT INTO payments SELECT 'pi_x', customer_id, status, occurred_at, body FROM payments LIMIT 1", "pi_x"),
        (
            "UPDATE payments SET body=(SELECT body FROM payments WHERE payment_id='pi_0') WHERE payment_id='pi_2'",
            "payments are not the fold of their facts: pi_2",
        ),
        ("DELETE FROM documents WHERE document_id='d4'", "documents: 1 of 11 are missing"),
        ("UPDATE documents SET is_withdrawn=0, version=1 WHERE document_id='d3'", "documents: 1 should not be there"),
        ("UPDATE documents SET version=9 WHERE document_id='d5'", "documents have no passage: d5"),
    ],
)
def test_what_is_not_the_fold_of_the_log_is_told(sql: str, said: str, generation: Generation) -> None:
    generation.change(sql)

    assert any(said in fault for fault in generation.report().faults)


def test_a_passage_that_its_own_vector_does_not_find_is_told(generation: Generation) -> None:
    lost = generation.passage_of("d7")
    generation.index.lost = frozenset({lost})

    assert generation.report().faults == (f"1 passages are not found by their own vectors: {lost}",)


def test_a_withdrawn_document_that_is_found_is_told(generation: Generation) -> None:
    generation.index.ghost = Hit(chunk_id="d3#0", document_id="d3", score=1.0)

    assert generation.report().faults == ("1 withdrawn documents are found: d3",)


def test_worse_answers_to_golden_questions_are_told(generation: Generation, tmp_path: Path) -> None:
    live = Generation(tmp_path / "live")
    live.fill()
    generation.rank_last({generation.passage_of(f"d{number}") for number in range(8) if number != 3})

    [fault] = generation.report(live=live.documents).faults

    assert fault.startswith("golden questions: mean reciprocal rank 0.")
    live.close()


def test_what_ranks_lower_beside_other_documents_is_compared_again_beside_the_same(
    generation: Generation, tmp_path: Path
) -> None:
    live = Generation(tmp_path / "live")
    live.fill()
    live.publish("d4", 2, "What was published meanwhile.")
    decoys = {generation.passage_of(f"d{number}") for number in range(8) if number != 3}
    generation.rank_last(decoys)

    def catch_up() -> None:
        generation.publish("d4", 2, "What was published meanwhile.")
        decoys.clear()

    assert generation.report(live=live.documents, catch_up=catch_up).faults == ()
    live.close()


@pytest.mark.model
def test_a_passage_that_the_graph_lost_is_compared_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = VectorIndex(tmp_path / "vectors", "acme__g2")
    generation = Generation(tmp_path, index)
    generation.fill()
    lost = generation.passage_of("d7")
    index._passages.update(ids=[lost], embeddings=-EMBEDDER.embed(["Nothing that anybody asks"]))
    monkeypatch.setattr(generation_checks, "BESIDE_MAX", 0)
    assert generation.report().faults == (f"1 passages are not found by their own vectors: {lost}",)

    monkeypatch.setattr(generation_checks, "BESIDE_MAX", 1)
    report = generation.report()

    assert (report.faults, report.counts["beside"]) == ((), 1)
    generation.close()
