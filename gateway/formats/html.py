"""HTML as Markdown: headings, paragraphs, lists, tables and code stay; navigation, scripts and styles go."""

import re
from collections.abc import Iterator

import msgspec
from selectolax.lexbor import LexborHTMLParser, LexborNode

from gateway.formats.port import Content

_SKIPPED = frozenset("script style noscript template svg nav footer button iframe object select title head".split())
_BLOCKS = frozenset(
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hr html li main ol p pre section summary table tbody td tfoot th thead tr ul".split()
)
_TITLE_CHARS_MAX = 500
_DEPTH_MAX = 8  # of lists in lists; what is nested for no reader must not fill the margin
_SPACE_RE = re.compile(r"\s+")
# At the beginning of a line these would mean something else to a reader of Markdown.
_MARK_RE = re.compile(r"^(?=#{1,6}\s|>|[-*+]\s|\d{1,9}[.)]\s|```|~~~|={3,}\s*$|-{3,}\s*$)")


class _Place(msgspec.Struct, frozen=True):
    """Where a node stands: the block that its text goes into, what that block is, and in how many lists."""

    block: int = 0
    kind: str = "p"
    row: int = 0
    depth: int = 0
    is_skipped: bool = False


class _Block(msgspec.Struct):
    """A block's text as it comes together."""

    place: _Place
    parts: list[str]


def html_content(html: str) -> Content:
    """The page's title (else its first heading) and its text as Markdown."""
    tree = LexborHTMLParser(html)
    named = tree.css_first("title") or tree.css_first("h1")
    title = _words(named.text()) if named is not None else ""
    text = "\n\n".join(_rendered(_blocks(tree.root))) if tree.root is not None else ""
    return Content(title=title[:_TITLE_CHARS_MAX], text=text)


def _blocks(root: LexborNode) -> list[_Block]:
    """The text of the page by block, in its order. A block that is interrupted by another one goes on as a new one."""
    places: dict[int, _Place] = {}
    blocks: list[_Block] = []
    for node in root.traverse(include_text=True):
        above = places.get(node.parent.mem_id, _Place()) if node.parent is not None else _Place()
        place = places[node.mem_id] = _below(above, node)
        if place.is_skipped:
            continue
        piece = "\n" if node.tag == "br" else str(node.text_content or "") if node.tag == "-text" else ""
        if node.tag in _BLOCKS or (piece and (not blocks or blocks[-1].place.block != place.block)):
            blocks.append(_Block(place, []))
        if piece:
            is_kept = place.kind == "pre" or node.tag == "br"
            blocks[-1].parts.append(piece if is_kept else _SPACE_RE.sub(" ", piece))
    return blocks


def _below(above: _Place, node: LexborNode) -> _Place:
    tag = str(node.tag)
    if above.is_skipped or tag in _SKIPPED or tag == "-comment" or "hidden" in (node.attributes or {}):
        return msgspec.structs.replace(above, is_skipped=True)
    if tag not in _BLOCKS:
        return above
    kind = above.kind if above.kind in {"pre", "cell"} else "p"
    if tag in {"pre", "li"} or re.fullmatch("h[1-6]", tag):
        kind = tag
    elif tag in {"td", "th"}:
        kind = "cell"
    return _Place(
        block=node.mem_id,
        kind=kind,
        row=node.mem_id if tag == "tr" else above.row,
        depth=min(above.depth + (tag in {"ul", "ol"}), _DEPTH_MAX),
    )


def _rendered(blocks: list[_Block]) -> Iterator[str]:
    """Blocks as Markdown: the cells of a row on one line, rows and the items of a list one below the other."""
    row = 0
    lines: list[str] = []
    kind = ""
    for block in blocks:
        place = block.place
        text = _text(block)
        if not text.strip():
            continue
        if lines and not (place.kind == kind in {"cell", "li"}):
            yield "\n".join(lines)
            lines = []
        if place.kind == "cell" and lines and place.row == row:
            lines[-1] += f" {text} |"
        else:
            lines.append(f"| {text} |" if place.kind == "cell" else text)
        kind, row = place.kind, place.row
    if lines:
        yield "\n".join(lines)


def _text(block: _Block) -> str:
    """The block's text as Markdown, a cell's without its borders."""
    text, place = "".join(block.parts), block.place
    if place.kind == "pre":
        return f"```\n{code}\n```" if (code := text.strip("\n")).strip() else ""
    if place.kind == "p":
        return "\n".join(_MARK_RE.sub(r"\\", line.strip()) for line in text.strip().split("\n"))
    words = _words(text)
    if not words or place.kind == "cell":
        return words
    if place.kind == "li":
        return f"{'  ' * max(0, place.depth - 1)}- {words}"
    return f"{'#' * int(place.kind[1])} {words}"


def _words(text: str) -> str:
    return _SPACE_RE.sub(" ", text).strip()
