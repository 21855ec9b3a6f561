"""The rows of a CSV file of any size, in constant memory, each with the line and the byte where it begins.

What cannot be read is one bad row, and the next line is the next row: a quotation mark that is never closed would else
swallow the rest of the file.
"""

import codecs
import csv
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO

import msgspec

from domain.errors import TerminalError

# A row is held in memory and is one message; as JSON it may be six times as large, and a server takes 1 MiB.
ROW_BYTES_MAX = 131_072
ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252")


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is written: its encoding, one of `ENCODINGS`, and what separates its fields."""

    encoding: str = "utf-8-sig"
    delimiter: str = ","


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a row begins: the line (the first is 1) and the byte."""

    line: int = 1
    offset: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One row: where it begins, where the next one does, and its fields or what is wrong with it."""

    place: Place
    after: Place
    fields: tuple[str, ...] = ()
    problem: str = ""


class Records:
    """Reads rows from a file, from any place where one begins.

    Args:
        file: opened for bytes, seekable.
        dialect: how it is written.
        width: how many fields a row has; 0 before that is known.
    """

    def __init__(self, file: BinaryIO, dialect: Dialect, *, width: int = 0) -> None:
        self._file = file
        self._dialect = dialect
        self._encoding = "utf-8" if dialect.encoding == "utf-8-sig" else dialect.encoding
        self._width = width
        self._next = self._row = Place()

    def columns(self) -> tuple[list[str], Place]:
        """The header, without the spaces around its names, and where the first row begins.

        Raises `TerminalError` if the file has none.
        """
        for record in self.read(Place()):
            if record.problem:
                raise TerminalError(f"line {record.place.line}: {record.problem}; is this a CSV file?")
            self._width = len(record.fields)
            return [field.strip() for field in record.fields], record.after
        raise TerminalError("the file is empty: an export has at least a header")

    def read(self, start: Place) -> Iterator[Record]:
        """The rows from a place on. Rows without any text are passed over."""
        place: Place | None = start
        while place is not None:
            place = yield from self._read_until_bad(place)

    def _read_until_bad(self, place: Place) -> Generator[Record, None, Place | None]:
        """Rows up to and with the first bad one; returns where to go on, `None` at the end of the file."""
        self._seek(place)
        # Strict, because a file that ends inside of quotation marks is else one long row that looks right.
        reader = csv.reader(self._lines(), delimiter=self._dialect.delimiter, strict=True)
        while True:
            self._row = self._next
            fields, problem = self._one(reader)
            if fields is None and not problem:
                return None
            if problem or (self._width and fields and len(fields) != self._width):
                problem = problem or f"the row has {len(fields or ())} fields and the header {self._width}"
                return (yield from self._bad(problem))
            if fields and any(fields):
                yield Record(place=self._row, after=self._next, fields=tuple(fields))

    def _bad(self, problem: str) -> Generator[Record, None, Place]:
        """A bad row. Of one that seemed to have many lines, only the first is the bad one."""
        row = self._row
        if self._next.line > row.line + 1:
            self._seek(row)
            self._pass_line()
            problem = f"a quotation mark in this line is not closed, or {problem}"
        yield Record(place=row, after=self._next, problem=problem)
        return self._next

    def _one(self, reader: Iterator[list[str]]) -> tuple[Sequence[str] | None, str]:
        """The next row, or what is wrong with it; neither at the end of the file."""
        try:
            return next(reader, None), ""
        except UnicodeDecodeError:
            return None, f"the line is not {self._encoding}"
        except csv.Error as error:
            return None, f"the row cannot be read: {error}"

    def _seek(self, place: Place) -> None:
        self._file.seek(place.offset)
        self._next = self._row = place

    def _lines(self) -> Iterator[str]:
        """Lines as text. Raises `csv.Error` for a line, or a row of many, that is larger than a row may be."""
        while raw := self._pass_line():
            if self._next.offset - self._row.offset > ROW_BYTES_MAX:
                raise csv.Error(f"it has more than {ROW_BYTES_MAX} bytes")
            has_mark = self._row.offset == 0 and self._dialect.encoding == "utf-8-sig"
            yield (raw.removeprefix(codecs.BOM_UTF8) if has_mark else raw).decode(self._encoding)

    def _pass_line(self) -> bytes:
        """The next line, or the beginning of one that is too long; empty at the end of the file."""
        raw = part = self._file.readline(ROW_BYTES_MAX)
        while len(part) == ROW_BYTES_MAX and not part.endswith(b"\n"):
            part = self._file.readline(ROW_BYTES_MAX)
        if raw:
            self._next = Place(line=self._next.line + 1, offset=self._file.tell())
        return raw
