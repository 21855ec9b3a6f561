"""The few sentences of a passage that speak to a question, letter by letter."""

import re
from collections import Counter
from collections.abc import Sequence

from gateway.answering.evidence import DocumentCited, Passage
from gateway.answering.words import words

QUOTE_CHARS_MAX = 300
WORDS_OF_HEADING_MAX = 5

# After a full stop with something that can begin a sentence, between paragraphs, and before an item of a list.
_BREAK_RE = re.compile(
    r"(?<=[.!?:])[\"')\]]?\s+(?=[^a-z\s])"
    r"|\n[^\S\n]*\n"
    r"|\n(?=[^\S\n]*(?:[-*\u2022#]|[0-9]{1,3}[.)])\s)"
)
_LAST_WORD_RE = re.compile(r"\s\S*$")
_STOP_WORDS = frozenset(
    "a about after again all am an and any are as at be because been before but by can could did do does doing for "
    "from get got had has have hello hey hi how i if im in into is it its ive just long me my no not of on or our out "
    "please should so some than thank thanks that the their them then there they this to up us was we what when where "
    "which who why will with would you your la cua toi thi va co duoc cho khong".split()
)


def quote(question: str, passages: Sequence[Passage], *, min_score: float) -> DocumentCited | None:
    """At most 300 characters of the passage nearest to the question; `None` if none is as near as `min_score`."""
    best = max(passages, key=lambda passage: passage.score, default=None)
    if best is None or not best.score >= min_score:
        return None
    text = _most_relevant(best.text, _content(question))
    return DocumentCited(document_id=best.document_id, version=best.version, quote=text) if text else None


def _most_relevant(text: str, asked: frozenset[str]) -> str:
    """The sentence that shares the rarest words with the question, with what follows where it only leads up to it."""
    spans = _sentences(text)
    if not spans:
        return ""
    contents = [_content(text[start:end]) for start, end in spans]
    spread = Counter(word for content in contents for word in content)
    shared = [sum(1 / spread[word] for word in asked & content) for content in contents]
    first = max(range(len(spans)), key=lambda at: (not _is_heading(text[slice(*spans[at])]), shared[at], -at))
    last = first
    while last + 1 < len(spans) and spans[last + 1][1] - spans[first][0] <= QUOTE_CHARS_MAX:
        if not (_leads_on(text[slice(*spans[last])]) or asked & contents[last + 1]):
            break
        last += 1
    return _cut(text[spans[first][0] : spans[last][1]])


def _sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences, headings and list items of a text begin and end, without the white space around them."""
    edges = [0, *(edge for found in _BREAK_RE.finditer(text) for edge in (found.start(), found.end())), len(text)]
    spans = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        piece = text[start:end]
        begin = start + len(piece) - len(piece.lstrip())
        if piece.strip():
            spans.append((begin, begin + len(piece.strip())))
    return spans


def _content(text: str) -> frozenset[str]:
    """The words that carry meaning, roughly without their endings."""
    return frozenset(_stem(word) for word in words(text) if word not in _STOP_WORDS)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:  # noqa: PLR2004 - "is" and "red" keep their endings
            return word.removesuffix(ending)
    return word


def _leads_on(sentence: str) -> bool:
    """Whether it is a question, an announcement or a heading, and says nothing without what follows."""
    return sentence.endswith(("?", ":")) or _is_heading(sentence)


def _is_heading(sentence: str) -> bool:
    return sentence.startswith("#") or (sentence[-1].isalnum() and len(sentence.split()) <= WORDS_OF_HEADING_MAX)


def _cut(text: str) -> str:
    """At most 300 characters, ending with a whole word."""
    if len(text) <= QUOTE_CHARS_MAX:
        return text
    shortened = _LAST_WORD_RE.sub("", text[: QUOTE_CHARS_MAX + 1])
    return shortened[:QUOTE_CHARS_MAX]
