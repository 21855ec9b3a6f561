"""Local times of exports: a date and a time as people write them, and a word for the zone that is no offset.

A wall clock comes twice when clocks go back and never when they go forward. Nothing here guesses by what a single row
looks like: the order of day and month and the zone are the file's, by its columns or its settings.
"""

from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from domain.errors import Rejection
from gateway.sources.mapping_values import zone_named


class Label(msgspec.Struct, frozen=True):
    """An abbreviation: hours east of UTC, the region that uses it, and whether it is that region's summer time."""

    hours: int
    region: str = ""
    is_summer: bool = False


# As exports of these providers print them; the tz database gives the same abbreviations (`%Z`) for these regions.
LABELS = {
    "UTC": Label(0),
    "GMT": Label(0),
    "WET": Label(0, "Europe/Lisbon"),
    "WEST": Label(1, "Europe/Lisbon", True),
    "BST": Label(1, "Europe/London", True),
    "CET": Label(1, "Europe/Amsterdam"),
    "CEST": Label(2, "Europe/Amsterdam", True),
    "EET": Label(2, "Europe/Helsinki"),
    "EEST": Label(3, "Europe/Helsinki", True),
    "EST": Label(-5, "America/New_York"),
    "EDT": Label(-4, "America/New_York", True),
    "CST": Label(-6, "America/Chicago"),
    "CDT": Label(-5, "America/Chicago", True),
    "MST": Label(-7, "America/Denver"),
    "MDT": Label(-6, "America/Denver", True),
    "PST": Label(-8, "America/Los_Angeles"),
    "PDT": Label(-7, "America/Los_Angeles", True),
    "AEST": Label(10, "Australia/Sydney"),
    "AEDT": Label(11, "Australia/Sydney", True),
    "JST": Label(9),
    "SGT": Label(8),
    "HKT": Label(8),
}


def wall_clock(text: str, pattern: str, name: str) -> datetime:
    """A date and time as written. Raises `Rejection("event.time_malformed")` that never shows what stood there."""
    try:
        told = datetime.strptime(text, pattern)  # noqa: DTZ007 - a wall clock; its zone stands in another column
    except ValueError as error:
        raise Rejection("event.time_malformed", f"{name}: the time does not fit {pattern}") from error
    if told.year < 1970:  # noqa: PLR2004 - no provider is older than Unix time
        raise Rejection("event.time_out_of_range", f"{name}: the time is before 1970")
    return told


def at_offset(wall: datetime, label: str, name: str) -> datetime:
    """The instant of a wall clock whose label says the offset of each row, as PST and PDT do in PayPal's files.

    The label may be a region of the tz database too. Raises `Rejection("event.time_malformed")`.
    """
    if (known := LABELS.get(label)) is not None:
        return (wall - timedelta(hours=known.hours)).replace(tzinfo=UTC)
    return in_region(wall, _zone(label, name), label, name)


def by_label(wall: datetime, label: str, name: str, *, region: str = "") -> datetime:
    """The instant of a wall clock of a region, or else of the label's region.

    The label decides only which of two equal wall clocks is meant. It may name the zone all year round: Adyen's own
    sample has `2013-06-03 11:26:49,CET`, a time in summer. Raises `Rejection("event.time_malformed")`.
    """
    known = LABELS.get(label)
    if region or (known is not None and known.region):
        return in_region(wall, _zone(region or (known.region if known else ""), name), label, name)
    return at_offset(wall, label, name)


def in_region(wall: datetime, zone: tzinfo, label: str, name: str) -> datetime:
    """The instant of a wall clock in a zone; of two, the one that the label means, else the earlier.

    Raises `Rejection("event.time_malformed")` for a wall clock that the zone skips, or in winter with the label of
    summer.
    """
    earlier, later = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    known = LABELS.get(label)
    offset = timedelta(hours=known.hours) if known is not None and known.region else None
    if earlier.utcoffset() != later.utcoffset():
        chosen = later if offset == later.utcoffset() else earlier
        if chosen.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
            raise Rejection("event.time_malformed", f"{name}: the zone skips this time: clocks went forward")
        return chosen.astimezone(UTC)
    if known is not None and known.is_summer and offset != earlier.utcoffset():
        raise Rejection("event.time_malformed", f"{name}: {label} is summer time, and the date is in winter")
    return earlier.astimezone(UTC)


def _zone(text: str, name: str) -> tzinfo:
    try:
        return zone_named(text)
    except ValueError as error:
        detail = f"{name}: there is no zone of that name; set the option `zone`"
        raise Rejection("event.time_malformed", detail) from error
