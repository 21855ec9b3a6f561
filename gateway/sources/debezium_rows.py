"""Rows of a Debezium change record as values: by the schema that comes with it, or as they stand without one.

The semantic types are those of https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-data-types
and of Kafka Connect; the other connectors use the same.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from domain.errors import Rejection

Row = dict[str, object]

# What stands in the place of a large value that an update did not touch and the log does not repeat
# (PostgreSQL's TOAST; the setting `unavailable.value.placeholder`).
UNAVAILABLE = "__debezium_unavailable_value"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - columns without a zone are wall clocks
_SCALE_MAX = 100
_NS_PER_US = 1_000
# MongoDB's wrappers of one value (https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/).
_WRAPPED = frozenset({"$oid", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$uuid", "$symbol"})


def rows(payload: Mapping[str, object], schema: object) -> tuple[Row, Row]:
    """`before` and `after` of a change, empty where there is none.

    What an update did not touch and the log does not repeat is taken from before, or is not there.

    Raises:
        Rejection: `event.field_malformed` that names the column, for a value that is not of its schema's type.
    """
    types = _types(schema)
    before = _row(payload.get("before"), types.get("before", {}), "before")
    after = _row(payload.get("after"), types.get("after", {}), "after")
    if before:
        after = {name: before.get(name) if value == UNAVAILABLE else value for name, value in after.items()}
    return _available(before), _available(after)


def _available(row: Row) -> Row:
    return {name: value for name, value in row.items() if value != UNAVAILABLE}


def _types(schema: object) -> dict[str, dict[str, Mapping[str, Any]]]:
    """`before` and `after` -> column -> its schema, for the columns whose type has a name."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for part in _fields(schema):
        if part.get("field") in ("before", "after"):
            found[part["field"]] = {column["field"]: column for column in _fields(part) if _is_typed(column)}
    return found


def _is_typed(column: Mapping[str, Any]) -> bool:
    named, type_name = column.get("field"), column.get("name")
    return isinstance(named, str) and isinstance(type_name, str) and type_name in _CONVERSIONS


def _fields(schema: object) -> list[Mapping[str, Any]]:
    found = schema.get("fields") if isinstance(schema, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _row(given: object, types: Mapping[str, Mapping[str, Any]], part: str) -> Row:
    if given is None:
        return {}
    if isinstance(given, str):
        return _document(given, part)
    if not isinstance(given, Mapping):
        raise Rejection("body.wrong_shape", f"{part} is no row")
    return {
        name: value if value is None or name not in types else _converted(name, value, types[name])
        for name, value in given.items()
    }


def _converted(name: str, value: object, schema: Mapping[str, Any]) -> object:
    if value == UNAVAILABLE:
        return value
    try:
        return _CONVERSIONS[schema["name"]](value, schema)
    except (Base64Error, ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        detail = f"{name[:60]}: what stands there is no {schema['name'].rpartition('.')[2]}"
        raise Rejection("event.field_malformed", detail) from error


def _document(text: str, part: str) -> Row:
    """A document of MongoDB, which comes as a string of Extended JSON."""
    try:
        found = msgspec.json.decode(text, strict=True)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejection("body.wrong_shape", f"{part} is a string and no document") from error
    if not isinstance(found, dict):
        raise Rejection("body.wrong_shape", f"{part} is a string and no document")
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: object) -> object:
    """A value of Extended JSON without its wrapper; a date as its milliseconds since 1970 or its text."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((wrapper, inner),) = value.items()
            if wrapper in _WRAPPED:
                return inner
            if wrapper == "$date":
                return _plain(inner)
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _wall_clock(us_per_tick: Decimal) -> Callable[[Any, Mapping[str, Any]], object]:
    def convert(value: Any, schema: Mapping[str, Any]) -> object:  # noqa: ANN401 - any JSON
        return _EPOCH + timedelta(microseconds=int(_whole(value) * us_per_tick))

    return convert


def _date(value: Any, schema: Mapping[str, Any]) -> object:  # noqa: ANN401 - any JSON
    return _EPOCH + timedelta(days=_whole(value))


def _decimal(value: Any, schema: Mapping[str, Any]) -> object:  # noqa: ANN401 - any JSON
    """Bytes of the unscaled number, base64, with the scale in the schema; or, by the connector's settings, a number."""
    if isinstance(value, int | float | Decimal):
        return value
    return _scaled(value, int(schema["parameters"]["scale"]))


def _own_scale(value: Any, schema: Mapping[str, Any]) -> object:  # noqa: ANN401 - any JSON
    return _scaled(value["value"], _whole(value["scale"]))


def _scaled(encoded: str, scale: int) -> Decimal:
    unscaled = b64decode(encoded, validate=True)
    if abs(scale) > _SCALE_MAX or not unscaled:
        raise ValueError
    return Decimal(f"{int.from_bytes(unscaled, signed=True)}e{-scale}")


def _whole(value: Any) -> int:  # noqa: ANN401 - any JSON
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


_CONVERSIONS: Mapping[str, Callable[[Any, Mapping[str, Any]], object]] = {
    "io.debezium.time.Date": _date,
    "io.debezium.time.Timestamp": _wall_clock(Decimal(1_000)),
    "io.debezium.time.MicroTimestamp": _wall_clock(Decimal(1)),
    "io.debezium.time.NanoTimestamp": _wall_clock(Decimal(1) / _NS_PER_US),
    "io.debezium.data.VariableScaleDecimal": _own_scale,
    "org.apache.kafka.connect.data.Date": _date,
    "org.apache.kafka.connect.data.Decimal": _decimal,
    "org.apache.kafka.connect.data.Timestamp": _wall_clock(Decimal(1_000)),
}
