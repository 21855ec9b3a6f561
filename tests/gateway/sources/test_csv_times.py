"""Wall clocks of exports: zones by name and by abbreviation, the hour that comes twice and the one that never comes."""

from datetime import UTC, datetime

import pytest

from domain.errors import Rejection
from gateway.sources.csv_times import LABELS, at_offset, by_label, wall_clock
from gateway.sources.mapping_values import zone_named


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str) -> datetime:
    return wall_clock(text, "%Y-%m-%d %H:%M:%S", "at")


@pytest.mark.parametrize(
    ("label", "instant"),
    [("PST", "2026-01-03 21:57:10"), ("PDT", "2026-01-03 20:57:10"), ("America/Los_Angeles", "2026-01-03 21:57:10")],
)
def test_a_label_of_each_row_is_its_offset(label: str, instant: str) -> None:
    assert at_offset(wall("2026-01-03 13:57:10"), label, "at") == utc(instant)


@pytest.mark.parametrize(
    ("local", "label", "instant"),
    [
        ("2026-01-10 12:00:00", "CET", "2026-01-10 11:00:00"),
        ("2026-06-03 11:26:49", "CEST", "2026-06-03 09:26:49"),
        ("2013-06-03 11:26:49", "CET", "2013-06-03 09:26:49"),
        ("2026-10-25 02:30:00", "CEST", "2026-10-25 00:30:00"),
        ("2026-10-25 02:30:00", "CET", "2026-10-25 01:30:00"),
        ("2026-10-25 02:30:00", "Europe/Amsterdam", "2026-10-25 00:30:00"),
        ("2026-06-11 04:55:40", "BST", "2026-06-11 03:55:40"),
        ("2026-06-11 04:55:40", "UTC", "2026-06-11 04:55:40"),
        ("2026-06-11 04:55:40", "GMT", "2026-06-11 04:55:40"),
        ("2026-06-11 04:55:40", "SGT", "2026-06-10 20:55:40"),
    ],
)
def test_a_label_names_the_zone_and_decides_the_hour_that_comes_twice(local: str, label: str, instant: str) -> None:
    assert by_label(wall(local), label, "at") == utc(instant)


def test_the_account_s_own_zone_comes_before_the_label_s() -> None:
    assert by_label(wall("2026-06-11 04:55:40"), "CET", "at", region="Asia/Singapore") == utc("2026-06-10 20:55:40")
    in_the_fold = by_label(wall("2026-10-25 02:30:00"), "CET", "at", region="Europe/Madrid")
    assert in_the_fold == utc("2026-10-25 01:30:00")


@pytest.mark.parametrize(
    ("local", "label", "why"),
    [
        ("2026-03-29 02:30:00", "CET", "clocks went forward"),
        ("2026-03-29 02:30:00", "Europe/Amsterdam", "clocks went forward"),
        ("2026-01-10 12:00:00", "CEST", "in winter"),
        ("2026-01-10 12:00:00", "XYZ", "set the option"),
        ("2026-01-10 12:00:00", "../../etc/passwd", "set the option"),
    ],
)
def test_a_time_that_never_was_is_refused(local: str, label: str, why: str) -> None:
    with pytest.raises(Rejection, match=why) as refused:
        by_label(wall(local), label, "at")
    assert refused.value.code == "event.time_malformed"


@pytest.mark.parametrize("text", ["", "2026-13-01 00:00:00", "27/02/2026 00:00:00", "2026-03-01"])
def test_what_is_no_time_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(Rejection) as refused:
        wall(text)
    assert refused.value.code == "event.time_malformed"
    assert not text or text not in refused.value.detail


def test_every_label_is_the_one_that_its_region_uses() -> None:
    """Against the tz database: on the first of January or of July, north or south."""
    for label, known in LABELS.items():
        if known.region:
            days = [datetime(2026, month, 1, tzinfo=zone_named(known.region)) for month in (1, 7)]
            [day] = [each for each in days if each.strftime("%Z") == label]
            offset, summer = day.utcoffset(), day.dst()
            assert offset is not None
            assert offset.total_seconds() == known.hours * 3600
            assert bool(summer) == known.is_summer
