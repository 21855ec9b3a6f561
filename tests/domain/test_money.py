"""How a person reads an amount."""

import pytest

from domain.money import exponent, format_amount


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (4900, "EUR", "49.00 EUR"),
        (5, "USD", "0.05 USD"),
        (0, "USD", "0.00 USD"),
        (50_000, "VND", "50,000 VND"),
        (123_456_789, "USD", "1,234,567.89 USD"),
        (5124, "KWD", "5.124 KWD"),
        (-1058_09, "EUR", "-1,058.09 EUR"),
        (-5, "JPY", "-5 JPY"),
        (4900, "", "49.00"),
    ],
)
def test_an_amount_is_written_with_its_currencys_decimals(amount_minor: int, currency: str, text: str) -> None:
    assert format_amount(amount_minor, currency) == text


@pytest.mark.parametrize("currency", ["ISK", "UGX"])
def test_currencies_that_stripe_sends_with_two_decimals_keep_them(currency: str) -> None:
    assert exponent(currency) == 2
    assert format_amount(500, currency) == f"5.00 {currency}"


def test_no_amount_is_rounded() -> None:
    assert format_amount(10**30 + 1, "USD") == "10,000,000,000,000,000,000,000,000,000.01 USD"
