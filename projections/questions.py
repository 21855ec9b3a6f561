"""Vectors of questions, in memory only: what customers ask is not kept where documents are."""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from projections.embedder import DIMENSIONS, TextEmbedder, Vectors

QUESTIONS_CACHED_MAX = 20_000

# `pi_3MtwBwLkdIwHu7ix28a3tqPa`, a UUID, a reference of twelve digits: letters to the model, and many of them. The words
# of a number that a document has are found by the lexical index.
_ID_RE = re.compile(r"(?<!\w)(?=[\w-]*\d)[\w-]{12,}(?!\w)")


def meaning(question: str) -> str:
    """What the model is to read of a question: all but long ids, unless there is nothing else.

    One costs as much as twenty words, and the question means the same without it: asked of a thousand payments, "where
    is my refund for ...?" has one vector.
    """
    words = " ".join(_ID_RE.sub(" ", question).split())
    return words if any(letter.isalpha() for letter in words) else question


class QuestionCache:
    """An embedder that remembers the last questions; any number of threads may ask."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self._embedder = embedder
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._embedder.name

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, in order: of what it means, as the embedder behind gives it."""
        texts = [meaning(text) for text in texts]
        with self._lock:
            found = {text: self._vectors[text] for text in texts if text in self._vectors}
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        if missing:
            found.update(zip(missing, self._embedder.embed(missing), strict=True))
        with self._lock:
            for text in texts:
                self._vectors[text] = found[text]
                self._vectors.move_to_end(text)
            while len(self._vectors) > QUESTIONS_CACHED_MAX:
                self._vectors.popitem(last=False)
        return np.array([found[text] for text in texts], dtype=np.float32).reshape(len(texts), DIMENSIONS)
