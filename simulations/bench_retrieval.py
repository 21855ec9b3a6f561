"""`recount bench retrieval`: what is found, how soon and how fast, beside plain Chroma and sentence-transformers.

Quality is that of the ranking itself, every passage compared. Its weights were chosen on the questions of every other
document, and it is reported on those of the others ("tested").
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from projections import fusion
from projections.embedder import DIMENSIONS, Embedder, TextEmbedder, Vectors
from projections.lexical import LexicalIndex
from projections.model_export import ensure_int8, ensure_model, wheel_dir
from projections.vectors import VectorIndex
from projections.words import Tally, passage_words, rank
from simulations.bench_freshness import Freshness, freshness
from simulations.retrieval_corpora import Corpus, corpora

TARGET_HIT_1 = 0.60
TARGET_HIT_5 = 0.95
TARGET_CHANGED_P50_MS = 60
TARGET_DELETED_P50_MS = 30
TARGET_DELETED_P99_MS = 100
TARGET_INDEXING_TIMES = 3
_DEPTH = 50
_BATCH = 200
_PLAIN_PASSAGES = 200
_ASKED_TIMES = 200


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """The share of questions with a right passage among the first 1, 5 and 10."""

    hit_1: float
    hit_5: float
    hit_10: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """One corpus, read with each `index.precision`.

    By the questions of `hybrid_tested`, read as `mixed`, nothing was chosen. `int8_cosine` is between a passage's
    vectors by both models.
    """

    corpus: str
    passages: int
    questions: int
    words: Hits
    vectors_fp32: Hits
    vectors_mixed: Hits
    vectors_int8: Hits
    hybrid_fp32: Hits
    hybrid_mixed: Hits
    hybrid_int8: Hits
    hybrid_tested: Hits
    int8_cosine: float


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Passages per second into an index, and milliseconds of one question, each beside the plain loop.

    The loop is measured on one thread, as the peers' published figures are, and with torch on all cores. `question_ms`
    is with weights of 8 bits.
    """

    threads: int
    indexing_per_second: float
    indexing_int8_per_second: float
    plain_indexing_per_second: float
    plain_one_thread_per_second: float
    to_plain: float
    to_plain_one_thread: float
    question_ms: float
    question_fp32_ms: float
    plain_question_ms: float


class RetrievalReport(msgspec.Struct, frozen=True, kw_only=True):
    quality: list[Quality]
    speed: Speed
    freshness: Freshness
    meets_target: bool


class Ranking(msgspec.Struct, frozen=True):
    """Of each question the passages by their indexes, best first."""

    of_words: list[list[int]]
    of_vectors: list[list[int]]

    @property
    def fused(self) -> list[list[int]]:
        both = zip(self.of_vectors, self.of_words, strict=True)
        return [
            [int(each) for each, _ in fusion.fused([str(one) for one in dense], [str(one) for one in lexical])]
            for dense, lexical in both
        ]


async def bench_retrieval(data: Path, rounds: int, plot: Path | None, say: Callable[[str], None]) -> RetrievalReport:
    """Quality over the corpora in `data`; indexing and questions beside the plain loop; freshness over HTTP."""
    threads = os.cpu_count() or 1
    model = ensure_model()
    with tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        exact = Embedder(model, threads=threads)
        small = Embedder(ensure_int8(model, Path(directory)), threads=threads)
    measured, quality = corpora(data), []
    for corpus in measured:
        say(f"{corpus.name}: {len(corpus.passages)} passages, {len(corpus.questions)} questions")
        quality.append(_quality(corpus, exact, small))
    speed = _speed(measured[0], exact, small, threads, say)
    say(f"changing and deleting {rounds} documents over HTTP")
    fresh = await freshness(measured[0], rounds)
    published = quality[0].hybrid_mixed
    report = RetrievalReport(
        quality=quality,
        speed=speed,
        freshness=fresh,
        meets_target=published.hit_1 >= TARGET_HIT_1
        and published.hit_5 >= TARGET_HIT_5
        and fresh.changed.p50_ms < TARGET_CHANGED_P50_MS
        and fresh.deleted.p50_ms < TARGET_DELETED_P50_MS
        and fresh.deleted.p99_ms < TARGET_DELETED_P99_MS
        and speed.to_plain_one_thread >= TARGET_INDEXING_TIMES,
    )
    if plot is not None:
        _draw(report, plot)
    return report


