"""A text as the detectors read it, and where each of its characters stands in the text as it came.

Whoever writes may decompose accents, put invisible characters between digits or use full-width ones: in a view they are
as everybody else's, so that one pattern sees them all. What is found in it is then cut out of the original.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

# The capitals of Latin, Greek and Cyrillic script, for a class of characters.
UPPER = "A-Z" + "".join(chr(code) for code in (*range(0xC0, 0x530), *range(0x1E00, 0x1F00)) if chr(code).isupper())
# A letter with marks of its own (at most 8: more are no accent), or anything that is not plain Latin text.
_MARKED = r"[^\u0300-\u036f][\u0300-\u036f]{1,8}+"
_UNUSUAL_RE = re.compile(
    rf"{_MARKED}|[^\t\n\r\x20-\x7e\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4-\u00b8\u00bb\u00bf-\u02ff\u1e00-\u1eff]",
    re.DOTALL,
)
_CONTROL_RE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NEW_LINES = "\x0b\x0c\x85\u2028\u2029"
# Letters that look like Latin ones (Unicode TR 39, confusables).
_LOOKALIKES = dict(
    zip(
        "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u03bf\u039f",
        "aeopcyxisjdABEKMHOPCTXoO",
        strict=True,
    )
)


class View:
    """A text, normalised.

    Attributes:
        text: each character as it is commonly written (composed, ASCII digits, spaces and hyphens; nothing invisible).
        flat: the same length: without accents, in lower case, a space for what is neither letter, digit nor _.
    """

    __slots__ = ("_ends", "_starts", "flat", "text")

    def __init__(self, original: str) -> None:
        self._starts: Sequence[int] | None = None
        self._ends: Sequence[int] = ()
        self.text = original
        if (_CONTROL_RE if original.isascii() else _UNUSUAL_RE).search(original) is not None:
            self._normalise(original)
        self.flat = self.text.translate(_FLAT)

    @property
    def is_original(self) -> bool:
        """Whether the text is as it came."""
        return self._starts is None

    def in_original(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the view that is not empty stands in the original."""
        if self._starts is None:
            return start, end
        return self._starts[start], self._ends[end - 1]

    def _normalise(self, original: str) -> None:
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for start, end in _unusual(original):
            if at < start:
                parts.append(original[at:start])
                starts.extend(range(at, start))
                ends.extend(range(at + 1, start + 1))
            at = end
            plain = _plain(original[start:end])
            if plain:
                parts.append(plain)
                starts.append(start)
                ends.append(end)
        parts.append(original[at:])
        starts.extend(range(at, len(original)))
        ends.extend(range(at + 1, len(original) + 1))
        self.text = "".join(parts)
        self._starts, self._ends = starts, ends


def _unusual(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _UNUSUAL_RE.finditer(text))


@lru_cache(maxsize=4096)
def _plain(cluster: str) -> str:
    """One character for a letter with its marks, or for one unusual character; none for what is invisible."""
    composed = unicodedata.normalize("NFKC", cluster)
    # A mark that has no composed form with its letter is decoration.
    first = composed[:1]
    category = unicodedata.category(first) if first else "Cf"
    if cluster in _NEW_LINES:
        return "\n"
    if category == "Zs":
        return " "
    if category == "Pd" or first == "\u2212":
        return "-"
    if category == "Nd":
        return str(unicodedata.digit(first))
    if category in {"Cc", "Cf", "Mn", "Me", "Cs"} and first not in "\t\n\r":
        return ""
    return _LOOKALIKES.get(first, first)


class _Flat(dict[int, str]):
    """For `str.translate`: what a character is when only its letter counts."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in "đĐ":
            flat = "d"
        elif not character.isalnum() and character != "_":
            flat = " "
        else:
            base = unicodedata.normalize("NFD", character)[0].lower()
            flat = base if len(base) == 1 else character
        # The table is of characters, not of texts: it ends where Unicode does.
        self[code] = flat
        return flat


_FLAT = _Flat()


def flat(text: str) -> str:
    """The text without accents, in lower case, a space for what is neither letter, digit nor _."""
    return View(text).flat
