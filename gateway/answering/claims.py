"""What a text claims, piece by piece: the ids, amounts, dates, numbers and statuses in it, in their order.

A text of a model is compared by these with the facts. What cannot be read here for certain is a piece of its own kind,
`doubt`, so that whoever compares can refuse it.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Literal

import msgspec

from gateway.answering.amounts import Amount, amounts_in
from gateway.answering.language import Language
from gateway.answering.number_words import with_digits

Concept = Literal[
    "returned",
    "succeeded",
    "taken",
    "failed",
    "canceled",
    "pending",
    "waiting",
    "unpaid",
    "processing",
    "action",
    "authorized",
    "inquiry",
    "open",
    "under_review",
    "won",
    "lost",
    "in_transit",
]
ObjectNoun = Literal["payment", "refund", "dispute", "payout"]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a text. Which of the other fields is set follows from `kind`.

    A date without a year has the year 0. `is_negated` is whether the text denies the concept or that there is such a
    thing, `is_pointed` whether a noun means what was spoken of just before: `this refund`.
    """

    kind: Literal["id", "amount", "date", "number", "noun", "concept", "stop", "break", "doubt"]
    text: str = ""
    amount: Amount | None = None
    day: tuple[int, int, int] = (0, 0, 0)
    noun: ObjectNoun | None = None
    concept: Concept | None = None
    is_negated: bool = False
    is_pointed: bool = False


