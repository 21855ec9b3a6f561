"""What stands at a place of a record: words, ids, amounts and times, by the settings of a mapping.

Every function raises `Rejection` that names the field of the mapping and never shows what stood there: it may be free
text, and a reason of a refusal is read by many.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain.errors import Rejection
from domain.ids import is_object_id
from domain.mapping_settings import TIME_FORMATS, AmountSettings, Field, FieldSettings, TimeSettings
from domain.money import exponent

Record = Mapping[str, object]

AMOUNT_MINOR_MAX = 10**15
SEQUENCE_MAX = 2**63 - 1
_DIGITS_MAX = 30
_PATTERNS_MAX = 256
_TICKS_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock; its zone is another setting
_YEAR_MIN = 1970

_CURRENCY_RE = re.compile(r"[A-Za-z]{3}")
_CODE_RE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_OFFSET_RE = re.compile(r"([+-])(\d{2}):?(\d{2})")
_WHOLE_RE = re.compile(r"[+-]?[0-9]{1,30}")


def value_at(record: Record, path: str) -> object:
    """What stands at a dotted path; `None` if nothing does. A key that itself has dots in it is found too."""
    current: object = record
    rest = path
    while True:
        if isinstance(current, Mapping):
            if rest in current:
                return current[rest]
            key, dot, rest = rest.partition(".")
            current = current.get(key)
        elif isinstance(current, list | tuple):
            key, dot, rest = rest.partition(".")
            current = current[int(key)] if key.isascii() and key.isdigit() and int(key) < len(current) else None
        else:
            return None
        if not dot:
            return current


def first_at(record: Record, path: str | tuple[str, ...]) -> object:
    """What stands at the first of the paths where anything stands; `None` if nothing does."""
    for each in (path,) if isinstance(path, str) else path:
        found = value_at(record, each)
        if found is not None and found != "":
            return found
    return None


def word(record: Record, field: Field, name: str) -> str:
    """The text of a field, translated by its table; empty if there is none.

    Raises:
        Rejection: `event.field_malformed` for a list or an object, `event.unknown_word` for what has no row.
    """
    if isinstance(field, str):
        return _text(first_at(record, field), name) if field else ""
    found = field.constant or _text(first_at(record, field.path), name)
    if not field.table:
        return found
    if found in field.table:
        return field.table[found]
    if not found:
        return ""
    raise Rejection("event.unknown_word", f"{name}: what stands at {_place(field)} has no row in its table")


def needed(record: Record, field: Field, name: str) -> str:
    """As `word`, and never empty: raises `Rejection("event.field_missing")`."""
    found = word(record, field, name)
    if not found:
        raise Rejection("event.field_missing", f"{name}: nothing stands at {_place(field)}")
    return found


def object_id(record: Record, field: Field, name: str, *, optional: bool = False) -> str:
    """The id in a field. Raises `Rejection("event.id_malformed")` for what cannot be one."""
    found = word(record, field, name) if optional else needed(record, field, name)
    if found and not is_object_id(found):
        raise Rejection("event.id_malformed", f"{name}: what stands at {_place(field)} is no id")
    return found


def code(record: Record, field: Field, name: str) -> str:
    """A reason's code; empty for prose, which may hold a name. What was said of the money counts without its reason."""
    try:
        found = word(record, field, name)
    except Rejection:
        return ""
    return found if _CODE_RE.fullmatch(found) else ""


def currency(record: Record, field: Field, name: str) -> str:
    """An ISO 4217 code in upper case. Raises `Rejection("event.currency_malformed")`."""
    found = needed(record, field, name)
    if _CURRENCY_RE.fullmatch(found) is None:
        raise Rejection("event.currency_malformed", f"{name}: what stands at {_place(field)} is not three letters")
    return found.upper()


def sequence(record: Record, field: Field, name: str) -> int | None:
    """A whole number from 0, `None` if nothing is there. Raises `Rejection("event.sequence_malformed")`."""
    found = word(record, field, name)
    if not found:
        return None
    if _WHOLE_RE.fullmatch(found) is None or not 0 <= int(found) <= SEQUENCE_MAX:
        raise Rejection("event.sequence_malformed", f"{name}: what stands at {_place(field)} is no whole number")
    return int(found)


def amount_minor(record: Record, field: str | AmountSettings, code_of: str, name: str) -> int | None:
    """An amount in minor units of the currency `code_of`; `None` if nothing is there.

    Raises:
        Rejection: `event.amount_malformed` for what is no number, or has more decimals than the currency;
            `event.amount_out_of_range` for one that is negative or too large.
    """
    written = AmountSettings(path=field) if isinstance(field, str) else field
    found = first_at(record, written.path)
    if found is None:
        return None
    try:
        number = _number(found, written)
    except (ValueError, InvalidOperation, Base64Error) as error:
        raise Rejection("event.amount_malformed", f"{name}: what stands at {written.path} is no amount") from error
    if not number.is_finite() or number.adjusted() > _DIGITS_MAX:
        raise Rejection("event.amount_out_of_range", f"{name}: the amount at {written.path} is too large")
    minor = number.scaleb(exponent(code_of) - _decimals(found, written, code_of))
    if minor != minor.to_integral_value():
        detail = f"{name}: the amount at {written.path} has more decimals than {code_of} has"
        raise Rejection("event.amount_malformed", detail)
    whole = abs(int(minor)) if written.absolute else int(minor)
    if not 0 <= whole <= AMOUNT_MINOR_MAX:
        detail = f"{name}: the amount at {written.path} is not between 0 and {AMOUNT_MINOR_MAX} minor units"
        raise Rejection("event.amount_out_of_range", detail)
    return whole


