"""Take personal data out of text that is kept: e-mail and IP addresses, phone and card numbers, IBANs.

Patterns either start once per run of characters and give nothing back (possessive quantifiers), or look at a bounded
number of them, so the time is linear in the length of the text.
"""

import re
from itertools import accumulate
from string import ascii_uppercase

EMAIL, CARD, IBAN, PHONE, IP = "<email>", "<card>", "<iban>", "<phone>", "<ip>"

IPV6_GROUPS, IPV6_GROUPS_SHORT_MIN = 8, 3
CARD_DIGITS_MIN, CARD_DIGITS_MAX = 13, 19
# ISO/IEC 7812-1: 3 travel, 2 and 4 to 6 banking, 9 national (NAPAS 9704). 0, 1, 7 and 8 begin no payment card, but do
# begin times in milliseconds and order numbers.
_CARD_FIRST_DIGITS = frozenset("234569")

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
_IBAN_SHAPES = "|".join(
    rf"(?:{countries.replace(' ', '|')})[0-9]{{2}}(?:[ -]?[A-Z0-9]){{{length - 4}}}"
    for length, countries in _IBAN_COUNTRIES.items()
)
# ISO 7064: A is 10 ... Z is 35; separators do not count.
_IBAN_DIGITS = {ord(letter): str(int(letter, 36)) for letter in ascii_uppercase} | {ord(" "): "", ord("-"): ""}
_SPACES = str.maketrans("-\u00a0", "  ")
_LUHN_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))
_LUHN_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))

_CURRENCY = r"(?:(?i:EUR|USD|GBP|VND|VNĐ|JPY|KRW|IDR|đồng|dong|đ)(?!\w)|[€$£₫¥])"
_HAS_DIGIT_RE = re.compile(r"[0-9]")
_EMAIL_RE = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]++@[\w-]++(?:\.[\w-]++)++")
# What holds digits and is nobody's: a provider's ids, UUIDs, times and dates.
_IMPERSONAL_RE = re.compile(
    r"""
    (?<!\w)(?:
        (?:pi|ch|py|po|re|pyr|dp|du|evt|cus|pm|txn|req|in|tr|cs)_\w++
      | [0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?!\w)
      | (?<![./-])[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?(?!\d|[./-]\d)
      | (?<![./-])[0-9]{1,2}([./-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})(?!\d|[./-]\d)
    )
    """,
    re.VERBOSE,
)
# The lookahead takes nothing, so that a false start hides no account that begins inside it.
_IBAN_RE = re.compile(rf"(?<![A-Z0-9_])(?=[A-Z]{{2}}[0-9])(?=({_IBAN_SHAPES})(?![A-Z0-9]))", re.ASCII | re.IGNORECASE)
_CARD_RUN_RE = re.compile(r"(?<!\d)(?<!\d[.,])[0-9](?:[ \u00a0-]?[0-9]){12,}+")
_IP_RE = re.compile(
    rf"""
    (?<![\w.])(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){{3}}
        (?!\w|\.\w|\ ?{_CURRENCY})
  | (?<![\w:.])[0-9A-Fa-f]{{0,4}}(?::[0-9A-Fa-f]{{0,4}}){{2,7}}+(?![\w:])
    """,
    re.VERBOSE,
)
_PHONE_RE = re.compile(
    rf"""
    (?P<named>(?<!\w)(?i:order|invoice|booking|đơn(?:\ hàng)?|mã(?:\ đơn)?)(?:\ (?i:number|no\.?|nr\.?|id|số))?
        \W{{0,3}}[0-9][0-9-]*+)
  | (?P<cue>(?<!\w)(?i:(?:tele)?phone|tel|mobile|cell|call|whatsapp|zalo|sđt|sdt|điện\ thoại|gọi)
        (?:\ (?i:number|no\.?|me|us|is|on|at|số)){{0,3}}\W{{0,3}}?)
        (?P<after_cue>\+?\(?[0-9](?:[ ./()-]{{0,2}}[0-9]){{6,14}})(?!\d)
  | (?=[0-9+(])(?<!\w)(?<![A-Za-z]-)(?:
        (?:\(\+[0-9]{{1,4}}\)|\+\ ?\(?[0-9])(?:[ \u00a0./()-]{{0,2}}[0-9]){{7,14}}  # +49 (0) 151 1234567
      | 00[1-9](?:[ \u00a0./()-]{{0,2}}[0-9]){{7,13}}                               # 0049 151 1234567
      | 0[ -]?[1-9](?:[ \u00a0./()-]{{0,2}}[0-9]){{7,10}}                           # 0912 345 678, 020 7946 0958
      | (?:\(84\)|84)[ .-]?[235789](?:[ .-]?[0-9]){{8}}(?!\ ?{_CURRENCY})           # 84 912 345 678
      | \([0-9]{{2,4}}\)\ ?[0-9]{{3,5}}[ .-][0-9]{{3,4}}                            # (555) 123-4567
      | (?:1[ .-])?[0-9]{{3}}[ .-][0-9]{{3}}[ .-][0-9]{{4}}                         # 555-123-4567, 1-800-555-1234
      | [0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}                                 # 51-16-34-25
    )(?!\d)(?:\ ?(?:x|ext\.?)\ ?[0-9]{{1,6}}(?!\w))?
    """,
    re.VERBOSE,
)


