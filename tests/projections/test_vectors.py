"""The vector index ends in the newest versions, whatever was repeated, reordered, withdrawn or cut off in between."""

import random
import subprocess
import sys
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.errors import TerminalError
from projections.chunking import Chunk, chunks
from projections.embedder import HashEmbedder, Vectors
from projections.vectors import BATCH_MAX, VectorIndex, collection_name

# Chroma takes over a second to import and to open, which the unit tier does not have.
pytestmark = pytest.mark.model

ROOT = Path(__file__).resolve().parents[2]
EMBEDDER = HashEmbedder()
NAME = collection_name("acme", 1)


def passages(document_id: str, version: int, count: int) -> Sequence[Chunk]:
    """A version of a document with so many passages, each a section with words of its own."""
    sections = (f"## Part {ordinal}\n\n{document_id} version{version} part{ordinal}\n\n" for ordinal in range(count))
    return chunks(document_id, version, document_id, "".join(sections))


def embedded(parts: Iterable[Chunk]) -> list[tuple[Chunk, Vectors]]:
    listed = list(parts)
    return list(zip(listed, EMBEDDER.embed([each.embedded for each in listed]), strict=True))


def put(index: VectorIndex, document_id: str, version: int, count: int, position: int) -> None:
    parts = passages(document_id, version, count)
    index.replace_document(document_id, version, parts, EMBEDDER.embed([each.embedded for each in parts]), position)


def ids(document_id: str, version: int, count: int) -> list[str]:
    return [each.chunk_id for each in passages(document_id, version, count)]


def expected(*documents: tuple[str, int, int]) -> dict[str, int]:
    return {each: version for name, version, count in documents for each in ids(name, version, count)}


def found(index: VectorIndex, text: str, top_k: int = 5) -> list[str]:
    return [hit.chunk_id for hit in index.query(EMBEDDER.embed([text]), top_k)[0]]


class Crash(Exception):  # noqa: N818 - a death, not an error
    """The process ends here."""


class Dying:
    """A collection, or the file of records, whose process dies at the write after `writes` more."""

    def __init__(self, whole: Any, writes: list[int]) -> None:
        self._whole = whole
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        if name in {"upsert", "delete", "executemany"}:
            if self._writes[0] == 0:
                raise Crash
            self._writes[0] -= 1
        return getattr(self._whole, name)


def forget(index: VectorIndex) -> None:
    if ids := index._passages.get(include=[])["ids"]:
        index._passages.delete(ids=ids)
    index._records.execute("DELETE FROM documents")
    index._records.execute("UPDATE reached SET position=0")


def dying(index: VectorIndex, writes: int) -> VectorIndex:
    left = [writes]
    index._passages = Dying(index._passages, left)  # type: ignore[assignment] # stands before the real one
    index._records = Dying(index._records, left)  # type: ignore[assignment] # as above
    return index


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Path]:
    """One Chroma for all tests of the module, kept open: opening one costs more than what most tests do in it."""
    place = tmp_path_factory.mktemp("vectors")
    first = VectorIndex(place, "held-open")
    yield place
    first.close()


@pytest.fixture
def index(directory: Path, request: pytest.FixtureRequest) -> Iterable[VectorIndex]:
    opened = VectorIndex(directory, f"{sha256(request.node.name.encode()).hexdigest()[:16]}__g1")
    yield opened
    opened.close()


def test_importing_the_module_does_not_import_chroma() -> None:
    program = "import sys, projections.vectors; print('chromadb' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_the_nearest_passages_come_first_with_their_cosine(index: VectorIndex) -> None:
    put(index, "refunds", 1, 4, position=1)
    put(index, "shipping", 3, 2, position=2)
    questions = EMBEDDER.embed([passages("refunds", 1, 4)[2].embedded, passages("shipping", 3, 2)[0].embedded])

    first, second = index.query(questions, top_k=3)

    assert [(hit.chunk_id, hit.document_id) for hit in (first[0], second[0])] == [
        (ids("refunds", 1, 4)[2], "refunds"),
        (ids("shipping", 3, 2)[0], "shipping"),
    ]
    assert first[0].score == pytest.approx(1.0, abs=1e-5)
    other = EMBEDDER.embed(
        [next(part.embedded for part in passages("refunds", 1, 4) if part.chunk_id == first[1].chunk_id)]
    )
    assert first[1].score == pytest.approx(float(questions[0] @ other[0]), abs=1e-5)
    assert [hit.score for hit in first] == sorted((hit.score for hit in first), reverse=True)


def test_an_empty_index_and_an_empty_question_find_nothing(index: VectorIndex) -> None:
    assert index.query(EMBEDDER.embed(["refund", "fee"]), top_k=3) == [[], []]
    assert index.query(EMBEDDER.embed([]), top_k=3) == []
    assert (index.count(), index.position(), index.versions()) == (0, 0, {})
    put(index, "refunds", 1, 2, position=1)
    assert len(found(index, "refunds", top_k=10)) == 2


