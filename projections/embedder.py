"""Texts as vectors: the sentence model on onnxruntime, a cache by content before it, and a stand-in without a model.

Importing this module is cheap, and nothing here imports torch: `projections.model_export` does, in a process apart.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from hashlib import blake2b, file_digest, sha256
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.errors import TerminalError
from domain.settings import Precision, Weights

Vectors = NDArray[np.float32]

MODEL = "all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# What vectors are called by: another name is another space.
NAME = f"{MODEL}/{WEIGHTS_SHA256[:8]}"
DIMENSIONS = 384
TOKENS_MAX = 256  # `max_seq_length` of the model's sentence_bert_config.json; what is longer is not read.

ONNX_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"

# Measured: a run of the model costs 1.5 ms and then 0.22 ms a token, padding included, and above 512 tokens more than
# that. So a text joins a run if it wastes fewer tokens on padding than a run of its own would cost.
_TEXTS_PER_RUN_MAX = 64
_TOKENS_PER_RUN_MAX = 512
# Less than this is not worth a run, and a thread, of its own.
_TOKENS_PER_RUN_MIN = 32
_PADDING_TOKENS_MAX = 7
# Tokenizing a megabyte takes a second, and the model reads 256 tokens of it.
_CHARS_READ_MAX = 16_384
_LOOKUP_MAX = 500


class TextEmbedder(Protocol):
    """Anything that turns texts into vectors of one space; `name` tells the spaces apart."""

    @property
    def name(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector of `DIMENSIONS` floats per text, in order: shape `(len(texts), DIMENSIONS)`."""
        ...


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an exported model was made of, and the SHA-256 of each of its files."""

    weights_sha256: str
    files: Mapping[str, str]
    weights: Weights = msgspec.field(name="precision", default="fp32")


# With which weights passages are read, and with which ones questions.
WEIGHTS_OF: Mapping[Precision, tuple[Weights, Weights]] = {
    "fp32": ("fp32", "fp32"),
    "mixed": ("fp32", "int8"),
    "int8": ("int8", "int8"),
}


def name_of(weights: Weights) -> str:
    """The name of the space that the vectors of passages are in which these weights read."""
    return NAME if weights == "fp32" else f"{NAME}/{weights}-by-channel"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


class Embedder:
    """all-MiniLM-L6-v2 on the CPU. Safe for several threads at once.

    Args:
        model_dir: what `projections.model_export.ensure_model` returned.
        threads: how many cores one call may use: each runs a part of the texts by itself, which is faster than all of
            them on one part.
        space: the name of the model whose vectors these are compared with, if that is another one.

    Raises:
        TerminalError: the model is not there, or is not the one that was exported.
    """

    def __init__(self, model_dir: Path, threads: int = 1, *, space: str = "") -> None:
        weights = _check_model(model_dir).weights
        self.name = space or name_of(weights)
        # Weights of 8 bits are multiplied with what is scaled to the largest number of the whole run. A text that has a
        # run to itself has the same vector whatever is asked beside it.
        self._is_alone = weights == "int8"
        import onnxruntime  # noqa: PLC0415 - takes most of a second; whoever only names the model does not wait
        from tokenizers import Tokenizer  # noqa: PLC0415 - as above

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Waiting threads sleep; spinning would take the cores from everything else on the node.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(model_dir / ONNX_FILE), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(model_dir / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS_MAX)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embed") if threads > 1 else None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, in order. Of a long text the first `TOKENS_MAX` tokens count."""
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        tokens = [self._tokenizer.encode(text[:_CHARS_READ_MAX]).ids for text in texts]
        lengths = [len(ids) for ids in tokens]
        runs = [[index] for index in range(len(texts))] if self._is_alone else list(_runs(lengths, self._threads))
        if self._pool is None or len(runs) == 1:
            for run in runs:
                vectors[run] = self._run(tokens, run)
            return vectors
        for run, of_run in zip(runs, self._pool.map(lambda each: self._run(tokens, each), runs), strict=True):
            vectors[run] = of_run
        return vectors

    def _run(self, tokens: Sequence[Sequence[int]], run: Sequence[int]) -> Vectors:
        """The vectors of the texts of one run, padded to the longest."""
        shape = (len(run), max(len(tokens[index]) for index in run))
        ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, index in enumerate(run):
            length = len(tokens[index])
            ids[row, :length] = tokens[index]
            mask[row, :length] = 1
        vectors: Vectors = self._session.run(["vectors"], {"input_ids": ids, "attention_mask": mask})[0]
        return vectors


class ModelDirs(msgspec.Struct, frozen=True, kw_only=True):
    """Where the exported models are that read passages, and questions; the same directory if one model reads both."""

    passages: str
    questions: str

    def load(self, threads: int) -> tuple[Embedder, Embedder]:
        """What embeds passages and what embeds questions, in the same space. Raises `TerminalError` as `Embedder`."""
        passages = Embedder(Path(self.passages), threads)
        if self.questions == self.passages:
            return passages, passages
        return passages, Embedder(Path(self.questions), threads, space=passages.name)


