"""The days that a question names: `yesterday`, `last Tuesday`, `3 March`, `hôm qua`, `tuần trước`, `ngày 3/3`.

They are days of whoever asks, so they begin and end where that person is.
"""

import calendar
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import msgspec

from gateway.answering.words import folded

_WEEKDAYS = {
    **{name: index for index, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())},
    **{name: index for index, name in enumerate("thu hai,thu ba,thu tu,thu nam,thu sau,thu bay,chu nhat".split(","))},
}
_MONTH_NAMES = "january february march april may june july august september october november december".split()
_MONTHS = {
    **{name: number for number, name in enumerate(_MONTH_NAMES, start=1)},
    **{name[:3]: number for number, name in enumerate(_MONTH_NAMES, start=1)},
    "sept": 9,
}
_NUMBERS = {
    **{name: number for number, name in enumerate("a two three four five six seven eight nine ten".split(), start=1)},
    **{name: number for number, name in enumerate("mot hai ba bon nam sau bay tam chin muoi".split(), start=1)},
    "an": 1,
    "one": 1,
}
_LENGTHS = {"day": 1, "days": 1, "ngay": 1, "hom": 1, "week": 7, "weeks": 7, "tuan": 7}
_YEARS_SHORT_MAX = 99
_YEAR_MIN, _YEAR_MAX = 1970, 9000

_COUNT = rf"(?P<count>[0-9]{{1,3}}|{'|'.join(_NUMBERS)})"
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WEEKDAY = "|".join(_WEEKDAYS)


class Days(msgspec.Struct, frozen=True, kw_only=True):
    """From the first to the last day, both included."""

    first: date
    last: date

    def holds(self, at: datetime, zone: tzinfo = UTC) -> bool:
        """Whether a moment lies on one of the days where the zone is."""
        begin = datetime.combine(self.first, time(), zone)
        return begin <= at < datetime.combine(self.last + timedelta(days=1), time(), zone)


def days_in(text: str, today: date) -> Days | None:
    """The first days in the past that a text names; `None` if it names none."""
    spoken = " ".join(folded(text).split())
    for pattern, days_of in _READERS:
        match = pattern.search(spoken)
        if match is None:
            continue
        try:
            days = days_of(match, today)
        except (ValueError, OverflowError):
            # The 31st of a month with 30 days, or a year that no calendar has.
            continue
        return days if days.first.year >= _YEAR_MIN and days.last.year <= _YEAR_MAX else None
    return None


def _one(day: date) -> Days:
    return Days(first=day, last=day)


def _back(days: int) -> Callable[[re.Match[str], date], Days]:
    return lambda _, today: _one(today - timedelta(days=days))


def _week(weeks_ago: int) -> Callable[[re.Match[str], date], Days]:
    def days_of(_: re.Match[str], today: date) -> Days:
        monday = today - timedelta(days=today.weekday() + 7 * weeks_ago)
        return Days(first=monday, last=monday + timedelta(days=6))

    return days_of


def _month_back(months_ago: int) -> Callable[[re.Match[str], date], Days]:
    def days_of(_: re.Match[str], today: date) -> Days:
        months = today.year * 12 + today.month - 1 - months_ago
        return _month(months // 12, months % 12 + 1)

    return days_of


def _month(year: int, month: int) -> Days:
    return Days(first=date(year, month, 1), last=date(year, month, calendar.monthrange(year, month)[1]))


def _ago(match: re.Match[str], today: date) -> Days:
    """`3 days ago`. A week and more is said roughly: a day to either side may be meant."""
    count, unit = match["count"], match["unit"]
    number = int(count) if count.isdigit() else _NUMBERS[count]
    day = today - timedelta(days=number * _LENGTHS[unit])
    slack = timedelta(days=0 if _LENGTHS[unit] == 1 else 3)
    return Days(first=day - slack, last=min(day + slack, today))


def _weekday(match: re.Match[str], today: date) -> Days:
    """The last one before today; of last week, if that is said."""
    weekday = _WEEKDAYS[match["weekday"]]
    if match["of_last_week"]:
        return _one(today - timedelta(days=today.weekday() + 7 - weekday))
    return _one(today - timedelta(days=(today.weekday() - weekday - 1) % 7 + 1))


def _iso(match: re.Match[str], _: date) -> Days:
    return _one(date(int(match["year"]), int(match["month"]), int(match["day"])))


def _written(match: re.Match[str], today: date) -> Days:
    """`3 March 2026`, `ngày 3/3`: without a year the last such day that is not to come."""
    month = match["month"]
    number = int(month) if month.isdigit() else _MONTHS[month]
    day = int(match["day"])
    if match["year"]:
        year = int(match["year"])
        return _one(date(year if year > _YEARS_SHORT_MAX else 2000 + year, number, day))
    this_year = date(today.year, number, day)
    return _one(this_year if this_year <= today else date(today.year - 1, number, day))


def _named_month(match: re.Match[str], today: date) -> Days:
    month = match["month"]
    number = int(month) if month.isdigit() else _MONTHS[month]
    if match["year"]:
        return _month(int(match["year"]), number)
    return _month(today.year if number <= today.month else today.year - 1, number)


_YEAR = r"(?:,? (?:nam )?(?P<year>[0-9]{4}))?"
# The more exact come first: `the day before yesterday` names yesterday too.
_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], Days]], ...] = tuple(
    (re.compile(rf"(?<![\w/.-])(?:{pattern})(?![\w/-])"), days_of)
    for pattern, days_of in (
        (r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})", _iso),
        (r"(?P<day>[0-9]{1,2})[/.](?P<month>[0-9]{1,2})[/.](?P<year>[0-9]{4}|[0-9]{2})", _written),
        (rf"(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})\.?{_YEAR}", _written),
        (rf"(?P<month>{_MONTH})\.? (?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?{_YEAR}", _written),
        (rf"(?:ngay |hom |mung )?(?P<day>[0-9]{{1,2}}) thang (?P<month>[0-9]{{1,2}}){_YEAR}", _written),
        (r"(?:ngay|hom|on|on the) (?P<day>[0-9]{1,2})/(?P<month>[0-9]{1,2})(?P<year>)", _written),
        (r"day before yesterday|hom kia|hom truoc", _back(2)),
        (rf"(?P<of_last_week>last week) (?:on )?(?P<weekday>{_WEEKDAY})", _weekday),
        (rf"(?:ngay )?(?P<weekday>{_WEEKDAY}) (?P<of_last_week>(?:of )?last week|tuan truoc|tuan vua roi)", _weekday),
        (rf"{_COUNT} (?P<unit>{'|'.join(_LENGTHS)}) (?:ago|before|truoc)", _ago),
        (rf"(?:last |on |this |past |ngay )?(?P<weekday>{_WEEKDAY})(?P<of_last_week>)", _weekday),
        (r"yesterday|last night|hom qua|toi qua|dem qua", _back(1)),
        (r"today|this morning|this afternoon|tonight|hom nay|sang nay|chieu nay", _back(0)),
        (r"last week|the previous week|the week before|tuan truoc|tuan vua roi|tuan qua", _week(1)),
        (r"this week|tuan nay", _week(0)),
        (r"last month|the previous month|thang truoc|thang vua roi|thang qua", _month_back(1)),
        (r"this month|thang nay", _month_back(0)),
        (rf"(?:in|since|from|during) (?P<month>{_MONTH}){_YEAR}", _named_month),
        (rf"thang (?P<month>[0-9]{{1,2}}){_YEAR}", _named_month),
    )
)