def test_applying_twice_writes_once(index: VectorIndex) -> None:
    upserts = embedded([*passages("refunds", 1, 3), *passages("fees", 2, 2)])
    index.apply(upserts, {"gone": 2}, position=7)
    before = index._passages.get(include=["embeddings"])
    whole = index._records
    dying(index, writes=0)
    index._records = whole

    index.apply(upserts + upserts, {"gone": 2}, position=7)

    after = index._passages.get(include=["embeddings"])
    assert after["ids"] == before["ids"]
    assert np.array_equal(np.asarray(after["embeddings"]), np.asarray(before["embeddings"]))
    assert index.versions() == expected(("refunds", 1, 3), ("fees", 2, 2))


def test_what_no_search_reaches_is_compared_beside_the_graph(index: VectorIndex, directory: Path) -> None:
    parts = embedded(passages("refunds", 1, 30))
    index.apply(parts, {}, position=1)
    lost, vector = parts[7]
    index._passages.update(ids=[lost.chunk_id], embeddings=np.stack([-vector]))
    assert lost.chunk_id not in hits(index, vector)

    index.put_beside({lost.chunk_id: vector})

    assert hits(index, vector)[0] == lost.chunk_id
    assert len(hits(index, vector)) == 5
    again = VectorIndex(directory, index._passages.name)
    assert (hits(again, vector)[0], again.beside_count()) == (lost.chunk_id, 1)
    again.close()


def test_what_is_beside_the_graph_goes_when_its_passage_does(index: VectorIndex) -> None:
    parts = embedded(passages("refunds", 1, 3))
    others = embedded(passages("fees", 1, 2))
    index.apply([*parts, *others], {}, position=1)
    index.put_beside({chunk.chunk_id: vector for chunk, vector in [*parts, *others]})

    index.apply(embedded(passages("refunds", 2, 1)), {}, position=2)
    assert index.beside_count() == len(others)
    assert parts[0][0].chunk_id not in hits(index, parts[0][1])
    index.withdraw("fees", 2, position=3)
    assert index.beside_count() == 0
    assert hits(index, others[0][1]) == ids("refunds", 2, 1)


def hits(index: VectorIndex, vector: Vectors) -> list[str]:
    [found] = index.query(np.stack([vector]), top_k=5)
    return [hit.chunk_id for hit in found]


def test_an_older_version_never_replaces_a_newer_one(index: VectorIndex) -> None:
    put(index, "refunds", 2, 2, position=20)

    put(index, "refunds", 1, 5, position=30)
    index.withdraw("refunds", 1, position=31)

    assert index.versions() == expected(("refunds", 2, 2))
    assert set(found(index, "refunds version1 part0")) == set(ids("refunds", 2, 2))


def test_the_newest_version_of_one_application_counts(index: VectorIndex) -> None:
    versions = [
        *passages("refunds", 3, 2),
        *passages("refunds", 2, 4),
        *passages("fees", 1, 2),
        *passages("fees", 4, 1),
    ]

    index.apply(embedded(versions), {"fees": 3, "refunds": 1}, position=9)

    assert index.versions() == expected(("refunds", 3, 2), ("fees", 4, 1))


def test_a_withdrawn_document_cannot_be_found_and_no_late_version_brings_it_back(index: VectorIndex) -> None:
    put(index, "refunds", 1, 3, position=1)
    put(index, "fees", 1, 1, position=2)

    index.withdraw("refunds", 3, position=3)
    put(index, "refunds", 2, 3, position=4)
    put(index, "refunds", 3, 3, position=5)

    assert found(index, "refunds version2 part0") == ids("fees", 1, 1)
    assert index.count() == 1


def test_a_withdrawn_document_may_be_published_again(index: VectorIndex) -> None:
    index.withdraw("refunds", 2, position=2)

    put(index, "refunds", 3, 2, position=3)

    assert index.versions() == expected(("refunds", 3, 2))
    index.withdraw("refunds", 4, position=4)
    assert index.versions() == {}


@pytest.mark.parametrize("counts", [(5, 2), (2, 5), (BATCH_MAX + 20, 3), (3, BATCH_MAX + 20)])
def test_a_version_leaves_no_passage_of_the_one_before(index: VectorIndex, counts: tuple[int, int]) -> None:
    put(index, "refunds", 1, counts[0], position=1)

    put(index, "refunds", 2, counts[1], position=2)

    assert index.versions() == expected(("refunds", 2, counts[1]))


def test_what_a_version_leaves_as_it_is_is_not_written_again(index: VectorIndex) -> None:
    """Rewriting takes time and wears the graph down."""
    text = "".join(f"## Part {number}\n\nThis is part {number}.\n\n" for number in range(20))
    index.apply(embedded(chunks("guide", 1, "Guide", text)), {}, position=1)
    written: list[str] = []

    class Noting(Dying):
        def upsert(self, ids: list[str], embeddings: Any) -> None:
            written.extend(ids)
            self._whole.upsert(ids=ids, embeddings=embeddings)

    index._passages = Noting(index._passages, [100])  # type: ignore[assignment] # stands before the real one

    second = chunks("guide", 2, "Guide", "Before all parts.\n\n" + text.replace("is part 7", "is another part 7"))
    index.apply(embedded(second), {}, position=2)

    assert written == [second[0].chunk_id, second[8].chunk_id]
    assert index.versions() == dict.fromkeys((each.chunk_id for each in second), 2)


