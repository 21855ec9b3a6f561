"""Text as it is compared: without what only looks different, and its words without case and marks."""

import re
import unicodedata

_WORD_RE = re.compile(r"[a-z0-9]+")
_MARKS_RE = re.compile(r"[\u0300-\u036f]+")
_FOLDS = str.maketrans({"đ": "d", "'": "", "\u2019": ""})
# Neither seen nor meant: soft hyphens, zero-width and bidirectional marks, variation selectors.
_INVISIBLE_RE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0]+"
)


def plain(text: str) -> str:
    """The text with every character in its ordinary form (NFKC) and without the invisible ones."""
    if text.isascii():
        return text
    return _INVISIBLE_RE.sub("", unicodedata.normalize("NFKC", text))


def folded(text: str) -> str:
    """In lower case and without marks: "Hoàn tiền chưa? It's" -> "hoan tien chua? its"."""
    text = text.lower()
    if not text.isascii():
        text = _MARKS_RE.sub("", unicodedata.normalize("NFD", text))
    return text.translate(_FOLDS)


def words(text: str) -> list[str]:
    """The words, folded: "Hoàn tiền chưa? It's" -> hoan, tien, chua, its."""
    return _WORD_RE.findall(folded(text))