def _quality(corpus: Corpus, exact: TextEmbedder, small: TextEmbedder) -> Quality:
    tested = corpus.half(1)
    of_words = _by_words(corpus)
    passages, questions = _embedded(corpus, exact)
    passages_int8, questions_int8 = _embedded(corpus, small)
    fp32 = Ranking(of_words, _by_vectors(passages, questions))
    mixed = Ranking(of_words, _by_vectors(passages, questions_int8))
    int8 = Ranking(of_words, _by_vectors(passages_int8, questions_int8))
    is_tested = [each in tested.questions for each in corpus.questions]
    return Quality(
        corpus=corpus.name,
        passages=len(corpus.passages),
        questions=len(corpus.questions),
        words=_hits(corpus, of_words),
        vectors_fp32=_hits(corpus, fp32.of_vectors),
        vectors_mixed=_hits(corpus, mixed.of_vectors),
        vectors_int8=_hits(corpus, int8.of_vectors),
        hybrid_fp32=_hits(corpus, fp32.fused),
        hybrid_mixed=_hits(corpus, mixed.fused),
        hybrid_int8=_hits(corpus, int8.fused),
        hybrid_tested=_hits(tested, [each for each, mine in zip(mixed.fused, is_tested, strict=True) if mine]),
        int8_cosine=round(float((passages * passages_int8).sum(axis=1).mean()), 3),
    )


def _embedded(corpus: Corpus, embedder: TextEmbedder) -> tuple[Vectors, Vectors]:
    """The vectors of the passages and of the questions."""
    texts = [each.embedded for each in corpus.passages]
    return embedder.embed(texts), embedder.embed([each.text for each in corpus.questions])


def _by_vectors(passages: Vectors, questions: Vectors) -> list[list[int]]:
    return [list(map(int, np.argsort(-row, kind="stable")[:_DEPTH])) for row in questions @ passages.T]


def _by_words(corpus: Corpus) -> list[list[int]]:
    kept = [passage_words(each) for each in corpus.passages]
    ids = [each.chunk_id for each in corpus.passages]
    found = []
    for question in corpus.questions:
        tally = Tally(question.text)
        tally.add(kept)
        found.append(rank(tally.scores(), ids, _DEPTH))
    return found


def _hits(corpus: Corpus, rankings: Sequence[Sequence[int]]) -> Hits:
    def share(top_k: int) -> float:
        answered = [
            any(question.is_answered_by(corpus.passages[index]) for index in ranking[:top_k])
            for question, ranking in zip(corpus.questions, rankings, strict=True)
        ]
        return round(sum(answered) / len(answered), 3)

    return Hits(hit_1=share(1), hit_5=share(5), hit_10=share(10))


def _speed(corpus: Corpus, exact: Embedder, small: Embedder, threads: int, say: Callable[[str], None]) -> Speed:
    """Whole passages to a searchable index. The plain loop embeds and adds one after the other, as a tutorial does."""
    questions = [each.text for each in corpus.questions][:_ASKED_TIMES]
    with tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        say(f"indexing {len(corpus.passages)} passages")
        ours = _index(corpus, exact, Path(directory) / "fp32")
        ours_int8 = _index(corpus, small, Path(directory) / "int8")
        question_ms = _ask(small, Path(directory) / "fp32", questions)
        question_fp32_ms = _ask(exact, Path(directory) / "fp32", questions)
        say(f"the plain loop: {_PLAIN_PASSAGES} of them, on all cores and on one thread")
        plain, plain_question_ms = _plain(corpus, questions, Path(directory) / "plain", torch_threads=threads)
        plain_one, _ = _plain(corpus, questions, Path(directory) / "plain-one", torch_threads=1)
    return Speed(
        threads=threads,
        indexing_per_second=round(ours, 1),
        indexing_int8_per_second=round(ours_int8, 1),
        plain_indexing_per_second=round(plain, 1),
        plain_one_thread_per_second=round(plain_one, 1),
        to_plain=round(ours / plain, 2),
        to_plain_one_thread=round(ours / plain_one, 2),
        question_ms=round(question_ms, 2),
        question_fp32_ms=round(question_fp32_ms, 2),
        plain_question_ms=round(plain_question_ms, 2),
    )


