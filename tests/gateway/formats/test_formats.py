"""Documents of every format become text with its headings, and what cannot be read says why."""

import time
import zlib
from contextlib import suppress
from pathlib import PurePath

import pytest

from domain.errors import Rejection
from gateway.formats import media_type_of, read_content
from projections.chunking import chunks

PAGE = """<!doctype html><html><head><title>Refunds &amp; fees</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav>
<h1>Refunds</h1>
<p>A refund takes <b>five</b> days.<br>Weekends   excepted.</p>
<h2>How do I ask?</h2>
<ol><li>Open the <a href="x">payment</a>.<ul><li>Or the order.</li></ul></li><li>Press refund.</li></ol>
<table><tr><th>Card</th><th>Days</th></tr><tr><td>Visa</td><td>5</td></tr></table>
<pre>GET /refunds
  ?id=1</pre>
<p># 1 is no heading</p><p hidden>Secret</p><script>alert("x")</script><!-- note -->
<div>Before <p>inside</p> after</div>
</body></html>"""

AS_MARKDOWN = """# Refunds

A refund takes five days.
Weekends excepted.

## How do I ask?

- Open the payment.
  - Or the order.
- Press refund.

| Card | Days |
| Visa | 5 |

```
GET /refunds
  ?id=1
```

\\# 1 is no heading

Before

inside

after"""


def pdf(*pages: str, title: str = "", outline: str = "") -> bytes:
    """A small PDF: a page of lines each, its title, and an entry of the outline that leads to the first page."""
    kids = " ".join(f"{10 + 2 * number} 0 R" for number in range(len(pages)))
    outlines = "/Outlines 5 0 R" if outline else ""
    objects = {
        1: f"<< /Type /Catalog /Pages 2 0 R {outlines} >>".encode(),
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        4: f"<< /Title ({title}) >>".encode(),
        5: b"<< /Type /Outlines /First 6 0 R /Last 6 0 R /Count 1 >>",
        6: f"<< /Title ({outline}) /Parent 5 0 R /Dest [10 0 R /Fit] >>".encode(),
    }
    for number, page in enumerate(pages):
        drawn = "".join(f"1 0 0 1 50 {700 - 20 * at} Tm ({line}) Tj\n" for at, line in enumerate(page.split("\n")))
        stream = zlib.compress(f"BT /F1 12 Tf {drawn} ET".encode())
        objects[10 + 2 * number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {11 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        ).encode()
        head = f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode()
        objects[11 + 2 * number] = head + stream + b"\nendstream"
    body, offsets = b"%PDF-1.4\n", {}
    for number, content in objects.items():
        offsets[number] = len(body)
        body += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    size = max(objects) + 1
    rows = [f"{offsets[n]:010} 00000 n \n" if n in offsets else "0000000000 65535 f \n" for n in range(size)]
    table = f"xref\n0 {size}\n{''.join(rows)}trailer\n<< /Size {size} /Root 1 0 R /Info 4 0 R >>\n"
    return body + table.encode() + f"startxref\n{len(body)}\n%%EOF\n".encode()


def code(raw: bytes, media_type: str) -> str:
    with pytest.raises(Rejection) as refused:
        read_content(raw, media_type)
    return refused.value.code


def test_a_web_page_keeps_headings_lists_tables_and_code_and_loses_the_rest() -> None:
    content = read_content(PAGE.encode(), "text/html")

    assert (content.title, content.text_format) == ("Refunds & fees", "markdown")
    assert content.text == AS_MARKDOWN


def test_the_headings_of_a_web_page_are_those_of_its_passages() -> None:
    content = read_content(PAGE.encode(), "text/html")

    headings = {each.heading for each in chunks("refunds", 1, content.title, content.text)}

    assert headings == {"Refunds & fees > Refunds", "Refunds & fees > Refunds > How do I ask?"}


@pytest.mark.long
def test_a_hostile_page_takes_linear_time() -> None:
    started_s = time.perf_counter()

    content = read_content(("<ul><li>" * 5_000 + "x" + "<p>y" * 5_000).encode(), "text/html")

    assert time.perf_counter() - started_s < 5
    assert len(content.text) < 200_000


def test_the_text_layer_of_a_pdf_is_read_with_the_headings_of_its_outline() -> None:
    raw = pdf("Refund policy\nA refund takes five days.", "#1 Ask early.", title="Policies", outline="Refund policy")

    content = read_content(raw, "application/pdf")

    assert content.title == "Policies"
    assert content.text == "# Refund policy\n\nA refund takes five days.\n\n\\#1 Ask early."


def test_text_is_plain_or_markdown_as_it_says() -> None:
    raw = "\ufeff# Refunds\n\nFünf Tage.".encode()

    plain, markdown = read_content(raw, "text/plain"), read_content(raw, "text/markdown")

    assert (plain.title, plain.text_format) == ("", "plain")
    assert (markdown.title, markdown.text_format) == ("Refunds", "markdown")
    assert plain.text == markdown.text == "# Refunds\n\nFünf Tage."


def test_what_cannot_be_read_says_why() -> None:
    assert code(b"\xff\xfe", "text/plain") == "document.not_utf8"
    assert code(b"<p> </p><script>x</script>", "text/html") == "document.empty"
    assert code(pdf(""), "application/pdf") == "document.empty"
    assert code(b"no PDF at all", "application/pdf") == "document.unreadable"
    assert code(pdf("x")[:200], "application/pdf") == "document.unreadable"
    assert code(b"x", "image/png") == "document.format_unknown"


@pytest.mark.parametrize("cut", range(20, 700, 47))
def test_a_pdf_with_a_gap_is_read_or_refused(cut: int) -> None:
    raw = pdf("Refund policy\nA refund takes five days.", outline="Refund policy")

    with suppress(Rejection):
        read_content(raw[:cut] + b"\0" * 3 + raw[cut + 3 :], "application/pdf")


def test_the_names_of_files_say_their_types() -> None:
    names = ("a.md", "a.TXT", "a.html", "a.pdf", "a.sh", "a")

    assert [media_type_of(PurePath(name)) for name in names] == [
        "text/markdown",
        "text/plain",
        "text/html",
        "application/pdf",
        None,
        None,
    ]
