"""The words of questions and passages as they are matched: folded, stemmed, and weighed by BM25 in two fields.

The lexical index finds with these words and weights in a large corpus; where a ranking must be exact and the same for
ever (the past, a filter, a simulation), `rank` computes it from the passages themselves.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import tantivy
from numpy.typing import NDArray

from projections.chunking import Chunk

ANALYZER = "recount"
WORD_CHARS_MAX = 40
# A question is a sentence or two; what is beyond this is pasted text, whose words would only cost time.
QUESTION_WORDS_MAX = 64

# Okapi BM25 as tantivy computes it (bm25.rs: K1 = 1.2, B = 0.75).
_K1 = 1.2
_B = 0.75

FIELDS = ("heading", "text")

# Words of English that a question has for its grammar. A heading that begins like the question would otherwise stand
# above one that is about the same thing: without them the passages that customers' questions mean rise, those that a
# question repeats to the letter sink a little (`recount bench retrieval` has both).
_GRAMMAR = (
    "a about after again all am an and any are as at be because been before but by can could did do does doing for "
    "from get got had has have how i if in into is it its just me my no not of on or our out s should so some t than "
    "that the their them then there they this to up us was we what when where which who why will with would you your"
)


@cache
def analyzer() -> tantivy.TextAnalyzer:
    """Letters and digits, without case and accents, English endings cut (Snowball); other languages stay whole."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(WORD_CHARS_MAX))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stemmer("English"))
        .build()
    )


def words(text: str) -> tuple[str, ...]:
    """The words of a text in its order, as they are matched."""
    return tuple(analyzer().analyze(text))


def question_words(question: str) -> tuple[str, ...]:
    """The different words of a question that say what it is about, at most `QUESTION_WORDS_MAX`."""
    asked = dict.fromkeys(words(question))
    telling = [word for word in asked if word not in _grammar()]
    return tuple(telling or asked)[:QUESTION_WORDS_MAX]


@cache
def _grammar() -> frozenset[str]:
    return frozenset(words(_GRAMMAR))


def passage_words(chunk: Chunk) -> str:
    """The words of a passage to keep: a line for each of `FIELDS`, each word between two spaces of its own."""
    return "\n".join("".join(f" {word} " for word in words(text)) for text in (chunk.heading, chunk.text))


class Tally:
    """Counts of one question's words in passages, taken in any number of parts, and the BM25 scores of all of them."""

    def __init__(self, question: str) -> None:
        self._asked = [f" {word} " for word in question_words(question)]
        self._counts: list[NDArray[np.float32]] = []
        self._lengths: list[NDArray[np.float32]] = []

    def add(self, passages: Sequence[str]) -> None:
        """Count in some more passages, as `passage_words` gives them."""
        fields = [each.split("\n") for each in passages]
        shape = (len(passages), len(FIELDS), len(self._asked))
        counts = [field.count(word) for of_passage in fields for field in of_passage for word in self._asked]
        # Every word stands between two spaces.
        lengths = [field.count(" ") / 2 for of_passage in fields for field in of_passage]
        self._counts.append(np.array(counts, dtype=np.float32).reshape(shape))
        self._lengths.append(np.array(lengths, dtype=np.float32).reshape(shape[:2]))

    def scores(self) -> NDArray[np.float32]:
        """The score of every passage that was added, in order: the sum over the fields; 0 without a match."""
        if not any(map(len, self._counts)):
            return np.zeros(0, dtype=np.float32)
        counts, lengths = np.concatenate(self._counts), np.concatenate(self._lengths)
        total = len(counts)
        containing = (counts > 0).sum(axis=0)
        rarity = np.log(1 + (total - containing + 0.5) / (containing + 0.5))
        relative = lengths / np.maximum(lengths.mean(axis=0), 1e-9)
        saturated = counts * (_K1 + 1) / (counts + (_K1 * (1 - _B + _B * relative))[:, :, None])
        scores: NDArray[np.float32] = (saturated * rarity).sum(axis=(1, 2))
        return scores


def rank(scores: NDArray[np.float32], ids: Sequence[str], depth: int) -> list[int]:
    """The indexes of up to `depth` passages that match at all, the best first, equal ones by their ids."""
    rounded = np.round(scores, 4)
    return sorted(map(int, np.flatnonzero(scores > 0)), key=lambda index: (-float(rounded[index]), ids[index]))[:depth]
