"""Amounts and times, as providers write them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Rejection
from domain.mapping_settings import AmountSettings, TimeSettings
from domain.money import exponent
from gateway.sources.mapping_values import amount_minor, time

AMSTERDAM = "Europe/Amsterdam"


def amount(value: Any, currency: str = "EUR", **settings: Any) -> int | None:
    return amount_minor({"at": value}, AmountSettings(path="at", **settings), currency, "amount")


def instant(value: Any, record: dict[str, Any] | None = None, **settings: Any) -> str:
    return time({"at": value, **(record or {})}, TimeSettings(path="at", **settings), "occurred_at").isoformat()


@pytest.mark.parametrize(
    ("value", "currency", "settings", "minor"),
    [
        (4900, "EUR", {}, 4900),
        ("4900", "VND", {}, 4900),
        (4900.0, "EUR", {}, 4900),
        ("49", "EUR", {"unit": "major"}, 4900),
        ("49.5", "EUR", {"unit": "major"}, 4950),
        (49.99, "EUR", {"unit": "major"}, 4999),
        (Decimal("0.1"), "EUR", {"unit": "major"}, 10),
        ("1,058.09", "USD", {"unit": "major", "thousands": ","}, 105_809),
        ("1058.09", "USD", {"unit": "major", "thousands": ","}, 105_809),
        ("1.500.000", "VND", {"unit": "major", "thousands": ".", "point": ","}, 1_500_000),
        ("1.058,09", "EUR", {"unit": "major", "thousands": ".", "point": ","}, 105_809),
        ("1\u00a0058,09", "EUR", {"unit": "major", "thousands": "\u00a0", "point": ","}, 105_809),
        ("50000.00", "VND", {"unit": "major"}, 50_000),
        ("1.234", "KWD", {"unit": "major"}, 1234),
        ("-1,058.09", "USD", {"unit": "major", "thousands": ",", "absolute": True}, 105_809),
        (5_000_000, "VND", {"decimals": 2}, 50_000),
        (49_0000, "EUR", {"decimals": 4}, 4900),
        (49, "EUR", {"decimals": 0}, 4900),
        ("EyQ=", "EUR", {"base64": True, "decimals": 2}, 4900),
        ("7Nw=", "EUR", {"base64": True, "decimals": 2, "absolute": True}, 4900),
        (Decimal("49.00"), "EUR", {"base64": True, "decimals": 2}, 4900),
        (None, "EUR", {}, None),
        ("", "EUR", {}, None),
    ],
)
def test_an_amount_is_in_minor_units(value: Any, currency: str, settings: dict[str, Any], minor: int | None) -> None:
    assert amount(value, currency, **settings) == minor


@pytest.mark.parametrize(
    ("value", "currency", "settings", "code"),
    [
        ("49.5", "EUR", {}, "amount_malformed"),
        ("49.999", "EUR", {"unit": "major"}, "amount_malformed"),
        ("500.5", "VND", {"unit": "major"}, "amount_malformed"),
        ("1,05", "USD", {"unit": "major", "thousands": ","}, "amount_malformed"),
        ("1,058.09", "USD", {"unit": "major"}, "amount_malformed"),
        ("10,58,09", "USD", {"unit": "major", "thousands": ","}, "amount_malformed"),
        ("1e3", "EUR", {}, "amount_malformed"),
        ("٤٩", "EUR", {}, "amount_malformed"),
        ("49 EUR", "EUR", {}, "amount_malformed"),
        ("NaN", "EUR", {}, "amount_malformed"),
        (True, "EUR", {}, "amount_malformed"),
        ([49], "EUR", {}, "amount_malformed"),
        ("not base64", "EUR", {"base64": True, "decimals": 2}, "amount_malformed"),
        (-1, "EUR", {}, "amount_out_of_range"),
        (10**16, "EUR", {}, "amount_out_of_range"),
        (Decimal("1e999999"), "EUR", {}, "amount_out_of_range"),
        (Decimal("Infinity"), "EUR", {}, "amount_out_of_range"),
    ],
)
def test_what_is_no_amount_is_refused(value: Any, currency: str, settings: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejection) as refused:
        amount(value, currency, **settings)
    assert refused.value.code == f"event.{code}"


@given(minor=st.integers(0, 10**13), currency=st.sampled_from(["EUR", "VND", "KWD"]))
def test_an_amount_is_the_same_however_it_is_written(minor: int, currency: str) -> None:
    decimals = exponent(currency)
    major = Decimal(minor).scaleb(-decimals)
    assert amount(f"{major:f}", currency, unit="major") == minor
    assert amount(f"{major:,f}", currency, unit="major", thousands=",") == minor
    assert amount(str(-minor), currency, absolute=True) == minor
    assert amount(minor * 100, currency, decimals=decimals + 2) == minor


@pytest.mark.parametrize(
    ("value", "settings", "iso"),
    [
        ("2026-03-01T12:00:00Z", {}, "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T13:00:00.25+01:00", {}, "2026-03-01T12:00:00.250000+00:00"),
        ("2026-03-01 13:00:00", {"zone": AMSTERDAM}, "2026-03-01T12:00:00+00:00"),
        ("2026-07-01 13:00:00", {"zone": AMSTERDAM}, "2026-07-01T11:00:00+00:00"),
        ("2026-03-01 19:00:00", {"zone": "+07:00"}, "2026-03-01T12:00:00+00:00"),
        ("01/03/2026 12:00", {"format": "%d/%m/%Y %H:%M", "zone": "UTC"}, "2026-03-01T12:00:00+00:00"),
        ("3/1/2026 4:00 AM -0800", {"format": "%m/%d/%Y %I:%M %p %z"}, "2026-03-01T12:00:00+00:00"),
        (1_772_366_400, {"format": "s"}, "2026-03-01T12:00:00+00:00"),
        ("1772366400", {"format": "s"}, "2026-03-01T12:00:00+00:00"),
        (Decimal("1772366400.5"), {"format": "s"}, "2026-03-01T12:00:00.500000+00:00"),
        (1_772_366_400_250, {"format": "ms"}, "2026-03-01T12:00:00.250000+00:00"),
        (1_772_366_400_250_001, {"format": "us"}, "2026-03-01T12:00:00.250001+00:00"),
        (1_772_366_400_250_001_999, {"format": "ns"}, "2026-03-01T12:00:00.250001+00:00"),
        (1_772_391_600_000, {"format": "ms", "zone": "Asia/Ho_Chi_Minh"}, "2026-03-01T12:00:00+00:00"),
        (datetime(2026, 3, 1, 12), {}, "2026-03-01T12:00:00+00:00"),  # noqa: DTZ001 - a column without a zone
        (datetime(2026, 3, 1, 13), {"zone": AMSTERDAM}, "2026-03-01T12:00:00+00:00"),  # noqa: DTZ001 - as above
        (datetime(2026, 3, 1, 12, tzinfo=UTC), {"format": "us"}, "2026-03-01T12:00:00+00:00"),
    ],
)
def test_a_time_is_an_instant(value: Any, settings: dict[str, Any], iso: str) -> None:
    assert instant(value, **settings) == iso


@pytest.mark.parametrize(
    ("zone", "iso"),
    [
        ("", "2026-10-25T00:30:00+00:00"),
        ("Europe/Amsterdam", "2026-10-25T00:30:00+00:00"),
        ("CEST", "2026-10-25T00:30:00+00:00"),
        ("CET", "2026-10-25T01:30:00+00:00"),
        ("+01:00", "2026-10-25T01:30:00+00:00"),
    ],
)
def test_a_local_time_that_comes_twice_is_the_earlier_unless_its_offset_is_told(zone: str, iso: str) -> None:
    settings = {"zone": AMSTERDAM, "zone_path": "zone", "zones": {"CET": "+01:00", "CEST": "+02:00"}}
    assert instant("2026-10-25 02:30:00", {"zone": zone}, **settings) == iso


@pytest.mark.parametrize(
    ("value", "settings", "code"),
    [
        (None, {}, "field_missing"),
        ("", {}, "field_missing"),
        ("yesterday", {}, "time_malformed"),
        ("2018-19-12T00:00:00Z", {}, "time_malformed"),
        ("2026-03-01 12:00:00", {}, "time_malformed"),
        ("2026-03-29 02:30:00", {"zone": AMSTERDAM}, "time_malformed"),
        ("2026-03-01 12:00:00", {"zone_path": "zone"}, "time_malformed"),
        ("13/13/2026", {"format": "%d/%m/%Y", "zone": "UTC"}, "time_malformed"),
        ("1e5x", {"format": "s"}, "time_malformed"),
        (["2026"], {}, "field_malformed"),
        ("1969-12-31T23:59:59Z", {}, "time_out_of_range"),
        (-1, {"format": "s"}, "time_out_of_range"),
        (10**12, {"format": "s"}, "time_out_of_range"),
        (10**300, {"format": "ns"}, "time_out_of_range"),
        ("9999-12-31T23:59:59-10:00", {}, "time_out_of_range"),
    ],
)
def test_what_is_no_time_is_refused(value: Any, settings: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejection) as refused:
        instant(value, {"zone": "Mars/Olympus"}, **settings)
    assert refused.value.code == f"event.{code}"
    assert "yesterday" not in refused.value.detail


def test_a_time_that_its_zone_skips_is_told_apart() -> None:
    with pytest.raises(Rejection, match="its zone skips"):
        instant("2026-03-29 02:30:00", zone=AMSTERDAM)
