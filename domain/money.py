"""Amounts in minor units, and how a person reads them."""

# Exponents other than 2, as Stripe sends amounts: https://docs.stripe.com/currencies#zero-decimal and #three-decimal.
# ISK and UGX have no decimals in ISO 4217 and are sent with two (#special-cases). IQD and LYD are not Stripe's.
_EXPONENTS = {
    **dict.fromkeys("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}


def exponent(currency: str) -> int:
    """The number of decimals of a currency's amounts."""
    return _EXPONENTS.get(currency, 2)


# The separators of groups and of decimals, and what stands for a currency instead of its code: Unicode CLDR,
# common/main/en.xml and vi.xml.
_SEPARATORS = {"en": (",", "."), "vi": (".", ",")}
_SYMBOLS = {("vi", "VND"): "₫"}


def format_amount(amount_minor: int, currency: str, language: str = "en") -> str:
    """`4900, "EUR"` -> `49.00 EUR`, in Vietnamese `49,00 EUR`; `50000, "VND"` -> `50,000 VND` and `50.000 ₫`."""
    decimals = exponent(currency)
    group, point = _SEPARATORS[language]
    sign = "-" if amount_minor < 0 else ""
    whole, part = divmod(abs(amount_minor), 10**decimals)
    fraction = f"{point}{part:0{decimals}d}" if decimals else ""
    grouped = f"{whole:,}".replace(",", group)
    return f"{sign}{grouped}{fraction} {_SYMBOLS.get((language, currency), currency)}".rstrip()