def scrub(text: str) -> str:
    """The text with `<email>`, `<card>`, `<iban>`, `<phone>` and `<ip>` where such were.

    Card numbers are Luhn-checked (13 to 19 digits), IBANs by length and mod 97. Payment ids, dates and amounts stay.
    Names and postal addresses are not recognised.
    """
    if "@" in text:
        text = _EMAIL_RE.sub(EMAIL, text)
    if _HAS_DIGIT_RE.search(text) is None:
        return text
    parts = []
    end = 0
    for impersonal in _IMPERSONAL_RE.finditer(text):
        parts += [_scrub_numbers(text[end : impersonal.start()]), impersonal[0]]
        end = impersonal.end()
    parts.append(_scrub_numbers(text[end:]))
    return "".join(parts)


def _scrub_numbers(text: str) -> str:
    if _HAS_DIGIT_RE.search(text) is None:
        return text
    text = _scrub_ibans(text)
    text = _CARD_RUN_RE.sub(_scrub_cards, text)
    if "." in text or ":" in text:
        text = _IP_RE.sub(_scrub_ip, text)
    return _PHONE_RE.sub(_scrub_phone, text)


def _scrub_ibans(text: str) -> str:
    parts = []
    end = 0
    for candidate in _IBAN_RE.finditer(text):
        if candidate.start() >= end and _is_iban(candidate[1]):
            parts += [text[end : candidate.start()], IBAN]
            end = candidate.end(1)
    parts.append(text[end:])
    return "".join(parts)


def _is_iban(candidate: str) -> bool:
    """Whether the check digits fit (ISO 7064 mod 97-10)."""
    rotated = candidate[4:] + candidate[:4]
    return int(rotated.upper().translate(_IBAN_DIGITS)) % 97 == 1


def _scrub_cards(run: re.Match[str]) -> str:
    """The run without the card numbers in it: whole groups of digits, 13 to 19 together, that pass the Luhn check."""
    text = run[0]
    groups = text.translate(_SPACES).split(" ")
    digits = "".join(groups)
    # Where each group ends, in digits. One separator stands between two groups, so in the text it is `index` further.
    ends = list(accumulate(map(len, groups)))
    sums = _luhn_sums(digits.encode())
    parts = []
    kept_from = start = first = nearest = 0
    while first < len(ends):
        beyond = 0
        if digits[start] in _CARD_FIRST_DIGITS:
            while nearest < len(ends) and ends[nearest] < start + CARD_DIGITS_MIN:
                nearest += 1
            beyond = _group_after_card(sums, ends, start, nearest)
        if beyond:
            parts += [text[kept_from : start + first], CARD]
            kept_from = ends[beyond - 1] + beyond - 1
        first = beyond or first + 1
        start = ends[first - 1]
    parts.append(text[kept_from:])
    return "".join(parts)


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


def _scrub_ip(candidate: re.Match[str]) -> str:
    """Colons are also in times: an IPv6 address has eight groups, or fewer and one `::` (RFC 4291, 2.2)."""
    text = candidate[0]
    if ":" not in text:
        return IP
    groups = text.split(":")
    filled = sum(1 for group in groups if group)
    is_full = filled == len(groups) == IPV6_GROUPS
    # `a::b` is code in many languages, and no address that anyone has.
    is_short = text.count("::") == 1 and IPV6_GROUPS_SHORT_MIN <= filled < IPV6_GROUPS
    return IP if is_full or is_short else text


def _scrub_phone(candidate: re.Match[str]) -> str:
    if candidate["named"]:
        return candidate[0]
    return f"{candidate['cue']}{PHONE}" if candidate["cue"] else PHONE
