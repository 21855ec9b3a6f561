"""Numbers that are written as words: `forty-nine`, `năm trăm nghìn`. As digits, other checks can read them."""

import re
from collections.abc import Mapping

_ENGLISH: Mapping[str, int] = {
    **{
        name: number
        for number, name in enumerate(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen".split()
        )
    },
    **{
        name: 10 * number
        for number, name in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
    },
}
_ENGLISH_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_VIETNAMESE: Mapping[str, int] = {
    **{name: number for number, name in enumerate("không một hai ba bốn năm sáu bảy tám chín mười".split())},
    "mốt": 1,
    "tư": 4,
    "lăm": 5,
    "nhăm": 5,
    "bẩy": 7,
}
_VIETNAMESE_SCALES = {
    "mươi": 10,
    "chục": 10,
    "trăm": 100,
    **dict.fromkeys(("nghìn", "ngàn"), 1_000),
    "triệu": 1_000_000,
    **dict.fromkeys(("tỷ", "tỉ"), 1_000_000_000),
}
_GROUP_MIN = 1_000
# Alone, these are articles, pronouns and years as often as numbers.
_ALONE_NO_NUMBER = frozenset("one một năm tư không".split())

_ENGLISH_WORD = "|".join([*_ENGLISH, *_ENGLISH_SCALES])
_VIETNAMESE_WORD = "|".join([*_VIETNAMESE, *_VIETNAMESE_SCALES])
_ENGLISH_RE = re.compile(
    rf"(?<!\w)(?:{_ENGLISH_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_ENGLISH_WORD}))*(?!\w)", re.IGNORECASE
)
_VIETNAMESE_RE = re.compile(
    rf"(?<!\w)(?:{_VIETNAMESE_WORD})(?:\s+(?:(?:linh|lẻ)\s+)?(?:{_VIETNAMESE_WORD}))*(?!\w)", re.IGNORECASE
)
# What makes a number of one such word all the same: the money that it counts.
_MONEY_AFTER_RE = re.compile(r"\s*(?:euro|dollar|dong|đồng|đô|pound|yen|cent|eur\b|usd\b|vnd\b)", re.IGNORECASE)


def with_digits(text: str) -> str:
    """The text with its numbers in digits: `forty-nine euros` -> `49 euros`."""
    text = _ENGLISH_RE.sub(lambda match: _digits(match, _ENGLISH, _ENGLISH_SCALES), text)
    return _VIETNAMESE_RE.sub(lambda match: _digits(match, _VIETNAMESE, _VIETNAMESE_SCALES), text)


def _digits(match: re.Match[str], units: Mapping[str, int], scales: Mapping[str, int]) -> str:
    spoken = [word for word in re.split(r"[\s-]+", match[0].lower()) if word in units or word in scales]
    is_money = _MONEY_AFTER_RE.match(match.string, match.end()) is not None
    if len(spoken) == 1 and spoken[0] in _ALONE_NO_NUMBER and not is_money:
        return match[0]
    total = group = digit = 0
    for word in spoken:
        if word in units:
            # Of `twenty five` both count, and of `mười lăm`; two digits beside each other are no one number.
            digit += units[word]
        elif scales[word] >= _GROUP_MIN:
            total += (group + digit or 1) * scales[word]
            group = digit = 0
        elif scales[word] == 100:  # noqa: PLR2004 - a hundred takes what stands before it
            group, digit = group + (digit or 1) * 100, 0
        else:
            group, digit = group + (digit or 1) * scales[word], 0
    return str(total + group + digit)
