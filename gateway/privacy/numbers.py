"""Numbers that carry their own proof: cards, IBANs, IP and MAC addresses, ids with a form of their own.

Patterns either start once per run of characters and give nothing back (possessive quantifiers), or look at a bounded
number of them, so the time is linear in the length of the text.
"""

import ipaddress
import re
from collections.abc import Iterator
from itertools import accumulate

from stdnum.exceptions import ValidationError
from stdnum.iso7064 import mod_97_10

from gateway.privacy.found import CARD, IBAN, IMPERSONAL, IP, MAC, NATIONAL_ID, SSN, Found

IPV6_GROUPS, IPV6_GROUPS_SHORT_MIN = 8, 3
# The fewest digits of any: GB and NL have four letters, MT and others more.
IBAN_DIGITS_MIN, SSN_DIGITS = 4, 9
_UUID_HYPHENS, _IPV4_DOTS, _IPV6_COLONS, _MAC_SEPARATORS, _CISCO_DOTS = 4, 3, 2, 5, 2
CARD_DIGITS_MIN, CARD_DIGITS_MAX = 13, 19
# ISO/IEC 7812-1: 3 travel, 2 and 4 to 6 banking, 9 national (NAPAS 9704). 0, 1, 7 and 8 begin no payment card, but do
# begin times in milliseconds and order numbers.
_CARD_FIRST_DIGITS = frozenset("234569")
# What a scanner reads for a digit.
_SCANNED = str.maketrans("OoDQIlSB", "00001158")
SCANNED_DIGITS_MIN = 10

# Length by country: SWIFT's IBAN registry (ISO 13616).
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}
_IBAN_REST = {
    length: re.compile(rf"(?:[ \n-]?[A-Za-z0-9]){{{length - 4}}}(?![A-Za-z0-9])", re.ASCII)
    for length in _IBAN_COUNTRIES
}
_SEPARATORS = str.maketrans("", "", " -\n.")
_DIGITS_RE = re.compile(r"[0-9]+")
_LUHN_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))
_LUHN_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))

CURRENCY = r"(?:(?i:EUR|USD|GBP|VND|VNĐ|JPY|KRW|IDR|đồng|dong|đ|euros?|dollars?|triệu|nghìn|ngàn|tr|k)(?!\w)|[€$£₫¥%])"
# Patterns that begin with a digit and then look back are found fastest.
# What holds digits and is nobody's: a provider's ids, UUIDs, times and dates.
_OBJECT_ID_RE = re.compile(r"(?<!\w)(?:pi|ch|py|po|re|pyr|dp|du|evt|cus|pm|txn|req|in|tr|cs)_\w++")
_UUID_RE = re.compile(r"[0-9A-Fa-f]{8}(?<!\w.{8})(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?!\w)")
_DATE_RE = re.compile(
    r"""
    [0-9](?<!\w.)(?<![./-].)(?:
        [0-9]{3}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?(?!\d|[./-]\d)
      | [0-9]?([./-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})(?!\w|[./-]\w)
    )
    """,
    re.VERBOSE,
)
_IBAN_START_RE = re.compile(r"[A-Za-z]{2}(?<![A-Za-z0-9_].{2})[0-9]{2}")
_CARD_RUN_RE = re.compile(
    r"[0-9](?<!\d.)(?<!\d[.,].)(?:[0-9]{3}(?:[./_][0-9]{4}){3}(?![./_]?[0-9])|(?:[ \n-]{0,3}+[0-9]){12,}+)"
)
_SCANNED_RUN_RE = re.compile(r"[0-9OIlSB](?<!\w.)(?<!\d[.,].)(?:[ \n-]{0,3}+[0-9OoDQIlSB]){12,}+(?!\w)")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
# +84 32.171.30.64 is a telephone number.
_IP_RE = re.compile(
    rf"""
    (?<![\w.])(?<!84\))(?<!84\)\ )(?<!\+[0-9]{{2}}\ ){_OCTET}(?:\.{_OCTET}){{3}}(?!\w|\.\w|\ ?{CURRENCY})
  | (?<![\w:.])[0-9A-Fa-f]{{0,4}}(?::[0-9A-Fa-f]{{0,4}}){{2,7}}+(?:\.[0-9]{{1,3}}){{0,3}}+(?![\w:])
    """,
    re.VERBOSE,
)
_MAC_RE = re.compile(
    r"[0-9A-Fa-f]{2}(?<![\w:-].{2})(?:([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{2}(?:\.[0-9A-Fa-f]{4}){2})"
    r"(?![\w:-])"
)
# Circular 07/2016/TT-BCA, article 7: province (001 to 096), century and sex, year of birth, 6 digits.
_CCCD_RE = re.compile(
    r"0(?<![\w.,-].)[0-9]{2}(?:[0-3][0-9]{8}"
    r"|(?:[ .-]?[0-3][0-9]{2}[ .-]?[0-9]{3}[ .-]?[0-9]{3}|[0-3](?:[ .-][0-9]{4}){2})(?! [0-9]))(?![\w-])"
)
_PROVINCE_MAX = 96
_SSN_RE = re.compile(r"[0-9]{3}(?<![\w-].{3})(?<!000)(?<!666)([- ])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![\w-])")


def impersonal(text: str) -> list[Found]:
    """Provider ids, UUIDs, times and dates."""
    found: list[Found] = []
    if "_" in text:
        found += [Found(*match.span(), IMPERSONAL, "") for match in _OBJECT_ID_RE.finditer(text)]
    if text.count("-") >= _UUID_HYPHENS:
        found += [Found(*match.span(), IMPERSONAL, "") for match in _UUID_RE.finditer(text)]
    if "-" in text or "." in text or "/" in text:
        found += [Found(*match.span(), IMPERSONAL, "") for match in _DATE_RE.finditer(text)]
    return found


