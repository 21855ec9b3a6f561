"""Vectors equal the original model's, nothing is computed twice, and only the right model is exported, once."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from domain.errors import TerminalError
from domain.settings import Precision, Weights
from projections.embedder import (
    DIMENSIONS,
    MANIFEST_FILE,
    ONNX_FILE,
    WEIGHTS_SHA256,
    Embedder,
    EmbeddingCache,
    HashEmbedder,
    TextEmbedder,
    Vectors,
    _runs,
    name_of,
)
from projections.model_export import (
    WEIGHTS_FILE,
    check_weights,
    ensure_model,
    ensure_models,
    export,
    main,
    model_dir,
    wheel_dir,
)

ROOT = Path(__file__).resolve().parents[2]

TEXTS = [
    "Where is my refund?",
    "where is my refund",
    "My refund failed: the bank sent it back because the card was closed.",
    "Do you ship to Norway?",
    "",
    "Tiền hoàn của tôi đâu? 退款在哪里 😀",
    "A refund takes 5 to 10 business days. " * 60,
]

ORIGINAL = """
import json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
print(json.dumps(model.encode(json.load(sys.stdin)).tolist()))
"""


class OtherSpace(HashEmbedder):
    """Another model: another name, other vectors."""

    name = "other/1"

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.negative(super().embed(texts))


@pytest.fixture(scope="module")
def exported() -> Path:
    return ensure_model()


def assert_unit_vectors(vectors: Vectors, count: int) -> None:
    assert vectors.shape == (count, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


@pytest.mark.long
def test_importing_the_module_loads_no_model_library() -> None:
    heavy = "torch transformers sentence_transformers onnxruntime tokenizers chromadb".split()
    program = (
        f"import sys, projections.embedder, projections.model_export; print([m for m in {heavy} if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_hashed_words_are_near_when_they_are_shared() -> None:
    embedder: TextEmbedder = HashEmbedder()
    refund, same, shipping = embedder.embed(["Where is my refund?", "my REFUND, where is it", "Do you ship to Norway?"])

    assert_unit_vectors(embedder.embed([*TEXTS, "!"]), len(TEXTS) + 1)
    assert refund @ same > 0.7
    assert refund @ shipping < 0.3
    assert embedder.embed([]).shape == (0, DIMENSIONS)


def test_hashed_words_are_the_same_on_every_machine() -> None:
    assert np.flatnonzero(HashEmbedder().embed(["refund"])[0]).tolist() == [83, 108, 313, 345]


def test_the_cache_computes_only_what_is_new(tmp_path: Path) -> None:
    cache = EmbeddingCache(HashEmbedder(), tmp_path / "cache.sqlite")
    cache.embed(TEXTS[:3])

    vectors = cache.embed([TEXTS[3], TEXTS[0], TEXTS[3], TEXTS[1]])

    assert (cache.hits, cache.misses) == (2, 4)
    assert np.array_equal(vectors, HashEmbedder().embed([TEXTS[3], TEXTS[0], TEXTS[3], TEXTS[1]]))
    assert cache.embed([]).shape == (0, DIMENSIONS)
    cache.close()


def test_the_cache_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "node" / "cache.sqlite"
    texts = [f"text {number}" for number in range(1_200)]
    first = EmbeddingCache(HashEmbedder(), path)
    before = first.embed(texts)
    first.close()

    second = EmbeddingCache(HashEmbedder(), path)

    assert np.array_equal(second.embed(texts), before)
    assert (second.hits, second.misses) == (1_200, 0)
    second.close()


def test_the_cache_keeps_the_spaces_of_two_models_apart(tmp_path: Path) -> None:
    one = EmbeddingCache(HashEmbedder(), tmp_path / "cache.sqlite")
    other = EmbeddingCache(OtherSpace(), tmp_path / "cache.sqlite")

    assert np.array_equal(one.embed(TEXTS), -other.embed(TEXTS))
    assert np.array_equal(one.embed(TEXTS), -other.embed(TEXTS))
    assert (one.misses, other.misses) == (len(TEXTS), len(TEXTS))
    one.close()
    other.close()


def test_the_cache_may_be_used_by_several_threads(tmp_path: Path) -> None:
    cache = EmbeddingCache(HashEmbedder(), tmp_path / "cache.sqlite")
    texts = [f"text {number}" for number in range(60)]
    expected = HashEmbedder().embed(texts)
    right: list[bool] = []

    def ask(thread: int) -> None:
        for turn in range(20):
            chosen = [(thread * 7 + turn * 3 + step) % 60 for step in range(10)]
            right.append(np.array_equal(cache.embed([texts[each] for each in chosen]), expected[chosen]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert right == [True] * 120
    cache.close()
    connection = sqlite3.connect(tmp_path / "cache.sqlite")
    assert connection.execute("SELECT count(*) FROM embedding").fetchone() == (60,)
    connection.close()


def test_texts_of_like_length_run_together_and_every_text_once() -> None:
    lengths = [15, 256, 14, 3, 250, 12, *[16] * 100, 8]

    runs = list(_runs(lengths, threads=1))

    assert sorted(index for run in runs for index in run) == list(range(len(lengths)))
    assert all(len(run) <= 64 and len(run) * lengths[run[0]] <= 512 for run in runs)
    assert all(lengths[run[0]] - lengths[run[-1]] <= 7 for run in runs)
    assert len(runs) < 10


@pytest.mark.parametrize("lengths", [[16] * 16, [40, 39, 38, 35], list(range(15, 21)) * 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_fits_one_run_is_spread_over_the_threads(lengths: list[int], threads: int) -> None:
    assert len(list(_runs(lengths, threads))) == threads


def test_a_few_words_are_not_spread() -> None:
    assert len(list(_runs([10, 10, 9], threads=4))) == 1


def test_other_weights_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="reinstall"):
        check_weights(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"other weights")

    with pytest.raises(TerminalError, match=f"not {WEIGHTS_SHA256}.*reinstall"):
        check_weights(tmp_path)


def test_a_directory_without_a_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match=r"run `python -m projections\.model_export`"):
        Embedder(tmp_path)


def test_a_model_that_cannot_be_written_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")

    assert main(["--models", str(tmp_path / "file" / "models")]) == 1
    assert "name another place with --models" in capsys.readouterr().err


@pytest.mark.model
@pytest.mark.timeout(300)
def test_two_processes_that_want_the_model_export_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "projections.model_export", "--models", str(tmp_path)]
    target = model_dir(tmp_path)
    left_over = tmp_path / f".{target.name}.partial"
    left_over.mkdir()
    (left_over / ONNX_FILE).write_bytes(b"half a model")

    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(each.communicate()[0].split()[0] for each in both)

    assert [each.returncode for each in both] == [0, 0]
    assert said == ["exported", "present"]
    assert not left_over.exists()
    assert not export(tmp_path)
    assert_unit_vectors(Embedder(target).embed(TEXTS), len(TEXTS))


@pytest.mark.model
@pytest.mark.timeout(300)
def test_weights_of_8_bits_are_another_model_that_says_nearly_the_same(exported: Path) -> None:
    exact, small = Embedder(exported), Embedder(ensure_model("int8"))

    vectors, smaller = exact.embed(TEXTS), small.embed(TEXTS)

    assert (exact.name, small.name) == (name_of("fp32"), name_of("int8"))
    assert exact.name != small.name
    assert_unit_vectors(smaller, len(TEXTS))
    assert np.sum(vectors * smaller, axis=1).min() > 0.98


@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_text_has_the_same_vector_of_8_bits_whatever_is_asked_beside_it() -> None:
    small = Embedder(ensure_model("int8"), threads=2)

    together = small.embed(TEXTS)

    assert np.array_equal(together, np.vstack([small.embed([text]) for text in TEXTS]))


@pytest.mark.model
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("precision", "space"), [("fp32", "fp32"), ("mixed", "fp32"), ("int8", "int8")])
def test_what_reads_questions_is_of_the_space_of_what_reads_passages(precision: Precision, space: Weights) -> None:
    passages, questions = ensure_models(precision).load(threads=1)

    assert passages.name == questions.name == name_of(space)
    assert (passages is questions) == (precision != "mixed")
    assert (passages.embed(TEXTS[:1]) @ questions.embed(TEXTS[:1]).T).item() > 0.98


@pytest.mark.model
def test_the_installed_weights_are_the_measured_ones() -> None:
    check_weights(wheel_dir())


@pytest.mark.model
@pytest.mark.timeout(300)
def test_vectors_equal_those_of_sentence_transformers(exported: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORIGINAL, str(wheel_dir())],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=True,
    )
    original = np.array(json.loads(done.stdout.splitlines()[-1]), dtype=np.float32)

    vectors = Embedder(exported).embed(TEXTS)

    assert_unit_vectors(vectors, len(TEXTS))
    assert (np.sum(vectors * original, axis=1) > 0.9999).all()


@pytest.mark.model
@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [1, 7, 64])
def test_a_text_has_the_same_vector_in_any_company(exported: Path, count: int) -> None:
    embedder = Embedder(exported, threads=2)
    texts = [TEXTS[index % len(TEXTS)] for index in range(count)]

    vectors = embedder.embed(texts)

    assert_unit_vectors(vectors, count)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert np.allclose(vectors, alone[np.arange(count) % len(TEXTS)], atol=1e-5)
    assert embedder.embed([]).shape == (0, DIMENSIONS)


@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_damaged_or_foreign_model_is_refused(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(exported, copy)
    with (copy / ONNX_FILE).open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damaged")
    with pytest.raises(TerminalError, match="damaged; delete the directory"):
        Embedder(copy)

    manifest = json.loads((copy / MANIFEST_FILE).read_text())
    (copy / MANIFEST_FILE).write_text(json.dumps({**manifest, "weights_sha256": "0" * 64}))
    with pytest.raises(TerminalError, match="exported from weights 0000"):
        Embedder(copy)


@pytest.mark.model
@pytest.mark.timeout(300)
def test_embedding_never_imports_torch(exported: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from projections.embedder import Embedder;"
        "Embedder(Path(sys.argv[1])).embed(['refund']); print('torch' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(exported)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"
