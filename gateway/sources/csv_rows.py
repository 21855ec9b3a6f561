"""Rows of exports as messages: `{"file": name, "line": n, "row": {column: text}}`, and what they have in common.

An export is not signed and never comes over HTTP. A row is one message, so that intake, quarantine and repetition are
the usual ones; a refusal names its line.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

from domain.errors import Rejection
from domain.fact import Fact
from domain.mapping_settings import AmountSettings
from domain.webhook import RecordSighting
from gateway.sources.mapping_values import amount_minor, currency, needed, object_id
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable

# Why a row cannot be read whose settings leave open how: no other row of the file can be.
UNDECIDED = "event.date_order_unknown"
_DIGEST_CHARS = 12


class RowMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row on its way.

    Args:
        line: of the file, the header is line 1; of a row of several lines, the first.
        file: its name without its folder.
        row: text by column, of the columns that the source needs; `None` if there is no row to be had.
        problem: why there is none.
    """

    line: int
    file: str = ""
    row: dict[str, str] | None = None
    problem: str = ""


@runtime_checkable
class Tabular(Protocol):
    """A source whose messages are the rows of a file with a header."""

    def wanted(self, columns: Sequence[str]) -> Sequence[str]:
        """Of the columns of a file, those that it needs. Raises `Rejection` if it is no such file, saying why."""
        ...


class Row:
    """One row while it is read. Every method raises `Rejection` that names the column and never shows what is there."""

    def __init__(self, fields: Mapping[str, str], ref: str) -> None:
        self.fields = fields
        self.ref = ref

    def text(self, column: str) -> str:
        """What stands in a column; empty if nothing does or there is no such column."""
        return self.fields.get(column, "").strip()

    def needed(self, column: str) -> str:
        return needed(self.fields, column, column)

    def object_id(self, column: str, *, optional: bool = False) -> str:
        return object_id(self.fields, column, column, optional=optional)

    def currency(self, column: str) -> str:
        return currency(self.fields, column, column)

    def amount_minor(self, column: str, code_of: str, *, point: str = ".") -> int | None:
        """An amount in major units without its sign, `None` if there is none: `-1,058.09` is 105809."""
        thousands = "," if point == "." else "."
        how = AmountSettings(path=column, unit="major", thousands=thousands, point=point, absolute=True)
        return amount_minor(self.fields, how, code_of, column)

    def needed_minor(self, column: str, code_of: str, *, point: str = ".") -> int:
        found = self.amount_minor(column, code_of, point=point)
        if found is None:
            raise Rejection("event.field_missing", f"{column}: nothing stands there")
        return found

    def reading(self, fact: Fact, key: str, row_type: str) -> Reading:
        """The reading of one fact, of which the id is made here.

        The id is the provider, the key and what is said, so that the same assertion is one fact in however many files
        it stands, and one that was corrected since is another.
        """
        said = [
            *(fact.object, fact.status, fact.occurred_at, fact.amount_minor, fact.currency, fact.customer_id),
            *(fact.authorized_minor, fact.captured_minor, fact.refunded_minor, fact.reason),
        ]
        digest = hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:_DIGEST_CHARS]
        fact = msgspec.structs.replace(fact, fact_id=f"{fact.provider}:{key}:{digest}", source="export", raw=self.ref)
        # A charge's id names its payment too, once it is known.
        names = [fact.object_id] if fact.kind == "charge" else []
        names += [ground.partition(":")[2] for ground in fact.refers_to]
        links = tuple((name, fact.payment_id) for name in names if name and name != fact.payment_id)
        return Reading(event_id=key, event_type=row_type, facts=(fact,), links=links)

    def sighting(self, source: str, row_id: str, row_type: str, at: datetime) -> Reading:
        """A row that states nothing that is kept, such as a fee."""
        seen = RecordSighting(source=source, event_id=row_id, event_type=row_type, occurred_at=at, raw=self.ref)
        return Reading(event_id=row_id, event_type=row_type, sighting=seen)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of file: what it is called, the columns it must and may have, and how its rows are read.

    A column that has had several names has them in `aliases`, other name -> the one used here.
    """

    title: str
    required: tuple[str, ...]
    read: Callable[[Row], Reading]
    optional: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}

    def names(self, columns: Sequence[str]) -> dict[str, str]:
        """Of the columns that are there, those that this layout has: column -> the name used here."""
        known = {*self.required, *self.optional}
        named = {column: column for column in columns if column in known}
        for column in columns:
            other = self.aliases.get(column, "")
            if other in known and other not in named.values():
                named[column] = other
        return named

    def missing(self, columns: Sequence[str]) -> list[str]:
        there = set(self.names(columns).values())
        return [column for column in self.required if column not in there]


class CsvSource:
    """A source of exports with fixed columns; each file is of one of the layouts, by its header."""

    acknowledgement = Acknowledgement()

    def __init__(self, name: str, layouts: Sequence[Layout]) -> None:
        self.name = name
        self._layouts = layouts

    def verify(self, headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:  # noqa: ARG002 - every source has it
        """Refuses: nothing signs an export, so none is taken from the network."""
        return "signature.unsupported"

    def wanted(self, columns: Sequence[str]) -> Sequence[str]:
        """The columns of the file's layout. Raises `Rejection("export.columns_missing")` that names what is missing."""
        return list(self._layout(columns).names(columns))

    def read(self, raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:  # noqa: ARG002 - as above
        """What a row says. Every reason begins with `line N:`."""
        return read_row(raw, lambda row: self._read(row, ref))

    def _read(self, row: Mapping[str, str], ref: str) -> Reading:
        layout = self._layout(list(row))
        return layout.read(Row({name: row[column] for column, name in layout.names(list(row)).items()}, ref))

    def _layout(self, columns: Sequence[str]) -> Layout:
        lacking = {layout.title: layout.missing(columns) for layout in self._layouts}
        found = next((layout for layout in self._layouts if not lacking[layout.title]), None)
        if found is None:
            title, missing = min(lacking.items(), key=lambda each: len(each[1]))
            raise Rejection("export.columns_missing", f"this is no {title}: it has no column {', '.join(missing)}")
        return found


_decode = msgspec.json.Decoder(RowMessage).decode


def read_row(raw: bytes, read: Callable[[Mapping[str, str]], Reading | Unreadable]) -> Reading | Unreadable:
    """What `read` makes of a message's row, or why there is none, with the line before the reason."""
    try:
        message = _decode(raw)
    except msgspec.ValidationError as error:
        return Unreadable(code="body.wrong_shape", detail=f"this is no row of an export: {error}"[:DETAIL_CHARS_MAX])
    except (msgspec.DecodeError, RecursionError) as error:
        return Unreadable(code="body.not_json", detail=f"the body is not JSON: {error}"[:DETAIL_CHARS_MAX])
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        return Unreadable(code="body.not_utf8", detail=detail)
    if message.row is None:
        return _at(message, "body.row_malformed", message.problem or "the row cannot be read")
    try:
        result = read(message.row)
    except Rejection as refused:
        code = refused.code.replace("export.", "body.", 1)
        return _at(message, code, refused.detail)
    return _at(message, result.code, result.detail) if isinstance(result, Unreadable) else result


def _at(message: RowMessage, code: str, detail: str) -> Unreadable:
    return Unreadable(code=code, detail=f"line {message.line}: {detail}"[:DETAIL_CHARS_MAX])
