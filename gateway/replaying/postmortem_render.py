"""A postmortem as Markdown and as one HTML file, and what of it may be read outside. Same postmortem, same bytes."""

from base64 import b64encode
from collections.abc import Callable, Mapping

from markdown_it import MarkdownIt

from gateway.replaying.postmortem import Postmortem, Sentence, Table

_HOW_TO_READ = (
    "Numbers in brackets are the evidence: `[812]` is the event at log position 812 (`events.jsonl` beside this file), "
    "`[S17]` the sample of that number (`samples.jsonl`). Nothing here was written by a person; what a person "
    "concludes goes into a page of its own. Times are UTC."
)
_NO_PICTURES: Mapping[str, bytes] = {}
CITED_MAX = 12

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}th,td{border:1px solid #d0d7de;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}h1,h2{line-height:1.2}img{max-width:100%}code{background:#f3f4f6}"
)


def evidence(sentence: Sentence) -> str:
    """`[812][815][S17]`; of very many the first, and how many more."""
    marks = [*(f"[{each}]" for each in sentence.positions), *(f"[S{each}]" for each in sentence.samples)]
    more = f" and {len(marks) - CITED_MAX} more" if len(marks) > CITED_MAX else ""
    return "".join(marks[:CITED_MAX]) + more


def markdown(postmortem: Postmortem) -> str:
    """The whole of it, for those who run the node."""
    lines = [f"# {postmortem.title}", "", _HOW_TO_READ]
    for section in postmortem.sections:
        if not (section.sentences or section.table or section.pictures):
            continue
        lines += ["", f"## {section.title}", ""]
        lines += [f"- {each.text} {evidence(each)}" for each in section.sentences]
        lines += [*([""] if section.sentences and section.table else []), *_table(section.table)]
        for name in section.pictures:
            lines += ["", f"![{name.replace('-', ' ')}]({name}.svg)"]
    return "\n".join(lines) + "\n"


def _table(table: Table | None) -> list[str]:
    if table is None or not table.rows:
        return []
    columns = (*table.columns, "evidence")
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(each) for each in (*cells, evidence(said)))} |" for cells, said in table.rows]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def public(postmortem: Postmortem, clean: Callable[[str], str]) -> str:
    """What may be read outside, in Markdown: the sentences that have a version without ids, scrubbed once more."""
    lines = ["# What happened, and what we did", ""]
    lines += ["This page was made from the record of the incident; names, ids and amounts are left out."]
    for section in postmortem.sections:
        said = [clean(each.public) for each in section.sentences if each.public]
        if said:
            lines += ["", f"## {section.title}", "", *(f"- {each}" for each in said)]
    return "\n".join(lines) + "\n"


def html(postmortem: Postmortem, pictures: Mapping[str, bytes] = _NO_PICTURES) -> str:
    """One file that can be sent; pictures (SVG by name) are inside."""
    text = markdown(postmortem)
    for name, svg in pictures.items():
        text = text.replace(f"({name}.svg)", f"(data:image/svg+xml;base64,{b64encode(svg).decode()})")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Its own rule refuses any data: address; these are made here, and nowhere else is one written.
    parser.validateLink = lambda url: not url.startswith("javascript:")  # type: ignore[method-assign]  # the library's way
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{postmortem.title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{parser.render(text)}</body></html>\n"
    )