def time(record: Record, field: str | TimeSettings, name: str) -> datetime:
    """A time, in UTC. A local time that comes twice when clocks go back is the earlier one, unless its offset is told.

    Raises:
        Rejection: `event.field_missing`; `event.time_malformed` for what is no time, has no zone, or is a local time
            that the zone skips; `event.time_out_of_range` for one before 1970 or after 9999.
    """
    written = TimeSettings(path=field) if isinstance(field, str) else field
    found = first_at(record, written.path)
    if found is None:
        raise Rejection("event.field_missing", f"{name}: nothing stands at {written.path}")
    try:
        told = _told(found, written.format, name)
        if told.tzinfo is None:
            is_text = isinstance(found, str) and written.format not in _TICKS_PER_S
            told = _in_zone(told, _zone(record, written, is_text=is_text))
        utc = told.astimezone(UTC)
    except OverflowError as error:
        raise Rejection("event.time_out_of_range", f"{name}: the time at {written.path} is out of range") from error
    except (ValueError, InvalidOperation) as error:
        # The sentence of a `_RefusedError` is our own; the library's shows what stood there.
        why = str(error) if isinstance(error, _RefusedError) else f"does not fit {written.format}"
        raise Rejection("event.time_malformed", f"{name}: the time at {written.path} {why}") from error
    if utc.year < _YEAR_MIN:
        raise Rejection("event.time_out_of_range", f"{name}: the time at {written.path} is before {_YEAR_MIN}")
    return utc


def zone_named(text: str) -> tzinfo:
    """`Europe/Amsterdam`, `+07:00` or `Z`. Raises `ValueError`."""
    if text in {"Z", "UTC", "GMT"}:
        return UTC
    if (offset := _OFFSET_RE.fullmatch(text)) is not None:
        sign, hours, minutes = offset.groups()
        east = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-east if sign == "-" else east)
    return _region(text)


class _RefusedError(ValueError):
    """A reason in a sentence of our own, safe to show."""


@lru_cache(maxsize=_PATTERNS_MAX)
def _region(text: str) -> tzinfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise _RefusedError("names a zone that there is not") from error


def _zone(record: Record, written: TimeSettings, *, is_text: bool) -> tzinfo:
    """The zone of a wall clock: the record's own word for it, else the setting.

    Without either, a number counts from 1970 in UTC, and a text is refused.
    """
    told = _text(value_at(record, written.zone_path), "zone_path") if written.zone_path else ""
    named = written.zones.get(told, told) or written.zone
    if named:
        return zone_named(named)
    if is_text:
        raise _RefusedError("has no offset; set zone or zone_path")
    return UTC


def _in_zone(wall: datetime, zone: tzinfo) -> datetime:
    """The instant of a wall clock; the earlier of two (PEP 495, `fold=0`)."""
    instant = wall.replace(tzinfo=zone, fold=0)
    if instant.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        raise _RefusedError("is one that its zone skips")
    return instant


def is_format(text: str) -> bool:
    """Whether a time can be written so and read again."""
    if text in TIME_FORMATS:
        return True
    try:
        return bool(datetime.strptime(_EPOCH.strftime(text), text))  # noqa: DTZ007 - only the pattern counts
    except (ValueError, re.error):
        return False


def _told(found: object, format_: str, name: str) -> datetime:
    """The time as written, without a zone if none is told."""
    if isinstance(found, datetime):
        return found
    if format_ in _TICKS_PER_S:
        ticks = Decimal(_text(found, name))
        if not ticks.is_finite() or ticks.adjusted() > _DIGITS_MAX:
            raise OverflowError
        return _EPOCH + timedelta(microseconds=int(ticks.scaleb(6) / _TICKS_PER_S[format_]))
    text = _text(found, name)
    return datetime.fromisoformat(text) if format_ == "rfc3339" else datetime.strptime(text, format_)  # noqa: DTZ007 - the zone is another setting


def _decimals(found: object, written: AmountSettings, code_of: str) -> int:
    """How many decimals of the major unit one unit of the number is."""
    if written.unit == "major" or (written.base64 and isinstance(found, Decimal)):
        return 0
    return exponent(code_of) if written.decimals == -1 else written.decimals


def _number(found: object, written: AmountSettings) -> Decimal:
    if isinstance(found, int | float | Decimal) and not isinstance(found, bool):
        return Decimal(repr(found)) if isinstance(found, float) else Decimal(found)
    text = found.strip() if isinstance(found, str) else ""
    if written.base64:
        return Decimal(int.from_bytes(b64decode(text, validate=True), signed=True))
    if _pattern(written.thousands, written.point).fullmatch(text) is None:
        raise ValueError
    return Decimal(text.replace(written.thousands, "").replace(written.point, "."))


@lru_cache(maxsize=_PATTERNS_MAX)
def _pattern(thousands: str, point: str) -> re.Pattern[str]:
    """Digits, in groups of three if they are separated at all, and decimals."""
    grouped = rf"|[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}}){{1,9}}" if thousands else ""
    return re.compile(rf"[+-]?(?:[0-9]{{1,{_DIGITS_MAX}}}{grouped})(?:{re.escape(point)}[0-9]{{1,18}})?")


def _text(found: object, name: str) -> str:
    """One way to write each scalar: `true`, `12`, `12.5`."""
    match found:
        case None:
            return ""
        case str():
            return found.strip()
        case bool():
            return "true" if found else "false"
        case int() | float() | Decimal():
            return str(found)
        case datetime():
            return found.isoformat()
        case _:
            raise Rejection("event.field_malformed", f"{name}: a list or an object stands where a word belongs")


def _place(field: Field) -> str:
    """Where a field looks, for a person."""
    path = field.path if isinstance(field, FieldSettings) else field
    return path if isinstance(path, str) else " or ".join(path)
