"""PDF as Markdown: the text layer page by page, with the headings that the file's own outline names."""

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from domain.errors import Rejection
from gateway.formats.port import Content

PAGES_MAX = 1_000
_LEVEL_MAX = 6
_TITLE_CHARS_MAX = 500
_SPACE_RE = re.compile(r"\s+")


def pdf_content(raw: bytes) -> Content:
    """The document's title and text. Paragraphs are as the file's lines are; what is drawn or scanned is not read.

    Raises:
        Rejection: `document.unreadable` for what is damaged, encrypted or has too many pages.
    """
    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Rejection("document.unreadable", "the PDF is encrypted; send it without a password")
        if len(reader.pages) > PAGES_MAX:
            raise Rejection("document.unreadable", f"a PDF may have {PAGES_MAX} pages; split it")
        headings = _headings(reader)
        pages = ["\n".join(_lines(page.extract_text(), headings.get(n, {}))) for n, page in enumerate(reader.pages)]
        title = str((reader.metadata and reader.metadata.title) or "")
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        # A library that repairs what it can meets damage that it did not think of in many shapes.
        raise Rejection(
            "document.unreadable", f"this cannot be read as a PDF: {type(error).__name__}: {error}"
        ) from error
    text = re.sub(r"\n{3,}", "\n\n", "\n\n".join(page.strip() for page in pages)).strip()
    return Content(title=_words(title)[:_TITLE_CHARS_MAX], text=text)


def _headings(reader: PdfReader) -> Mapping[int, dict[str, int]]:
    """By page: the words of the outline's entries, in small letters, and their levels."""
    found: dict[int, dict[str, int]] = {}
    for level, entry in _outline(reader.outline, 1):
        page = reader.get_destination_page_number(entry)
        if page is not None:
            found.setdefault(page, {})[_words(str(entry.title)).casefold()] = min(level, _LEVEL_MAX)
    return found


def _outline(entries: list[Any], level: int) -> Iterator[tuple[int, Any]]:
    """The outline's entries with their levels; a list among them is what stands below the entry before it."""
    for entry in entries:
        if isinstance(entry, list):
            yield from _outline(entry, level + 1)
        else:
            yield level, entry


def _lines(text: str, headings: Mapping[str, int]) -> Iterator[str]:
    for line in text.splitlines():
        level = headings.get(_words(line).casefold())
        if level is not None:
            yield f"\n{'#' * level} {_words(line)}\n"
        else:
            yield f"\\{line}" if line.startswith("#") else line.rstrip()


def _words(text: str) -> str:
    return _SPACE_RE.sub(" ", text).strip()
