"""Rows of a file: each with its place, bad ones apart from the others, nothing held in memory."""

import csv
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import TerminalError
from gateway.importing_rows import ROW_BYTES_MAX, Dialect, Place, Record, Records

LINES = b"a,b,c\n1,2,3\n4,5,6\n"


def records(raw: bytes, **dialect: str) -> tuple[list[str], list[Record]]:
    """The columns of a file and its rows."""
    opened = Records(io.BytesIO(raw), Dialect(**dialect))
    columns, start = opened.columns()
    return columns, list(opened.read(start))


def rows(raw: bytes, **dialect: str) -> list[tuple[int, tuple[str, ...] | str]]:
    """The line and the fields of every row, or what is wrong with it."""
    return [(each.place.line, each.problem or each.fields) for each in records(raw, **dialect)[1]]


def test_every_row_has_its_line() -> None:
    assert records(LINES)[0] == ["a", "b", "c"]
    assert rows(LINES) == [(2, ("1", "2", "3")), (3, ("4", "5", "6"))]
    assert rows(LINES.replace(b"\n", b"\r\n")) == rows(LINES) == rows(LINES.rstrip())


def test_a_header_alone_is_an_empty_export() -> None:
    assert records(b"a,b,c\n") == (["a", "b", "c"], [])


@pytest.mark.parametrize("raw", [b"", b"\n\n"])
def test_a_file_without_a_header_is_refused(raw: bytes) -> None:
    with pytest.raises(TerminalError, match="empty"):
        records(raw)


def test_rows_of_several_lines_blank_rows_and_quotes_are_counted_by_lines() -> None:
    raw = b'a,b\n"one\ntwo, three",4\n\n,\n"say ""hi""",6\n'

    assert rows(raw) == [(2, ("one\ntwo, three", "4")), (6, ('say "hi"', "6"))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252"])
def test_a_file_is_read_in_its_encoding(encoding: str) -> None:
    raw = "é, b ,c\nü,2,3\n".encode(encoding)

    assert records(raw, encoding=encoding)[0] == ["é", "b", "c"]
    assert rows(raw, encoding=encoding) == [(2, ("ü", "2", "3"))]


def test_a_mark_at_the_beginning_is_no_part_of_the_first_column() -> None:
    assert records(b"\xef\xbb\xbf" + LINES)[0] == ["a", "b", "c"]


def test_fields_may_be_separated_by_something_else() -> None:
    for delimiter in ("\t", ";", "|"):
        assert rows(LINES.replace(b",", delimiter.encode()), delimiter=delimiter) == rows(LINES)


def test_a_row_with_too_few_or_too_many_fields_is_bad_and_the_rest_is_not() -> None:
    assert rows(b"a,b,c\n1,2\n4,5,6\n7,8,9,10\n") == [
        (2, "the row has 2 fields and the header 3"),
        (3, ("4", "5", "6")),
        (4, "the row has 4 fields and the header 3"),
    ]


@pytest.mark.parametrize("last", [b"4,5,6\n", b'4,5,"6"\n', b'"4",5,6\n7,"8\n8",9\n'])
def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_alone(last: bytes) -> None:
    (_, first), bad, *rest = rows(b'a,b,c\n1,2,3\nx,y,"z\n' + last)

    assert first == ("1", "2", "3")
    assert bad[0] == 3
    assert "quotation mark" in bad[1]
    assert rest == [(line + 2, fields) for line, fields in rows(b"a,b,c\n" + last)]


def test_a_line_in_another_encoding_is_bad_and_the_rest_is_not() -> None:
    assert rows(b"a,b\n\xff,2\n3,4\n") == [(2, "the line is not utf-8"), (3, ("3", "4"))]


def test_a_row_larger_than_a_row_may_be_is_bad_and_never_held() -> None:
    raw = b"a,b\n" + b"x" * (40 * ROW_BYTES_MAX) + b",2\n3,4\n"
    file = io.BytesIO(raw)
    opened = Records(file, Dialect())
    _, start = opened.columns()
    tracemalloc.start()
    bad, good = opened.read(start)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (bad.place.line, good.fields) == (2, ("3", "4"))
    assert "bytes" in bad.problem
    assert peak < 8 * ROW_BYTES_MAX


@pytest.mark.long
def test_a_row_that_spreads_over_more_than_a_row_may_have_is_bad_in_its_first_line() -> None:
    found = rows(b'a,b\n"' + b"x\n" * (ROW_BYTES_MAX // 2))

    assert found[0][0] == 2
    assert "quotation mark" in found[0][1]
    assert found[1] == (3, "the row has 1 fields and the header 2")


@pytest.mark.long
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_bytes(b"a,b,c\n" + b"1,2,3\n" * 500_000)
    with file.open("rb") as opened:
        read = Records(opened, Dialect())
        _, start = read.columns()
        tracemalloc.start()
        count = sum(1 for _, each in zip(range(20_000), read.read(start), strict=False) if each.fields)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert count == 20_000
    assert peak < 1_000_000


@given(
    st.lists(st.lists(st.text(alphabet='ab,"\n\r é', max_size=6), min_size=3, max_size=3), max_size=8),
    st.integers(0, 8),
)
def test_reading_goes_on_from_any_row_as_if_it_had_never_ended(table: list[list[str]], ended: int) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b", "c"], *table])
    raw = text.getvalue().encode()
    _, whole = records(raw)
    assert [list(each.fields) for each in whole] == [row for row in table if any(row)]

    before = whole[:ended]
    opened = Records(io.BytesIO(raw), Dialect())
    _, start = opened.columns()
    assert list(opened.read(before[-1].after if before else start)) == whole[ended:]


@given(st.binary(max_size=60) | st.text(alphabet='a,"\n\r', max_size=40).map(str.encode))
def test_any_bytes_are_rows_or_bad_rows_to_the_end(raw: bytes) -> None:
    opened = Records(io.BytesIO(b"a,b,c\n" + raw), Dialect())
    _, start = opened.columns()
    place = start
    for each in opened.read(start):
        assert each.place.offset >= place.offset
        assert each.after.offset > each.place.offset
        assert each.problem or len(each.fields) == 3
        place = each.after


def test_places_are_bytes_and_lines() -> None:
    _, found = records("a,b\né,2\n3,4\n".encode())

    assert [each.place for each in found] == [Place(line=2, offset=4), Place(line=3, offset=9)]
