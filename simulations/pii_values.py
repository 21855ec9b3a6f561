"""Made-up personal data in the many ways that people write it, from a seed. Nobody has any of it on purpose."""

from random import Random

import phonenumbers
from stdnum.iso7064 import mod_97_10

_VN_MOBILE = """
    32 33 34 35 36 37 38 39 52 56 58 59 70 76 77 78 79 81 82 83 84 85 86 87 88 89 90 91 92 93 94 96 97 98 99
""".split()
_VN_LANDLINE = """
    24 28 236 225 292 203 251 274
""".split()
_WORDS = """
    nam lan hoa minh shop vip rose blue cat sun moon star alex mai anh kd cskh info sale thu
""".split()
_DOMAINS = """
    gmail.com gmail.com gmail.com yahoo.com.vn yahoo.com outlook.com hotmail.com icloud.com vnu.edu.vn fpt.vn
    example.org company.co.uk mail.example.com web.de orange.fr
""".split()
_IBAN_SHAPES = {"DE": 18, "FR": 23, "GB": 18, "NL": 14, "ES": 20, "NO": 11, "IT": 23, "PL": 24, "BE": 12, "AT": 16}
_BANKS = """
    VCB Vietcombank Techcombank TCB MB ACB BIDV Agribank Sacombank VPBank TPBank vietinbank vib
""".split()
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HEX = "0123456789abcdef"
_SPOKEN = """
    không một hai ba bốn năm sáu bảy tám chín
""".split()
_PROVINCES = (
    1,
    4,
    8,
    19,
    22,
    25,
    26,
    27,
    30,
    31,
    33,
    34,
    35,
    36,
    37,
    38,
    40,
    42,
    44,
    46,
    48,
    49,
    51,
    52,
    54,
    56,
    60,
    64,
    66,
)
_PROVINCES_SOUTH = (68, 70, 74, 75, 77, 79, 80, 82, 83, 84, 86, 87, 89, 91, 92, 93, 94, 95, 96)


def digits(rng: Random, count: int) -> str:
    return "".join(rng.choices(_DIGITS, k=count))


def _text(rng: Random, alphabet: str, count: int) -> str:
    return "".join(rng.choices(alphabet, k=count))


def grouped(number: str, sizes: list[int], separator: str) -> str:
    """The number in groups; what is left over is the last."""
    parts = []
    for size in sizes:
        parts.append(number[:size])
        number = number[size:]
    return separator.join(part for part in [*parts, number] if part)


def email(rng: Random) -> str:
    """Plain, spelled out, or broken over two lines."""
    local = rng.choice(
        [
            f"{rng.choice(_WORDS)}.{rng.choice(_WORDS)}{digits(rng, rng.randint(0, 4))}",
            f"{rng.choice(_WORDS)}{digits(rng, rng.randint(2, 6))}",
            f"{rng.choice(_WORDS)}_{rng.choice(_WORDS)}",
            f"{rng.choice(_WORDS)}+{rng.choice(_WORDS)}",
        ]
    )
    domain = rng.choice(_DOMAINS)
    address = f"{local}@{domain}"
    way = rng.random()
    if way < 0.08 and "+" not in local and "_" not in local:
        return address.replace(".", " chấm ").replace("@", rng.choice([" a còng ", " @ ", " a móc "]))
    if way < 0.14 and "+" not in local:
        return address.replace(".", rng.choice([" dot ", "[dot]", "(dot)"])).replace(
            "@", rng.choice([" at ", "[at]", " (at) "])
        )
    if way < 0.18:
        return address.replace("@", "@\n")
    return address.upper() if way < 0.24 else address


def vietnamese_phone(rng: Random) -> str:
    """A mobile or landline number, national or international, with any separators or in words."""
    if rng.random() < 0.12:
        area = rng.choice(_VN_LANDLINE)
        rest = grouped(digits(rng, 10 - len(area)), [4], rng.choice([" ", ".", ""]))
        return f"0{area}{rng.choice([' ', '.', '-', ''])}{rest}"
    national = rng.choice(_VN_MOBILE) + digits(rng, 7)
    if rng.random() < 0.05:
        return " ".join(_SPOKEN[int(digit)] for digit in f"0{national}")
    prefix = rng.choice(["0", "0", "0", "0", "+84", "+84 ", "84", "(+84)", "(+84) ", "0084"])
    sizes = rng.choice([[3, 3], [2, 3], [2, 3, 2], [9], [9], [9], [4, 3], [2, 2, 3], [1] * 8])
    separator = rng.choice([" ", ".", "-", "\n"] if rng.random() < 0.1 else [" ", ".", "-"])
    return prefix + grouped(national, sizes, separator)


def foreign_phone(rng: Random) -> str:
    """American and European numbers as they are written there."""
    three, four, area = digits(rng, 3), digits(rng, 4), f"{rng.randint(2, 9)}{digits(rng, 2)}"
    if rng.random() < 0.5:
        return rng.choice(
            [
                f"({area}) {three}-{four}",
                f"{area}-{three}-{four}",
                f"{area}.{three}.{four}",
                f"+1 {area} {three} {four}",
                f"1-{area}-{three}-{four}",
                f"({area}) {three}-{four} ext. {digits(rng, 3)}",
            ]
        )
    country, size = rng.choice([(49, 10), (33, 9), (44, 10), (31, 9), (34, 9), (39, 10), (46, 9), (48, 9), (45, 8)])
    national = f"{rng.randint(2, 7)}{digits(rng, size - 1)}"
    return rng.choice([f"+{country} ", f"+{country}", f"00{country} ", f"+{country} (0) "]) + grouped(
        national,
        rng.choice([[2, 2, 2, 2], [3, 3], [3], [1, 2, 2, 2], [size]]),
        rng.choice([" ", "-", "/" if size > 20 else " "]),
    )


