"""The amounts that a text names: `49,00 €`, `USD 1,234.56`, `1.000.000đ`, `500k`, `1,5 triệu`."""

import re
from collections.abc import Iterator

import msgspec

from domain.money import exponent

_CODES = (
    "AED AUD BHD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR INR JPY KRW KWD MXN MYR NOK NZD PHP PLN SEK SGD THB TWD "
    "USD VND ZAR"
)
_CURRENCIES = {
    **{code.lower(): code for code in _CODES.split()},
    **dict.fromkeys("€ euro euros".split(), "EUR"),
    **dict.fromkeys("$ dollar dollars us$ usd$ đô đô-la".split(), "USD"),
    **dict.fromkeys("£ pound pounds".split(), "GBP"),
    **dict.fromkeys("₫ đ vnđ đồng dong".split(), "VND"),
    "¥": "JPY",
}
# How Vietnamese counts money. Where no currency is named, these are dong.
_THOUSAND, _MILLION = 1_000, 1_000_000
_UNITS = {
    **dict.fromkeys("k nghìn ngàn nghin ngan".split(), _THOUSAND),
    **dict.fromkeys("tr triệu trieu củ".split(), _MILLION),
    **dict.fromkeys("tỷ tỉ".split(), 1_000 * _MILLION),
}
_NAMES = "|".join(sorted((re.escape(name) for name in _CURRENCIES), key=len, reverse=True))
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_NUMBER = r"[0-9]{1,3}(?:[.,\u00a0\u202f ][0-9]{3}){1,4}(?![0-9])(?:[.,][0-9]{1,3})?|[0-9]{1,12}(?:[.,][0-9]{1,3})?"
_AMOUNT_RE = re.compile(
    rf"(?<![\w.,])(?:(?P<before>{_NAMES})\s?(?P<number>{_NUMBER})"
    rf"|(?P<counted>[0-9]{{1,6}}(?:[.,][0-9]{{1,3}})?)\s?(?P<unit>{_UNIT})(?P<more>[0-9])?(?:\s?(?P<of>{_NAMES}))?"
    rf"|(?P<first>{_NUMBER})\s?(?P<after>{_NAMES}))(?![\w])"
    r"|(?<![\w.,/-])(?P<bare>[0-9]{1,3}(?:,[0-9]{3})*\.[0-9]{2}|[0-9]{1,3}(?:\.[0-9]{3})*,[0-9]{2})(?![\w/]|[.,-][0-9])",
    re.IGNORECASE,
)


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """An amount in minor units; `currency` (ISO 4217) is empty where the text names none."""

    amount_minor: int
    currency: str = ""


class AmountFound(msgspec.Struct, frozen=True, kw_only=True):
    """An amount, and where in the text it stands."""

    amount: Amount
    start: int
    end: int


def amounts_in(text: str) -> Iterator[AmountFound]:
    """The amounts of a text in the order in which they stand there."""
    for match in _AMOUNT_RE.finditer(text):
        if match["unit"]:
            amount = _counted(match["counted"], match["unit"].lower(), match["more"] or "", (match["of"] or "").lower())
        else:
            currency = _CURRENCIES.get((match["before"] or match["after"] or "").lower(), "")
            number = match["number"] or match["first"] or match["bare"]
            amount = Amount(amount_minor=minor(number, currency), currency=currency)
        yield AmountFound(amount=amount, start=match.start(), end=match.end())


def _counted(number: str, unit: str, more: str, name: str) -> Amount:
    """`1,5 triệu`, `1tr5`, `500k`: so many thousands or millions."""
    currency = _CURRENCIES.get(name, "VND")
    whole, _, part = number.replace(",", ".").partition(".")
    times = _UNITS[unit]
    part += more
    units = int(whole) * times + (int(part) * times // 10 ** len(part) if part else 0)
    return Amount(amount_minor=units * 10 ** exponent(currency), currency=currency)


def minor(number: str, currency: str) -> int:
    """`49.00`, `1.234,5` or `50.000` in minor units.

    The last separator is the decimal one if it stands alone of its kind and the currency can have what follows it.
    """
    decimals = exponent(currency)
    whole, part = number, ""
    separator = max(number.rfind("."), number.rfind(","))
    if separator >= 0 and decimals and number.count(number[separator]) == 1:
        digits = len(number) - separator - 1
        if digits in {1, 2, decimals}:
            whole, part = number[:separator], number[separator + 1 :]
    units = re.sub(r"[^0-9]", "", whole)
    return int(f"{units}{part.ljust(decimals, '0')}")
