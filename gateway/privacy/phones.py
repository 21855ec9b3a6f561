"""Telephone numbers that are seen by their form alone; what a word beside them says is in `cued`."""

import re

import phonenumbers

from gateway.privacy.found import PHONE, Found, without
from gateway.privacy.numbers import CURRENCY

PHONE_DIGITS_MIN = 6
_GAP = r"[ ./()-]{0,2}"
# Also over the end of a line.
_BROKEN_GAP = r"(?:[ ./()-]{0,2}|[ -]?\n)"
_EXTENSION = r"[ ,-]{0,2}(?:x|ext\.?|\#|máy\ lẻ)\ ?[0-9]{1,6}(?!\w)"
EXTENSION_RE = re.compile(_EXTENSION)
_SHAPES = rf"""
    (?=[0-9+(])(?<![\w])(?<![A-Za-z]-)(?<![0-9][.,])(?:
        (?:\(\+?[0-9]{{1,4}}\)|\+\ ?\(?[0-9])(?:GAP[0-9]){{7,14}}      # +49 (0) 151 1234567
      | 00[1-9](?:GAP[0-9]){{7,13}}                                    # 0049 151 1234567
      | 0[235789][0-9]?(?:GAP[0-9]){{7,8}}(?![ .-]?[0-9])              # 0912 345 678, 024 3825 1234
      | 0[ .-]?[1-9](?:GAP[0-9]){{7,10}}                               # 020 7946 0958, 0 9 1 2 3 ...
      | (?:\(84\)|84)ONE[235789](?:ONE[0-9]){{8}}(?!\ ?{CURRENCY})  # 84 912 345 678
      | \([0-9]{{2,4}}\)[ -]?[0-9]{{3,5}}[ .-]?[0-9]{{3,4}}              # (555) 123-4567
      | (?:1[ .-])?[0-9]{{3}}[ .-][0-9]{{3}}[ .-]?[0-9]{{4}}             # 555-123-4567, 1-800-555-1234
      | [0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}                      # 51-16-34-25
    )(?!\d)(?:{_EXTENSION})?
"""
_PHONE_RE = re.compile(_SHAPES.replace("GAP", _GAP).replace("ONE", "[ .-]?"), re.VERBOSE)
_BROKEN_RE = re.compile(_SHAPES.replace("GAP", _BROKEN_GAP).replace("ONE", r"[ .\n-]?"), re.VERBOSE)
_NOT_DIGITS_RE = re.compile(r"[^0-9]+")


def phones(text: str, region: str) -> list[Found]:
    """Numbers written as telephone numbers are: with a country code, a trunk 0, or in their usual groups."""
    found = [phone(*match.span(), match[0], region) for match in _PHONE_RE.finditer(text)]
    if "\n" in text:
        # Whole lines first: the end of one line and the number on the next are seldom one number.
        found += [phone(*match.span(), match[0], region) for match in _BROKEN_RE.finditer(without(text, found))]
    return found


def phone_at(text: str, start: int, region: str) -> Found | None:
    """The telephone number that begins there, `None` if its form is none."""
    match = _PHONE_RE.match(text, start) or _BROKEN_RE.match(text, start)
    return phone(start, match.end(), match[0], region) if match else None


def phone(start: int, end: int, written: str, region: str) -> Found:
    """What stands from `start` to `end`, as the telephone number that it is in `region`."""
    return Found(start, end, PHONE, canonical_phone(written, region))


def canonical_phone(written: str, region: str) -> str:
    """The number as E.164 if it can be one, else its digits: every spelling of a number gives the same."""
    main = EXTENSION_RE.sub("", written)
    digits = _NOT_DIGITS_RE.sub("", main)
    country = str(phonenumbers.country_code_for_region(region))
    if digits.startswith("00"):
        main = f"+{digits[2:]}"
    elif digits.startswith(country) and len(digits) > len(country) + 8:
        main = f"+{digits}"
    try:
        parsed = phonenumbers.parse(main, region)
    except phonenumbers.NumberParseException:
        return digits
    return f"+{parsed.country_code}{parsed.national_number}"