def card(rng: Random) -> str:
    """13 to 19 digits with a Luhn digit; sometimes as a scanner reads them."""
    prefix, size = rng.choice(
        [
            ("4", 16),
            ("51", 16),
            ("5555", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("9704", 16),
            ("9704", 19),
            ("2223", 16),
        ]
    )
    body = prefix + digits(rng, size - len(prefix) - 1)
    total = sum(int(each) if at % 2 else sum(divmod(2 * int(each), 10)) for at, each in enumerate(reversed(body)))
    number = f"{body}{-total % 10}"
    sizes = [4, 6] if size == 15 else [4, 4, 4]
    written = grouped(
        number,
        sizes if rng.random() < 0.6 else [size],
        rng.choice([" ", "-", " ", "\n" if rng.random() < 0.2 else " "]),
    )
    if rng.random() < 0.06 and "0" in written[1:]:
        return written[0] + written[1:].replace("0", "O", 2)
    return written


def iban(rng: Random) -> str:
    """With the right check digits, whole or in groups of four."""
    country = rng.choice(list(_IBAN_SHAPES))
    account = digits(rng, _IBAN_SHAPES[country])
    if country in {"GB", "NL"}:
        account = _text(rng, _LETTERS.upper(), 4) + account[4:]
    check = mod_97_10.calc_check_digits(f"{account}{country}")
    compact = f"{country}{check}{account}"
    written = (
        grouped(compact, [4] * (len(compact) // 4), rng.choice([" ", " ", "-"])) if rng.random() < 0.5 else compact
    )
    return written.lower() if rng.random() < 0.15 else written


def ip(rng: Random) -> str:
    if rng.random() < 0.7:
        return ".".join(str(rng.randint(1, 254)) for _ in range(4))
    groups = [f"{rng.randint(1, 0xFFFF):x}" for _ in range(8)]
    return ":".join(groups) if rng.random() < 0.6 else f"{':'.join(groups[:3])}::{groups[7]}"


def mac(rng: Random) -> str:
    pairs = [_text(rng, _HEX, 2) for _ in range(6)]
    written = rng.choice([":", "-"]).join(pairs)
    return written.upper() if rng.random() < 0.5 else written


def personal_id(rng: Random) -> str:
    """A CCCD of 12 digits: province, century and sex, year of birth."""
    number = f"{rng.choice(_PROVINCES + _PROVINCES_SOUTH):03}{rng.randint(0, 3)}{digits(rng, 8)}"
    return number if rng.random() < 0.8 else grouped(number, [3, 3, 3], rng.choice([" ", ".", "-"]))


def old_personal_id(rng: Random) -> str:
    """A CMND of 9 digits; only the words before it say what it is."""
    number = rng.choice("0123") + digits(rng, 8)
    return number if rng.random() < 0.8 else grouped(number, [3, 3], " ")


def ssn(rng: Random) -> str:
    number = f"{rng.randint(1, 665):03}{rng.randint(1, 99):02}{rng.randint(1, 9999):04}"
    return grouped(number, [3, 2], rng.choice(["-", "-", " "]))


def account(rng: Random) -> str:
    number = rng.choice("0123456789") + digits(rng, rng.randint(7, 14))
    return number if rng.random() < 0.8 else grouped(number, [4, 4, 4], " ")


def bank(rng: Random) -> str:
    return rng.choice(_BANKS)


def tax_code(rng: Random) -> str:
    number = f"{rng.randint(1, 98):02}{digits(rng, 8)}"
    return number if rng.random() < 0.7 else f"{number}-{digits(rng, 3)}"


def passport(rng: Random) -> str:
    return f"{rng.choice('BCNPEKM')}{digits(rng, rng.choice([7, 8]))}"


def secret(rng: Random) -> str:
    """Keys by their issuers' prefixes. Joined here, so that no scanner takes this file for a leak."""
    letters = _LETTERS + _LETTERS.upper() + _DIGITS
    return rng.choice(
        [
            "_".join(["sk", "live", _text(rng, letters, 24)]),
            "_".join(["whsec", _text(rng, letters, 32)]),
            "AKIA" + _text(rng, _LETTERS.upper() + "234567", 16),
            "_".join(["ghp", _text(rng, letters, 36)]),
            "-".join(["xoxb", digits(rng, 11), _text(rng, letters, 24)]),
            "AIza" + _text(rng, letters, 35),
            ".".join(["eyJ" + _text(rng, letters, 20), "eyJ" + _text(rng, letters, 30), _text(rng, letters, 43)]),
            "-".join(["sk", "proj", _text(rng, letters, 40)]),
        ]
    )


def password(rng: Random) -> str:
    return rng.choice(_WORDS).title() + digits(rng, rng.randint(2, 6)) + rng.choice(["!", "@", "#", ""])


def canonical_digits(text: str) -> str:
    """Only the digits: what a number is, whatever its spelling."""
    return phonenumbers.normalize_digits_only(text)
