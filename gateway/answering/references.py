"""The ids and order numbers in a question: by the forms that providers give them, or by the word before them."""

import re
from typing import Literal

import msgspec

Named = Literal["payment", "refund", "dispute", "payout", "order"]
NAMED_MAX = 20

# https://docs.stripe.com/api: the prefix says what it is of.
_STRIPE_RE = re.compile(r"(?<![A-Za-z0-9_])(pi|ch|py|po|re|pyr|dp|du)_([A-Za-z0-9_]{0,199}[A-Za-z0-9])")
_STRIPE: dict[str, Named] = {
    "pi": "payment",
    "ch": "payment",
    "py": "payment",
    "po": "payout",
    "re": "refund",
    "pyr": "refund",
    "dp": "dispute",
    "du": "dispute",
}
# PayPal: orders, captures and refunds have 17 capitals and digits, payments of v1 a prefix
# (https://developer.paypal.com/docs/api/payments/v1/), disputes another
# (https://developer.paypal.com/docs/api/customer-disputes/v1/).
_PAYPAL_DISPUTE_RE = re.compile(r"(?<![\w-])PP(?:-[A-Z0-9]{1,10}){1,4}(?![\w-])")
_PAYPAL_PAYMENT_RE = re.compile(r"(?<![\w-])PAY(?:ID)?-[A-Z0-9]{16,26}(?![\w-])")
# Adyen: 16 capitals and digits (https://docs.adyen.com/development-resources/webhooks). Digits alone are left to the
# word before them, because a card has as many.
_CAPITALS_RE = re.compile(r"(?<![\w-])(?=[0-9]*[A-Z])(?=[A-Z]*[0-9])[A-Z0-9]{16,17}(?![\w-])")
# ZaloPay: `yymmdd_...` of a transaction, `yymmdd_<app>_...` of a refund (https://docs.zalopay.vn/docs/specs/order-create).
_ZALOPAY_RE = re.compile(
    r"(?<![\w-])[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])_[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*(?![\w-])"
)
_FORMS: tuple[tuple[re.Pattern[str], Named], ...] = (
    (_PAYPAL_DISPUTE_RE, "dispute"),
    (_PAYPAL_PAYMENT_RE, "payment"),
    (_CAPITALS_RE, "payment"),
    (_ZALOPAY_RE, "payment"),
)
# A merchant's own numbers have no form: what has a digit after a word for them. Longer numbers do without "number".
_CUED_RE = re.compile(
    r"(?<!\w)(?:"
    r"(?P<order>orders?|invoice|booking|receipt|đơn(?:\s+hàng)?|don\s+hang|hóa\s+đơn|hoá\s+đơn|hoa\s+don)"
    r"|(?P<payment>transaction|payment|charge|reference|ref|giao\s+dịch|giao\s+dich|thanh\s+toán|thanh\s+toan)"
    r"|(?P<refund>refund|hoàn\s+tiền|hoan\s+tien)"
    r"|(?P<dispute>dispute|case|chargeback|khiếu\s+nại|khieu\s+nai|tranh\s+chấp|tranh\s+chap)"
    r"|(?P<payout>payout|settlement)"
    r")(?:\s+(?:is|was|with|the|my|của|có|mã|ma))?"
    r"(?P<numbered>\s*(?:(?:number|num|no|nr|id|code|ref(?:erence)?|số|so|mã|ma)(?:\s+(?:is|là))?\s*[.:#]?\s*|[#:]\s*))?"
    r"\s*(?P<number>(?=[A-Za-z_.-]*[0-9])[A-Za-z0-9][A-Za-z0-9_.:@=+~-]{0,198}[A-Za-z0-9])(?![\w])"
    r"(?!\s*(?:%|€|\$|£|₫|đ\b|vnđ|vnd\b|eur\b|usd\b|gbp\b|euros?\b|dollars?\b|k\b|tr\b|triệu|nghìn|ngàn|đồng|times|lần"
    r"|days?|ngày|months?|tháng|weeks?|tuần|hours?|giờ))",
    re.IGNORECASE,
)
_HASHED_RE = re.compile(r"(?<![\w#])#(?P<number>(?=[A-Za-z_.-]*[0-9])[A-Za-z0-9][A-Za-z0-9_-]{2,60})(?!\w)")
# Amounts, dates and times also stand after such words.
_NO_NUMBER_RE = re.compile(
    r"[0-9]{1,3}(?:[.,][0-9]{3})+(?:[.,][0-9]{1,2})?|[0-9]+[.,][0-9]{1,2}|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}"
    r"|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?|[0-9]+(?:st|nd|rd|th|k|tr|x|h|d)|[0-9]{4}-[0-9]{2}(?:-[0-9]{2}T.*)?",
    re.IGNORECASE,
)
_CHARS_MIN = {"order": 3}
_CHARS_UNNUMBERED_MIN = 6


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An id as it is written, and what it is said to be of."""

    id: str
    of: Named


def references_in(text: str) -> list[Reference]:
    """The ids that a text names, each once, in order of mention; at most 20."""
    found: dict[int, Reference] = {}
    taken: list[tuple[int, int]] = []

    def take(start: int, end: int, of: Named) -> None:
        if not any(start < other_end and other_start < end for other_start, other_end in taken):
            taken.append((start, end))
            found[start] = Reference(id=text[start:end], of=of)

    if "_" in text:
        for match in _STRIPE_RE.finditer(text):
            take(*match.span(), _STRIPE[match[1]])
    for form, of in _FORMS:
        for match in form.finditer(text):
            take(*match.span(), of)
    for match in _CUED_RE.finditer(text):
        if _is_number(match):
            take(*match.span("number"), _kind(match))
    for match in _HASHED_RE.finditer(text):
        take(*match.span("number"), "order")
    unique = {each.id: each for _, each in sorted(found.items(), reverse=True)}
    in_order = sorted(found.items())
    return [each for _, each in in_order if unique.get(each.id) is each][:NAMED_MAX]


def _kind(match: re.Match[str]) -> Named:
    kinds: tuple[Named, ...] = ("order", "payment", "refund", "dispute", "payout")
    return next(kind for kind in kinds if match[kind])


def _is_number(match: re.Match[str]) -> bool:
    number, kind = match["number"], _kind(match)
    if _NO_NUMBER_RE.fullmatch(number):
        return False
    return len(number) >= (_CHARS_MIN.get(kind, 4) if match["numbered"] or kind == "order" else _CHARS_UNNUMBERED_MIN)
