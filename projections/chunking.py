"""Documents as passages: split at headings, then paragraphs, then sentences, each with its place in the original."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256

import msgspec

from domain.document import TextFormat

Span = tuple[int, int]

# With its heading a passage of this size stays below the 256 tokens that the embedding model reads.
CHARS_TARGET = 900
CHARS_MAX = 1_200
CHARS_MIN = 200
HEADING_CHARS_MAX = 120
_ID_CHARS = 16
_HEADING_LEVEL_MAX = 6

_FENCE_RE = re.compile(r"`{3,}|~{3,}")
_UNDERLINE_RE = re.compile(r"={3,}|-{3,}")
# Where a sentence may end: a heading's line, a blank line, the line before a list item, a table row or a code fence, a
# full-width stop (U+3002, U+FF01, U+FF1F), a run of stops with the quotes and brackets that it closes. Possessive and
# anchored, so that a megabyte of dots takes linear time.
_BREAK_RE = re.compile(
    r"""^[ ]{0,3}\#{1,6}[ \t][^\n]*\n
    | \n[ \t\r]*+\n
    | \n(?=[ \t]*+(?:[-*+•][ \t]|\d{1,3}[.)][ \t]|\#{1,6}[ \t]|\||```|~~~))
    | [\u3002\uff01\uff1f]++[\u201d\u2019\u300d\u300f\uff09]*+
    | (?P<stop>(?<![.!?…])[.!?…]++)["'\u201d\u2019»)\]*_]*+(?=\s)""",
    re.VERBOSE | re.MULTILINE,
)
_GAP_RE = re.compile(r"\n[ \t\r]*+\n")
_MARKER_RE = re.compile(r"(?:[-*+•>]|\d{1,3}[.)]|#{1,6})[ \t]+|(?:```|~~~)[^\n]*\n?\s*")
_INITIALS_RE = re.compile(r"[^\W\d_]|(?:[^\W\d_]\.)+[^\W\d_]")
_ABBREVIATIONS = frozenset(
    "approx art cf co dept dr ed est fig inc jr ltd mr mrs ms no nos nr prof sec sr st tel tp vs".split()
)


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One passage of one version of a document.

    `heading` is the document's title and the headings above the passage, joined with ` > `. `digest` is the SHA-256
    (hex) of `embedded`: equal digests have equal vectors, whatever the version. `chunk_id` is made of the document's id
    and the digest: a passage that a new version leaves as it is keeps its id, wherever it stands then.
    """

    chunk_id: str
    document_id: str
    version: int
    heading: str
    text: str
    digest: str

    @property
    def embedded(self) -> str:
        """What the embedder is given: the passage under its heading."""
        return _embedded(self.heading, self.text)


class PlacedChunk(Chunk, frozen=True, kw_only=True):
    """A passage with its place: it is the document's `ordinal`th, and its `text` is `original[start:end]`."""

    ordinal: int
    start: int
    end: int


class _Section(msgspec.Struct):
    """What stands under one heading: the headings above it with their levels, its own line, its paragraphs."""

    path: Sequence[tuple[int, str]]
    line: Span
    blocks: list[Span]


def chunk_id(document_id: str, digest: str, repetition: int = 0) -> str:
    """The id of a document's passage with this digest; a document may have the same passage again."""
    return f"{document_id}#{digest[:_ID_CHARS]}" + (f"-{repetition + 1}" if repetition else "")


def document_of(chunk_id: str) -> str:
    """The id of the document that a passage belongs to."""
    return chunk_id.rpartition("#")[0]


def chunks(
    document_id: str, version: int, title: str, text: str, *, text_format: TextFormat = "markdown"
) -> list[PlacedChunk]:
    """The passages of a document, in its order, without overlap; none only if it is blank.

    A passage has about `CHARS_TARGET` and at most `CHARS_MAX` characters, stays within its section, and ends where a
    sentence ends; only a sentence longer than `CHARS_MAX` is cut. YAML front matter is no passage. In plain text no
    line is a heading.
    """
    found: list[PlacedChunk] = []
    repetitions: Counter[str] = Counter()
    for section in _sections(text, is_plain=text_format == "plain"):
        heading = _heading(title, section.path)
        for start, end in _packed(text, section.blocks):
            passage = text[start:end]
            digest = sha256(_embedded(heading, passage).encode()).hexdigest()
            found.append(
                PlacedChunk(
                    chunk_id=chunk_id(document_id, digest, repetitions[digest]),
                    document_id=document_id,
                    version=version,
                    ordinal=len(found),
                    heading=heading,
                    text=passage,
                    start=start,
                    end=end,
                    digest=digest,
                )
            )
            repetitions[digest] += 1
    return found


def sentences(text: str) -> list[Span]:
    """The sentences of `text` as spans to quote: without list markers, heading marks and lines of mere punctuation."""
    quotable = (_without_marker(text, span) for span in _sentences(text, (0, len(text))))
    return [(start, end) for start, end in quotable if any(map(str.isalnum, text[start:end]))]


def _embedded(heading: str, text: str) -> str:
    return f"{heading}\n{text}" if heading else text


def _heading(title: str, path: Sequence[tuple[int, str]]) -> str:
    parts = [title.strip(), *(name for _, name in path)]
    if len(parts) > 1 and parts[0].casefold() == parts[1].casefold():
        del parts[0]
    return " > ".join(part[:HEADING_CHARS_MAX] for part in parts if part)


def _sections(text: str, *, is_plain: bool) -> list[_Section]:
    """Cut at headings and blank lines. A code block is one paragraph, and nothing in it is a heading."""
    sections = [_Section(path=(), line=(0, 0), blocks=[])]
    if is_plain:
        sections[0].blocks = [_trimmed(text, block) for block in _paragraphs(text)]
        return sections
    lines = _lines(text, _front_matter_end(text))
    fence = ""
    is_open = False  # whether the next line continues the last paragraph
    for index, (start, end) in enumerate(lines):
        line = text[start:end].strip()
        opening = _FENCE_RE.match(line)
        if fence:
            fence = "" if line.startswith(fence) and not line.strip(fence[0]) else fence
        elif opening is not None:
            fence = opening.group()
        elif not line:
            is_open = False
            continue
        elif heading := _heading_at(text, lines, index, is_open=is_open):
            sections.append(_below(sections[-1], heading, (start, end)))
            is_open = False
            continue
        elif not is_open and sections[-1].line[1] == start - 1 and _UNDERLINE_RE.fullmatch(line):
            continue
        blocks = sections[-1].blocks
        if is_open:
            blocks[-1] = (blocks[-1][0], end)
        else:
            blocks.append((start, end))
        is_open = True
    _keep_if_bare(sections[-1])
    for section in sections:
        section.blocks = [_trimmed(text, block) for block in section.blocks]
    return sections


def _paragraphs(text: str) -> Iterator[Span]:
    """What stands between blank lines."""
    start = 0
    for gap in [*_GAP_RE.finditer(text), None]:
        end = len(text) if gap is None else gap.start()
        if text[start:end].strip():
            yield start, end
        start = end if gap is None else gap.end()


def _lines(text: str, start: int) -> list[Span]:
    spans = []
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        spans.append((start, end))
        start = end + 1
    return spans


def _front_matter_end(text: str) -> int:
    """Where the document proper begins: behind YAML front matter, if there is any and something follows it."""
    if not text.startswith(("---\n", "---\r\n")):
        return 0
    closing = re.compile(r"\n---[ \t\r]*\n").search(text, 3)
    return closing.end() if closing is not None and text[closing.end() :].strip() else 0


def _heading_at(text: str, lines: Sequence[Span], index: int, *, is_open: bool) -> tuple[int, str] | None:
    """Level and words of the heading on this line: `## Words`, or words underlined with `===` or `---`."""
    start, end = lines[index]
    line = text[start:end].strip()
    words = line.lstrip("#")
    level = len(line) - len(words)
    if 1 <= level <= _HEADING_LEVEL_MAX and words[:1].isspace():
        return level, words.strip().rstrip("#").rstrip()
    if is_open or index + 1 == len(lines) or len(line) > HEADING_CHARS_MAX or not line[0].isalnum():
        return None
    underline = text[slice(*lines[index + 1])].strip()
    if _UNDERLINE_RE.fullmatch(underline) is None:
        return None
    return 1 if underline[0] == "=" else 2, line


def _below(section: _Section, heading: tuple[int, str], line: Span) -> _Section:
    """The section that a heading opens after `section`."""
    level = heading[0]
    if not section.path or level <= section.path[-1][0]:
        _keep_if_bare(section)
    return _Section(path=[*(above for above in section.path if above[0] < level), heading], line=line, blocks=[])


def _keep_if_bare(section: _Section) -> None:
    """A heading with nothing under it says something by itself: its line is its passage."""
    if section.path and not section.blocks:
        section.blocks.append(section.line)


def _packed(text: str, blocks: Sequence[Span]) -> list[Span]:
    """Join paragraphs, and the sentences of long ones, to passages."""
    packed: list[Span] = []
    for start, end in _pieces(text, blocks):
        if packed:
            first, last = packed[-1]
            limit = CHARS_MAX if last - first < CHARS_MIN else CHARS_TARGET
            if end - first <= limit:
                packed[-1] = (first, end)
                continue
        packed.append((start, end))
    if len(packed) > 1:
        start, end = packed[-1]
        if end - start < CHARS_MIN and end - packed[-2][0] <= CHARS_MAX:
            packed[-2:] = [(packed[-2][0], end)]
    return packed


def _pieces(text: str, blocks: Sequence[Span]) -> Iterator[Span]:
    for block in blocks:
        if block[1] - block[0] <= CHARS_TARGET:
            yield block
            continue
        for sentence in _sentences(text, block):
            yield from _cut(text, sentence)


def _cut(text: str, sentence: Span) -> Iterator[Span]:
    """A sentence in parts of at most `CHARS_MAX`, cut between words where there is a gap."""
    start, end = sentence
    while end - start > CHARS_MAX:
        gap = max(text.rfind(" ", start, start + CHARS_MAX + 1), text.rfind("\n", start, start + CHARS_MAX + 1))
        stop = gap if gap > start else start + CHARS_MAX
        yield _trimmed(text, (start, stop))
        start, end = _trimmed(text, (stop, end))
    yield start, end


def _sentences(text: str, within: Span) -> Iterator[Span]:
    """Everything in the span that is not blank, cut where sentences end."""
    start, end = within
    for match in _BREAK_RE.finditer(text, start, end):
        if match["stop"] is not None and not _is_stop(text, match, start):
            continue
        span = _trimmed(text, (start, match.end()))
        if span[0] < span[1]:
            yield span
        start = match.end()
    span = _trimmed(text, (start, end))
    if span[0] < span[1]:
        yield span


def _is_stop(text: str, match: re.Match[str], sentence_start: int) -> bool:
    """Whether a full stop ends a sentence, and not an abbreviation, an initial or the number of a list item."""
    following = text[match.end() : match.end() + 40].lstrip()[:1]
    if following.islower():
        return False
    if match["stop"] != ".":
        return True
    stop = match.start()
    before = text[max(sentence_start, stop - 40) : stop]
    word = before.split()[-1].lstrip("(\"'\u201c\u2018[*_") if before.split() else ""
    if word.isdecimal() and before.rpartition("\n")[2].strip(" \t-*+•>") == word:
        return False
    if word.casefold() in {"no", "nos", "nr"}:
        return not following.isdecimal()
    return word.casefold() not in _ABBREVIATIONS and _INITIALS_RE.fullmatch(word) is None


def _without_marker(text: str, span: Span) -> Span:
    start, end = span
    while (marker := _MARKER_RE.match(text, start, end)) is not None:
        start = marker.end()
    return start, end


def _trimmed(text: str, span: Span) -> Span:
    """The span without the white space at its ends."""
    passage = text[slice(*span)]
    end = span[0] + len(passage.rstrip())
    return end - len(passage.strip()), end