def ibans(text: str) -> list[Found]:
    """IBANs of the right length whose check digits fit."""
    found: list[Found] = []
    end = 0
    for begin in _IBAN_START_RE.finditer(text):
        length = _IBAN_LENGTHS.get(begin[0][:2].upper())
        rest = _IBAN_REST[length].match(text, begin.end()) if length and begin.start() >= end else None
        if rest is None:
            continue
        compact = (begin[0] + rest[0]).translate(_SEPARATORS).upper()
        if _is_iban(compact):
            end = rest.end()
            found.append(Found(begin.start(), end, IBAN, compact))
    return found


def _is_iban(compact: str) -> bool:
    """Whether the check digits fit (ISO 7064 mod 97-10)."""
    try:
        mod_97_10.validate(compact[4:] + compact[:4])
    except ValidationError:
        return False
    return True


def cards(text: str) -> list[Found]:
    """Card numbers, 13 to 19 digits that pass the Luhn check, in whatever groups."""
    return [card for run in _CARD_RUN_RE.finditer(text) for card in _cards_of(run[0], run.start())]


def scanned_cards(text: str) -> list[Found]:
    """Card numbers with letters where a scanner took a digit for one (O for 0, l for 1)."""
    found: list[Found] = []
    for run in _SCANNED_RUN_RE.finditer(text):
        if sum(map(str.isdigit, run[0])) >= SCANNED_DIGITS_MIN:
            found += _cards_of(run[0].translate(_SCANNED), run.start())
    return found


def _cards_of(text: str, offset: int) -> Iterator[Found]:
    """The card numbers in a run: whole groups of digits, 13 to 19 together, that pass the Luhn check."""
    groups = [match.span() for match in _DIGITS_RE.finditer(text)]
    digits = "".join(text[start:end] for start, end in groups)
    # Where each group ends, in digits.
    ends = list(accumulate(end - start for start, end in groups))
    sums = _luhn_sums(digits.encode())
    start = first = nearest = 0
    while first < len(ends):
        beyond = 0
        if digits[start] in _CARD_FIRST_DIGITS:
            while nearest < len(ends) and ends[nearest] < start + CARD_DIGITS_MIN:
                nearest += 1
            beyond = _group_after_card(sums, ends, start, nearest)
        if beyond:
            yield Found(
                offset + groups[first][0], offset + groups[beyond - 1][1], CARD, digits[start : ends[beyond - 1]]
            )
        first = beyond or first + 1
        start = ends[first - 1]


def _group_after_card(sums: tuple[list[int], list[int]], ends: list[int], start: int, nearest: int) -> int:
    """The group after the longest card number that begins at digit `start`, 0 if none does.

    `nearest` is the first group that ends far enough from the start.
    """
    beyond = 0
    for group in range(nearest, len(ends)):
        end = ends[group]
        if end - start > CARD_DIGITS_MAX:
            break
        # The last digit counts plainly, and from there back every second one.
        of_parity = sums[end & 1]
        if (of_parity[end] - of_parity[start]) % 10 == 0:
            beyond = group + 1
    return beyond


def _luhn_sums(digits: bytes) -> tuple[list[int], list[int]]:
    """Running Luhn sums (ISO/IEC 7812-1, annex B) for numbers that end before an even and before an odd index.

    With them the check of any slice costs the same.
    """
    before_odd = bytearray(digits.translate(_LUHN_PLAIN))
    before_even = bytearray(digits.translate(_LUHN_DOUBLED))
    before_odd[1::2], before_even[1::2] = before_even[1::2], before_odd[1::2]
    return list(accumulate(before_even, initial=0)), list(accumulate(before_odd, initial=0))


def network_addresses(text: str) -> list[Found]:
    """IPv4, IPv6 and MAC addresses."""
    found: list[Found] = []
    dots, colons = text.count("."), text.count(":")
    if dots >= _CISCO_DOTS or colons >= _MAC_SEPARATORS or text.count("-") >= _MAC_SEPARATORS:
        found += [
            Found(*match.span(), MAC, match[0].replace(":", "").replace("-", "").replace(".", "").lower())
            for match in _MAC_RE.finditer(text)
        ]
    if dots >= _IPV4_DOTS or colons >= _IPV6_COLONS:
        found += [
            Found(*match.span(), IP, _canonical_ip(match[0]))
            for match in _IP_RE.finditer(text)
            if ":" not in match[0] or _is_ipv6(match[0])
        ]
    return found


def _is_ipv6(text: str) -> bool:
    """Colons are also in times: an IPv6 address has eight groups, or fewer and one `::` (RFC 4291, 2.2)."""
    groups = text.split(":")
    filled = sum(1 for group in groups if group)
    is_full = filled == len(groups) == IPV6_GROUPS
    # `a::b` is code in many languages, and no address that anyone has.
    return is_full or (text.count("::") == 1 and IPV6_GROUPS_SHORT_MIN <= filled < IPV6_GROUPS)


def _canonical_ip(text: str) -> str:
    try:
        return ipaddress.ip_address(text).compressed
    except ValueError:
        # Leading zeros: nobody's canonical form, but somebody's address.
        return text


def own_form_ids(text: str) -> list[Found]:
    """Vietnamese personal ids (12 digits with a province and a birth year) and US social security numbers."""
    found = [
        Found(*match.span(), NATIONAL_ID, match[0].translate(_SEPARATORS))
        for match in _CCCD_RE.finditer(text)
        if 1 <= int(match[0][:3]) <= _PROVINCE_MAX
    ]
    found += [Found(*match.span(), SSN, match[0].translate(_SEPARATORS)) for match in _SSN_RE.finditer(text)]
    return found
