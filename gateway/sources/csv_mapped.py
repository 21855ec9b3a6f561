"""Any export with a header, by a mapping: the columns are the paths of docs/sources/mapping.md."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from domain.errors import Rejection
from domain.mapping_settings import AmountSettings, DocumentSettings, FactSettings, FieldSettings, TimeSettings
from domain.tenant_settings import SourceSettings
from gateway.sources.csv_rows import read_row
from gateway.sources.mapping import map_record
from gateway.sources.mapping_records import mapping_of
from gateway.sources.port import Acknowledgement, Reading, Trust, Unreadable

KIND = "csv"


class MappedCsv:
    """A source whose rows are read by its mapping. Raises `TerminalError` if it has none or it cannot work."""

    acknowledgement = Acknowledgement()

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name = name
        self._mapping = mapping_of(name, settings)

    def verify(self, headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:  # noqa: ARG002 - every source has it
        """Refuses: nothing signs an export, so none is taken from the network."""
        return "signature.unsupported"

    def wanted(self, columns: Sequence[str]) -> Sequence[str]:
        """The columns that the mapping names; of several names for one value, one must be there."""
        mapping = self._mapping
        rules: list[FactSettings | DocumentSettings] = [*mapping.facts, *mapping.documents]
        places = {place for rule in rules for place in _places(rule)}
        places |= {_alternatives(each) for each in (mapping.event_id, mapping.event_type) if each}
        there = set(columns)
        missing = sorted(" or ".join(place) for place in places if place and there.isdisjoint(place))
        if missing:
            detail = f"this is no export that the mapping of {self.name} reads: it has no column {', '.join(missing)}"
            raise Rejection("export.columns_missing", detail)
        named = {column for place in places for column in place}
        return [column for column in columns if column in named]

    def read(self, raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:  # noqa: ARG002 - as above
        """What a row says. Every reason begins with `line N:`."""
        return read_row(
            raw, lambda row: map_record(self._mapping, dict(row), provider=self.name, source="export", ref=ref)
        )


def _places(rule: FactSettings | DocumentSettings) -> Iterable[tuple[str, ...]]:
    """Where a rule looks: for each value the names of its column."""
    for field in msgspec.structs.fields(rule):
        value = getattr(rule, field.name)
        match value:
            case dict() if field.name in {"when", "withdrawn"}:
                yield from ((column,) for column in value)
            case dict():
                yield from (_alternatives(each) for each in value.values())
            case tuple():
                yield from (_alternatives(each) for each in value)
            case TimeSettings(zone_path=column) if column:
                yield from ((column,), _alternatives(value))
            case _ if field.name != "kind":
                yield _alternatives(value)


def _alternatives(field: str | FieldSettings | AmountSettings | TimeSettings) -> tuple[str, ...]:
    path = field if isinstance(field, str) else field.path
    return ((path,) if path else ()) if isinstance(path, str) else path