_NOUNS: tuple[tuple[ObjectNoun, str], ...] = (
    ("refund", r"refunds?|reimbursements?|(?:khoản )?hoàn tiền|khoản hoàn"),
    ("dispute", r"disputes?|chargebacks?|tranh chấp|khiếu nại"),
    ("payout", r"payouts?|settlements?|(?:khoản )?chi trả"),
    ("payment", r"payments?|purchases?|transactions?|orders?|thanh toán|giao dịch|đơn hàng"),
)
# The longer phrases stand first. Each says one thing of whatever it is said of, whether or not it is denied.
_CONCEPTS: tuple[tuple[Concept, str], ...] = (
    ("pending", r"(?:not|isn't|hasn't been|has not been) (?:yet )?(?:been )?(?:finished|completed|complete)"),
    ("pending", r"chưa hoàn tất|chưa xong|chưa biết kết quả"),
    ("pending", r"in progress|under way|underway|requested|on its way"),
    ("action", r"đang chờ khách hàng(?: thực hiện)?(?: một bước)?"),
    ("waiting", r"waiting"),
    ("unpaid", r"pending|đang chờ"),
    ("processing", r"processing|being processed|đang được xử lý|đang xử lý"),
    ("action", r"an action|actions?|một bước"),
    ("pending", r"được yêu cầu"),
    (
        "failed",
        r"did(?: not|n't) go through|un(?:successful|successfully)|not successful|could(?: not|n't) be processed",
    ),
    ("failed", r"failed|fails?|failing|declined|rejected|refused|bounced|không thành công|thất bại|bị từ chối|từ chối"),
    ("canceled", r"cancell?ed|voided|bị hủy|bị huỷ|đã hủy|đã huỷ"),
    ("in_transit", r"in transit|đang được chuyển"),
    ("under_review", r"under review|being reviewed|được xem xét|đang xem xét"),
    ("inquiry", r"an inquiry|inquiry|tra soát"),
    ("won", r"won|merchant's favou?r|phần thắng thuộc về người bán"),
    ("lost", r"lost|customer's favou?r|phần thắng thuộc về khách hàng"),
    ("open", r"open|opened|đang mở"),
    ("authorized", r"authori[sz]ed|reserved|on hold|được cấp phép|được giữ lại|tạm giữ"),
    ("returned", r"refunded|returned|reimbursed|sent back|paid back|given back|credited|got (?:your|the) money back"),
    ("returned", r"được hoàn(?: lại| trả)?(?! tất)|được trả lại|hoàn lại|trả lại|nhận lại"),
    ("succeeded", r"succeeded|successful(?:ly)?|completed?|went through|gone through|finished|settled|processed"),
    ("succeeded", r"thành công|hoàn tất|hoàn thành"),
    ("taken", r"captured|charged|taken|debited|collected|deducted|paid|received|arrived|deposited"),
    ("taken", r"được thu|bị thu|thu tiền|bị trừ|trừ tiền|được thanh toán|được chi trả|đã nhận"),
)
_NEGATION_RE = re.compile(
    r"(?<!\w)(?:not|never|no|none|nothing|neither|nor|without|cannot|\w+n't|yet to|chưa|không|chẳng|chả)(?!\w)"
)
# "That" may as well begin a clause, and "these" are several.
_THIS_RE, _THIS_AFTER_RE = re.compile(r"(?<!\w)this $"), re.compile(r" này(?!\w)")
_SEVERAL_RE = re.compile(r"(?<!\w)(?:các|những|mọi|tất cả) (?:khoản )?$")
_NEGATION_WORDS = 5
_NOUN_NEGATION_WORDS = 3
_MONTHS = {
    name.lower(): number
    for number, name in enumerate(
        "January February March April May June July August September October November December".split(), start=1
    )
}
_MONTH = "|".join([*_MONTHS, *(f"{name[:3]}\\.?" for name in _MONTHS)])
_DATE_FORMS: tuple[tuple[Language | None, str], ...] = (
    (None, r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"),
    ("en", rf"(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})(?:,? (?P<year>[0-9]{{4}}))?"),
    ("en", rf"(?P<month>{_MONTH}) (?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>[0-9]{{4}}))?"),
    ("vi", r"(?:ngày )?(?P<day>[0-9]{1,2}) tháng (?P<month>[0-9]{1,2})(?:,? (?:năm )?(?P<year>[0-9]{4}))?"),
    (None, r"(?P<day>[0-9]{1,2})[/.](?P<month>[0-9]{1,2})[/.](?P<year>[0-9]{4})"),
    ("vi", r"(?:ngày )(?P<day>[0-9]{1,2})/(?P<month>[0-9]{1,2})(?P<year>)"),
)
_DATES = tuple(
    (language, re.compile(rf"(?<![\w/.-])(?:{pattern})(?![\w/-])", re.IGNORECASE)) for language, pattern in _DATE_FORMS
)
_ID_RE = re.compile(r"(?<![\w@.])(?=[A-Za-z0-9:._=+~-]*[0-9])(?=[0-9:._=+~-]*[A-Za-z])[A-Za-z0-9][\w:.=+~-]*\w(?!\w)")
_UNDERSCORED_RE = re.compile(r"(?<!\w)\w+_\w+")
_NUMBER_RE = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
# Months, weekdays and days by their distance are dates that were not given as such.
_DOUBT_RE = re.compile(
    r"(?<!\w)(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
    r"|(?i:yesterday|today|tonight|tomorrow|weeks?|months?|weekends?|hours?|days?|minutes?|shortly|soon|immediately"
    r"|instantly|hôm qua|hôm nay|hôm kia|ngày mai|tuần|tháng|thứ (?:hai|ba|tư|năm|sáu|bảy)|chủ nhật|giờ|phút|sắp"
    r"|will|shall|won't|going to|\w+'ll|expect(?:ed)?|should|guaranteed?|promised?|promises?|ensure|assure[ds]?|sẽ"
    r"|cam kết|đảm bảo|bảo đảm|hứa|dự kiến|https?|www|percent|phần trăm))(?!\w)|[@%#<>{}\[\]|\\$`*]"
)
_STOP_RE = re.compile(r"[.!?;]+(?=\s|$|[\"')])|\n+")
_BREAK_RE = re.compile(r"[,:\u2013\u2014]|(?<!\w)(?:and|but|while|whereas|however|although|và|nhưng|còn|tuy)(?!\w)")


def claims_in(text: str, language: Language) -> list[Piece]:
    """The pieces of a text that claim something, in order. What is read once is read as nothing else."""
    text = with_digits(text.lower() if language == "vi" else text)
    found: list[tuple[int, Piece]] = []

    def take(start: int, end: int, piece: Piece) -> None:
        nonlocal text
        found.append((start, piece))
        text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"

    for language_of, pattern in _DATES:
        if language_of in {None, language}:
            for match in list(pattern.finditer(text)):
                take(*match.span(), _date(match, language))
    for match in list(_ID_RE.finditer(text)) + list(_UNDERSCORED_RE.finditer(text)):
        if text[match.start() : match.end()].strip() and not _is_amount(match[0]):
            take(*match.span(), Piece(kind="id", text=match[0]))
    for amount in list(amounts_in(text)):
        take(amount.start, amount.end, Piece(kind="amount", amount=amount.amount))
    for match in list(_DOUBT_RE.finditer(text)):
        take(*match.span(), Piece(kind="doubt", text=match[0]))
    for start, end, piece in [*_concepts(text.lower()), *_nouns(text.lower())]:
        if text[start:end].strip():
            take(start, end, piece)
    found += [(match.start(), Piece(kind="number", text=match[0])) for match in _NUMBER_RE.finditer(text)]
    found += [(match.start(), Piece(kind="stop")) for match in _STOP_RE.finditer(text)]
    found += [(match.start(), Piece(kind="break")) for match in _BREAK_RE.finditer(text.lower())]
    return [piece for _, piece in sorted(found, key=lambda each: each[0])]


def _is_amount(text: str) -> bool:
    """Whether something like an id is an amount: `500k`, `49EUR`."""
    return any(found.start == 0 and found.end == len(text) for found in amounts_in(text))


def _date(match: re.Match[str], language: Language) -> Piece:
    month = match["month"].lower().rstrip(".")
    number = int(month) if month.isdigit() else next(value for name, value in _MONTHS.items() if name.startswith(month))
    day, year = int(match["day"]), int(match["year"] or 0)
    try:
        date(year or 2024, number, day)
    except ValueError:
        return Piece(kind="doubt", text=match[0])
    is_turnable = match["month"].isdigit() and "-" not in match[0] and language == "en"
    if is_turnable and day <= len(_MONTHS) and day != number:
        return Piece(kind="doubt", text=match[0])
    return Piece(kind="date", text=match[0], day=(year, number, day))


def _concepts(text: str) -> Iterator[tuple[int, int, Piece]]:
    taken = text
    for concept, pattern in _COMPILED:
        for match in list(pattern.finditer(taken)):
            taken = f"{taken[: match.start()]}{' ' * (match.end() - match.start())}{taken[match.end() :]}"
            piece = Piece(kind="concept", concept=concept, is_negated=_is_denied(text, match.start()))
            yield match.start(), match.end(), piece


def _is_denied(text: str, at: int, words_max: int = _NEGATION_WORDS) -> bool:
    """Whether one of the few words before denies it, without a stop between."""
    before = re.split(r"[.!?;,:\n]", text[:at])[-1].split()[-words_max:]
    return _NEGATION_RE.search(" ".join(before)) is not None


def _nouns(text: str) -> Iterator[tuple[int, int, Piece]]:
    for noun, pattern in _NOUNS_COMPILED:
        for match in pattern.finditer(text):
            is_negated = _is_denied(text, match.start(), _NOUN_NEGATION_WORDS)
            start, end = match.span()
            is_pointed = _is_pointed(text, start, end)
            yield start, end, Piece(kind="noun", noun=noun, is_negated=is_negated, is_pointed=is_pointed)


def _is_pointed(text: str, start: int, end: int) -> bool:
    """Whether the noun is the one just spoken of: "this refund", "khoản hoàn tiền này"."""
    if _THIS_RE.search(text, 0, start):
        return not text[start:end].endswith("s")
    return _THIS_AFTER_RE.match(text, end) is not None and _SEVERAL_RE.search(text, 0, start) is None


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")


_COMPILED: tuple[tuple[Concept, re.Pattern[str]], ...] = tuple(
    (concept, _compiled(pattern)) for concept, pattern in _CONCEPTS
)
_NOUNS_COMPILED: tuple[tuple[ObjectNoun, re.Pattern[str]], ...] = tuple(
    (noun, _compiled(pattern)) for noun, pattern in _NOUNS
)
