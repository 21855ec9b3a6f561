"""Documents as they come (plain text, Markdown, HTML, PDF), turned into the text that is published and quoted."""

from pathlib import PurePath

from domain.document import TextFormat
from domain.errors import Rejection
from gateway.formats.html import html_content
from gateway.formats.pdf import pdf_content
from gateway.formats.port import Content

PLAIN, MARKDOWN, HTML, PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
MEDIA_TYPES = (PLAIN, MARKDOWN, HTML, PDF)
_BY_SUFFIX = {
    ".txt": PLAIN,
    ".text": PLAIN,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".pdf": PDF,
}

__all__ = ["MEDIA_TYPES", "Content", "media_type_of", "read_content"]


def media_type_of(path: PurePath) -> str | None:
    """The media type of a file by its name, `None` if no document is named like that."""
    return _BY_SUFFIX.get(path.suffix.lower())


def read_content(raw: bytes, media_type: str) -> Content:
    """Text, and the title if the document names one.

    Raises:
        Rejection: `document.format_unknown`, `document.not_utf8`, `document.unreadable` or `document.empty`.
    """
    if media_type == PDF:
        return _not_empty(pdf_content(raw))
    if media_type not in MEDIA_TYPES:
        raise Rejection("document.format_unknown", f"{media_type}: send one of {', '.join(MEDIA_TYPES)}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejection("document.not_utf8", f"{error.reason} at byte {error.start}; send it in UTF-8") from error
    if media_type == HTML:
        return _not_empty(html_content(text))
    text_format: TextFormat = "plain" if media_type == PLAIN else "markdown"
    return _not_empty(
        Content(title=_first_heading(text) if media_type == MARKDOWN else "", text=text, text_format=text_format)
    )


def _first_heading(text: str) -> str:
    """The first top heading of a Markdown document (`# Words`), if it has one."""
    line = next((line for line in text.splitlines() if line.startswith("# ")), "")
    return line.removeprefix("# ").strip().rstrip("#").rstrip()


def _not_empty(content: Content) -> Content:
    if not content.text.strip():
        raise Rejection("document.empty", "there is no text in it; a scanned PDF needs a text layer first")
    return content