def _index(corpus: Corpus, embedder: TextEmbedder, directory: Path) -> float:
    vectors, lexical = VectorIndex(directory / "vectors", "bench__g1"), LexicalIndex(directory / "lexical")
    started_s = time.perf_counter()
    for position, start in enumerate(range(0, len(corpus.passages), _BATCH), start=1):
        part = corpus.passages[start : start + _BATCH]
        embedded = embedder.embed([each.embedded for each in part])
        # A document that a batch divides is written in both: each passage is what matters here.
        named = [msgspec.structs.replace(each, document_id=f"{each.document_id}:{position}") for each in part]
        vectors.apply(list(zip(named, embedded, strict=True)), {}, position)
        lexical.apply(named, {}, position)
    lexical.flush()
    per_second = len(corpus.passages) / (time.perf_counter() - started_s)
    vectors.close()
    lexical.close()
    return per_second


def _ask(embedder: TextEmbedder, directory: Path, questions: Sequence[str]) -> float:
    """Milliseconds of one question at a time: its vector, both indexes, the fusion."""
    vectors, lexical = VectorIndex(directory / "vectors", "bench__g1"), LexicalIndex(directory / "lexical")
    started_s = time.perf_counter()
    for question in questions:
        [dense] = vectors.query(embedder.embed([question]), fusion.DEPTH_MIN)
        [of_words] = lexical.query([question], fusion.DEPTH_MIN)
        fusion.fused([each.chunk_id for each in dense], [each.chunk_id for each in of_words])
    each_ms = (time.perf_counter() - started_s) * 1000 / len(questions)
    vectors.close()
    lexical.close()
    return each_ms


def _plain(corpus: Corpus, questions: Sequence[str], directory: Path, *, torch_threads: int) -> tuple[float, float]:
    """Passages per second and milliseconds a question of sentence-transformers and Chroma, on so many threads."""
    import chromadb  # noqa: PLC0415 - the peer's libraries take 20 s to import
    import torch  # noqa: PLC0415 - as above
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - as above

    torch.set_num_threads(torch_threads)
    model = SentenceTransformer(str(wheel_dir()), device="cpu", local_files_only=True)
    collection = chromadb.PersistentClient(str(directory)).create_collection("plain", embedding_function=None)
    model.encode(["warm"])
    passages = corpus.passages[:: max(1, len(corpus.passages) // _PLAIN_PASSAGES)]
    started_s = time.perf_counter()
    for number, passage in enumerate(passages):
        vector = np.asarray(model.encode([passage.embedded]), dtype=np.float32).reshape(1, DIMENSIONS)
        collection.add(ids=[str(number)], embeddings=vector, documents=[passage.text])
    indexed_s = time.perf_counter() - started_s
    started_s = time.perf_counter()
    for question in questions:
        vector = np.asarray(model.encode([question]), dtype=np.float32).reshape(1, DIMENSIONS)
        collection.query(query_embeddings=vector, n_results=5)
    asked_s = time.perf_counter() - started_s
    return len(passages) / indexed_s, asked_s * 1000 / len(questions)


def _draw(report: RetrievalReport, path: Path) -> None:
    """Hits by corpus, and how soon a change and a deletion are seen."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second that a run without a plot does not need

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    figure, (hits, soon) = plt.subplots(1, 2, figsize=(11, 4.2))
    ways = ("words", "vectors_mixed", "hybrid_mixed")
    places = np.arange(len(report.quality))
    for number, way in enumerate(ways):
        found = [getattr(each, way) for each in report.quality]
        at = places + (number - 1) * 0.26
        hits.bar(at, [each.hit_5 for each in found], width=0.24, color=f"C{number}", alpha=0.4)
        hits.bar(at, [each.hit_1 for each in found], width=0.24, color=f"C{number}", label=way.removesuffix("_mixed"))
    hits.set_xticks(places, [each.corpus for each in report.quality])
    hits.set_ylim(0, 1)
    hits.set_title("right passage first (dark), among the first five (light)")
    hits.legend()
    for name, times in (("changed", report.freshness.changed), ("deleted", report.freshness.deleted)):
        ordered = sorted(times.all_ms)
        soon.step(ordered, np.linspace(0, 1, len(ordered)), where="post", label=name)
    soon.set_xlabel("ms from the request to the first search that sees it")
    soon.set_ylabel("share of documents")
    soon.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