def test_a_collection_without_its_records_is_begun_anew(tmp_path: Path) -> None:
    first = VectorIndex(tmp_path, NAME)
    put(first, "refunds", 1, 3, position=4)
    first.close()
    for path in tmp_path.glob(f"{NAME}.sqlite*"):
        path.unlink()

    second = VectorIndex(tmp_path, NAME)

    assert (second.count(), second.position()) == (0, 0)
    second.close()


def test_content_and_position_outlive_the_process(tmp_path: Path) -> None:
    first = VectorIndex(tmp_path, NAME)
    put(first, "refunds", 1, 3, position=41)
    first.withdraw("fees", 5, position=2**40)
    put(first, "late", 1, 1, position=7)
    first.close()
    first.close()

    second = VectorIndex(tmp_path, NAME)
    put(second, "fees", 4, 1, position=8)

    assert second.position() == 2**40
    assert second.versions() == expected(("refunds", 1, 3), ("late", 1, 1))
    assert found(second, "refunds part1")[0] == ids("refunds", 1, 3)[1]
    second.close()


def test_another_generation_in_the_same_place_is_another_index(tmp_path: Path) -> None:
    first, second = VectorIndex(tmp_path, NAME), VectorIndex(tmp_path, collection_name("acme", 2))
    put(first, "refunds", 1, 3, position=1)

    assert (second.count(), second.position()) == (0, 0)
    first.close()
    assert second.count() == 0
    second.close()


def test_the_text_of_a_passage_is_not_kept(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path, NAME)
    index.apply(embedded(chunks("refunds", 1, "Unmistakable title", "An unmistakable sentence.")), {}, position=1)
    index.close()

    kept = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert b"refunds#" in kept
    assert b"nmistakable" not in kept


def test_a_directory_that_chroma_cannot_open_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"not a database" * 1_000)

    with pytest.raises(TerminalError, match="delete this generation's directory"):
        VectorIndex(tmp_path, NAME)


def history(rng: random.Random) -> tuple[list[tuple[str, int, int]], dict[str, int]]:
    """Versions of some documents in the order of the log, 0 passages for a withdrawal, and what they end in."""
    log: list[tuple[str, int, int]] = []
    for name in ("refunds", "fees", "shipping", "returns"):
        counts = [rng.choice((0, 1, 2, 6)) for _ in range(rng.randint(1, 5))]
        log += [(name, version, count) for version, count in enumerate(counts, start=1)]
    rng.shuffle(log)
    log.sort(key=lambda each: each[1])
    newest = {name: (name, version, count) for name, version, count in log}
    return log, expected(*newest.values())


@pytest.mark.parametrize("seed", range(8))
def test_any_order_any_repetition_and_any_batching_end_in_the_same_content(index: VectorIndex, seed: int) -> None:
    rng = random.Random(seed)
    log, content = history(rng)
    delivered = list(enumerate(log, start=1))
    delivered += rng.sample(delivered, len(delivered) // 2)
    rng.shuffle(delivered)
    while delivered:
        batch = [delivered.pop() for _ in range(min(len(delivered), rng.randint(1, 4)))]
        index.apply(
            embedded(part for _, (name, version, count) in batch for part in passages(name, version, count)),
            {name: version for _, (name, version, count) in sorted(batch) if count == 0},
            position=max(position for position, _ in batch),
        )

    assert index.versions() == content
    assert index.position() == len(log)
    assert set(found(index, "refunds fees shipping returns part1", top_k=50)) == set(content)


FEES = ("fees", 1, 1)


@pytest.mark.parametrize("is_overtaken", [False, True], ids=["again", "overtaken"])
@pytest.mark.parametrize("count", [2, 9, 0], ids=["shorter", "longer", "withdrawn"])
def test_what_a_crash_cut_off_is_made_good(
    index: VectorIndex, monkeypatch: pytest.MonkeyPatch, count: int, *, is_overtaken: bool
) -> None:
    """By applying it again, or by applying only a later version in its place, as a larger batch does."""
    monkeypatch.setattr("projections.vectors.BATCH_MAX", 3)
    first = embedded([*passages("refunds", 1, 6), *passages(*FEES)])
    second = embedded(passages("refunds", 2, count)), ({} if count else {"refunds": 2})
    for writes in range(20):
        forget(index)
        index.apply(first, {}, position=1)
        whole = index._passages, index._records
        try:
            dying(index, writes).apply(*second, position=2)
            break
        except Crash:
            assert index.position() == 1
        finally:
            index._passages, index._records = whole

        index.apply(first, {}, position=1)
        if is_overtaken:
            put(index, "refunds", 3, 1, position=3)
            assert index.versions() == expected(("refunds", 3, 1), FEES)
        else:
            index.apply(*second, position=2)
            assert index.versions() == expected(("refunds", 2, count), FEES)
            assert index.position() == 2
    assert 3 < writes < 19