class HashEmbedder:
    """Vectors of hashed words: texts that share words are near. For tests and simulations, without a model."""

    name = "hashed-words/1"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, in order, the same on every machine."""
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            places = [place for word in re.findall(r"\w+", text.casefold()) for place in _places(word)]
            np.add.at(vectors[row], [index for index, _ in places], [sign for _, sign in places])
            if not vectors[row].any():
                vectors[row, 0] = 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


@lru_cache(maxsize=65_536)
def _places(word: str) -> tuple[tuple[int, float], ...]:
    """Where a word adds to a vector, and with which sign."""
    digest = blake2b(word.encode(), digest_size=8).digest()
    numbers = [first << 8 | second for first, second in zip(digest[::2], digest[1::2], strict=True)]
    return tuple((number % DIMENSIONS, 1.0 if number >> 15 else -1.0) for number in numbers)


class EmbeddingCache:
    """An embedder that computes no text twice: vectors are kept in an SQLite file by model and SHA-256 of the text.

    Meant for documents, of which a rebuild asks for the same ones again; questions would fill it without end. Safe for
    several threads and processes; the file may be deleted at any time while nobody has it open. `hits` and `misses`
    count texts since the start.
    """

    def __init__(self, embedder: TextEmbedder, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS embedding"
            " (model TEXT NOT NULL, digest BLOB NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (model, digest))"
        )
        self.hits = 0
        self.misses = 0

    @property
    def name(self) -> str:
        return self._embedder.name

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, in order; only what is new is computed."""
        digests = [sha256(text.encode()).digest() for text in texts]
        text_of = dict(zip(digests, texts, strict=True))
        known = self._known(list(text_of))
        missing = [digest for digest in text_of if digest not in known]
        if missing:
            computed = self._embedder.embed([text_of[digest] for digest in missing])
            known.update(zip(missing, computed, strict=True))
            self._keep(missing, computed)
        with self._lock:
            self.hits += len(text_of) - len(missing)
            self.misses += len(missing)
        return np.array([known[digest] for digest in digests], dtype=np.float32).reshape(len(texts), DIMENSIONS)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _known(self, digests: Sequence[bytes]) -> dict[bytes, Vectors]:
        known: dict[bytes, Vectors] = {}
        for start in range(0, len(digests), _LOOKUP_MAX):
            part = digests[start : start + _LOOKUP_MAX]
            marks = ",".join("?" * len(part))
            with self._lock:
                rows = self._connection.execute(
                    f"SELECT digest, vector FROM embedding WHERE model=? AND digest IN ({marks})",  # noqa: S608 - placeholders only
                    (self.name, *part),
                ).fetchall()
            known.update((digest, np.frombuffer(vector, dtype="<f4")) for digest, vector in rows)
        return known

    def _keep(self, digests: Sequence[bytes], vectors: Vectors) -> None:
        rows = [
            (self.name, digest, vector.astype("<f4").tobytes()) for digest, vector in zip(digests, vectors, strict=True)
        ]
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO embedding VALUES (?,?,?)", rows)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _runs(lengths: Sequence[int], threads: int) -> Iterator[list[int]]:
    """The indexes in groups of like length, the longest first, each for one run of the model.

    What would fit one run becomes about one for each thread, so that no core waits for another.
    """
    # As if all were as long as the longest: unequal ones would else need a run more than there are threads.
    share = -(-len(lengths) // threads) * max(lengths, default=0)
    tokens_max = min(_TOKENS_PER_RUN_MAX, max(share, _TOKENS_PER_RUN_MIN))
    run: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        if run and not _joins(lengths[index], run=len(run), longest=lengths[run[0]], tokens_max=tokens_max):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _joins(length: int, *, run: int, longest: int, tokens_max: int) -> bool:
    return run < _TEXTS_PER_RUN_MAX and (run + 1) * longest <= tokens_max and longest - length <= _PADDING_TOKENS_MAX


def _check_model(model_dir: Path) -> ModelManifest:
    remedy = "run `python -m projections.model_export`"
    try:
        manifest = msgspec.json.decode((model_dir / MANIFEST_FILE).read_bytes(), type=ModelManifest)
        found = {name: sha256_of(model_dir / name) for name in (ONNX_FILE, TOKENIZER_FILE)}
    except (OSError, msgspec.DecodeError) as error:
        raise TerminalError(f"no embedding model in {model_dir} ({error}); {remedy}") from error
    if manifest.weights_sha256 != WEIGHTS_SHA256:
        raise TerminalError(
            f"{model_dir} was exported from weights {manifest.weights_sha256[:16]}; delete it and {remedy}"
        )
    if found != manifest.files:
        raise TerminalError(
            f"a file of the embedding model in {model_dir} is damaged; delete the directory and {remedy}"
        )
    return manifest
