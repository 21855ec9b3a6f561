"""What a question asks for: its intent, and the ids and amounts in it. Word tables and sums, no model.

The tables hold English, and Vietnamese without its marks, as `fold` writes both.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import msgspec

from domain.money import exponent

Intent = Literal[
    "charged_twice",
    "payout_status",
    "dispute_status",
    "refund_status",
    "decline_reason",
    "payment_status",
    "policy",
    "unknown",
]
QUESTION_CHARS_MAX = 2_000
SCORE_MIN = 2


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """An amount in minor units; `currency` (ISO 4217) is empty where the question names none."""

    amount_minor: int
    currency: str = ""


class Understanding(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked. Ids stand in order of mention.

    Args:
        payment_ids: pi_, ch_, py_ and po_.
        object_ids: of refunds (re_, pyr_) and disputes (dp_, du_).
    """

    intent: Intent
    payment_ids: tuple[str, ...] = ()
    object_ids: tuple[str, ...] = ()
    amounts: tuple[Amount, ...] = ()


# Signal -> the words and phrases that give it.
_PHRASES: Mapping[str, str] = {
    "refund": (
        "refund, refunds, refunded, refunding, reimburse, reimbursed, reimbursement, money back, money returned, give "
        "me back my money, give me my money back, money has been returned, returned to me, pay me back, paid back, "
        "returned transaction, returned item, returned something, returned an item, credit me, a return, my return, "
        "return cleared, hoan tien, tien hoan, hoan lai, hoan tra, tra lai tien, tien tra lai"
    ),
    "take_back": "return, returning, huy don, tra hang, doi tra",
    "cancel": (
        "cancel, canceling, cancelling, stop payment, stop the payment, purchases cancelled, purchase cancelled, "
        "order cancelled, huy"
    ),
    "twice": (
        "twice, two times, 2 times, 2x, double, doubled, duplicate, duplicated, duplicates, multiple times, many "
        "times, several times, three times, repeated, repeatedly, over and over, more than once, two of the same, "
        "multiple of the same, multiple charges, multiple payments, multiple transactions, the same charge, the same "
        "transaction, the same payment, same charges, both charges, second time, both times, two charges, two "
        "payments, hai lan, 2 lan, nhieu lan, trung lap, bi trung, bi lap"
    ),
    "charge": (
        "charge, charged, charges, charging, billed, billing, deducted, debited, debit, debits, debiting, took, "
        "taken, bi tru, tru tien, thu tien, tinh tien"
    ),
    "payment": (
        "payment, payments, paid, pay, transaction, transactions, purchase, purchases, purchased, order, checkout, "
        "thanh toan, giao dich, don hang, chuyen khoan"
    ),
    "reverse": (
        "reverted, revert, reverts, reverting, reversed, reversal, came back, come back, comes back, went back, go "
        "back, sent back, put back, gave the money back, back in my account, back into my account, returned to my "
        "account, transferred back, returned, payment returned, payment was returned, returned payment, was "
        "cancelled, been cancelled, is cancelled, was canceled, been canceled, payment cancelled, payments cancelled, "
        "bi hoan, bi huy, da huy"
    ),
    "dispute": (
        "dispute, disputes, disputed, disputing, chargeback, chargebacks, charge back, tranh chap, khieu nai, boi hoan"
    ),
    "decline": (
        "decline, declines, declined, declining, denied, deny, denies, rejected, reject, rejects, rejecting, refused, "
        "refuse, refuses, not accepted, not been accepted, wasnt accepted, tu choi"
    ),
    "fail": (
        "fail, fails, failed, failing, failure, unsuccessful, not go through, not going through, didnt go through, "
        "doesnt go through, wont go through, hasnt gone through, not gone through, not work, not working, didnt work, "
        "doesnt work, wont work, isnt working, stopped, error, that bai, khong thanh cong, bi loi, khong duoc"
    ),
    "why": "why, reason, reasons, cause, explain, how come, tai sao, vi sao, ly do, sao lai",
    "where": (
        "where, when, status, track, tracking, update, updated, missing, waiting, pending, show, shows, shown, "
        "showing, showed, arrive, arrived, arriving, appear, appears, appeared, see, find, receive, received, gotten, "
        "gone through, come through, went through, complete, completed, processed, happened, happening, progress, "
        "yet, taking so long, taking too long, o dau, dau roi, khi nao, bao gio, trang thai, tinh trang, chua, nhan "
        "duoc, the nao roi, den dau, xong"
    ),
    "duration": "how long, how many days, how soon, how fast, bao lau, may ngay, bao nhieu ngay",
    "general": (
        "how long does, how long do, how many days does, how many days do, usually, normally, typically, generally, "
        "thuong"
    ),
    "how": (
        "how do i, how do you, how does, how can i, how can you, how could i, how to, how would i, how should i, how "
        "do we, how is, can i, can you, could i, may i, am i able, are you able, is it possible, do you, does the, is "
        "there a way, what happens, what do i, what should i, should i, where do i, where can i, where should i, who "
        "do i, whats the procedure, what is the procedure, steps, lam sao, lam the nao, nhu the nao, co the, co duoc, "
        "cach nao, lam gi"
    ),
    "rule": (
        "policy, policies, rule, rules, terms, conditions, eligible, eligibility, procedure, allowed, offer, "
        "refundable, fee, fees, deadline, learning more, chinh sach, quy dinh, dieu kien, quy trinh, thu tuc"
    ),
    "mine": "my, mine, me, cua toi, cua minh, cua em, cho toi, cho minh, cho em",
    "payout": "payout, payouts, pay out, paid out, settlement, settlements, quyet toan, chi tra",
}

# (intent, what the question must have, what it adds to the intent's score). The highest sum wins; among equals the
# intent that `Intent` names first.
_RULES: tuple[tuple[Intent, str, int], ...] = (
    ("refund_status", "refund", 4),
    ("refund_status", "refund where", 2),
    ("refund_status", "refund mine", 2),
    ("refund_status", "refund decline", 4),
    ("refund_status", "refund fail", 4),
    ("refund_status", "refund payment_id", 5),
    ("refund_status", "refund_id", 8),
    ("policy", "rule", 4),
    ("policy", "refund rule", 5),
    ("policy", "refund how", 4),
    ("policy", "refund general", 3),
    ("policy", "refund duration", 3),
    ("policy", "take_back", 5),
    ("policy", "cancel payment", 4),
    ("policy", "how", 3),
    ("policy", "duration", 2),
    ("charged_twice", "twice", 2),
    ("charged_twice", "twice charge", 6),
    ("charged_twice", "twice payment", 4),
    ("dispute_status", "dispute", 6),
    ("dispute_status", "dispute where", 3),
    ("dispute_status", "dispute mine", 2),
    ("dispute_status", "dispute payment_id", 5),
    ("dispute_status", "dispute_id", 8),
    ("policy", "dispute how", 5),
    ("policy", "dispute rule", 5),
    ("policy", "dispute duration", 6),
    ("decline_reason", "decline", 5),
    ("decline_reason", "decline why", 2),
    ("decline_reason", "fail why", 4),
    ("decline_reason", "fail why payment", 3),
    ("payout_status", "payout", 7),
    ("payout_status", "payout where", 2),
    ("payout_status", "payout mine", 2),
    ("payout_status", "payout_id", 9),
    ("policy", "payout how", 4),
    ("policy", "payout rule", 5),
    ("policy", "payout duration", 7),
    ("payment_status", "payment", 2),
    ("payment_status", "payment where", 1),
    ("payment_status", "payment fail", 1),
    ("payment_status", "reverse", 2),
    ("payment_status", "charge", 2),
    ("payment_status", "payment_id", 3),
)
_WEIGHTS = tuple((intent, frozenset(needs.split()), weight) for intent, needs, weight in _RULES)
_PRIORITY = {intent: -rank for rank, intent in enumerate(get_args(Intent))}


def _by_first_word() -> dict[str, tuple[tuple[list[str], str], ...]]:
    """First word -> the rest of every phrase that begins with it, and the phrase's signal."""
    index: dict[str, list[tuple[list[str], str]]] = {}
    for signal, phrases in _PHRASES.items():
        for phrase in phrases.split(", "):
            first, *rest = phrase.split()
            index.setdefault(first, []).append((rest, signal))
    return {first: tuple(followers) for first, followers in index.items()}


_FOLLOWERS = _by_first_word()

_WORD_RE = re.compile(r"[a-z0-9]+")
_MARKS_RE = re.compile(r"[\u0300-\u036f]+")
_FOLDS = str.maketrans({"đ": "d", "'": "", "\u2019": ""})
_ID_RE = re.compile(r"(?<![A-Za-z0-9_])(pi|ch|py|po|re|pyr|dp|du)_([A-Za-z0-9_]{0,199}[A-Za-z0-9])")
_SIGNALS_OF_PREFIX = {
    "po": "payout_id",
    "re": "refund_id",
    "pyr": "refund_id",
    "dp": "dispute_id",
    "du": "dispute_id",
}
_PAYMENT_PREFIXES = frozenset({"pi", "ch", "py", "po"})

_CODES = (
    "AED AUD BHD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR INR JPY KRW KWD MXN MYR NOK NZD PHP PLN SEK SGD THB TWD "
    "USD VND ZAR"
)
_CURRENCIES = {
    **{code.lower(): code for code in _CODES.split()},
    **dict.fromkeys("€ euro euros".split(), "EUR"),
    **dict.fromkeys("$ dollar dollars us$".split(), "USD"),
    **dict.fromkeys("£ pound pounds".split(), "GBP"),
    **dict.fromkeys("₫ đ vnđ đồng dong".split(), "VND"),
    "¥": "JPY",
}
_NAMES = "|".join(sorted((re.escape(name) for name in _CURRENCIES), key=len, reverse=True))
_NUMBER = r"[0-9]{1,3}(?:[.,\u00a0 ][0-9]{3}){1,4}(?![0-9])(?:[.,][0-9]{1,3})?|[0-9]{1,12}(?:[.,][0-9]{1,3})?"
_AMOUNT_RE = re.compile(
    rf"(?<![\w.,])(?:(?P<before>{_NAMES})\s?(?P<number>{_NUMBER})|(?P<first>{_NUMBER})\s?(?P<after>{_NAMES}))(?![\w])"
    r"|(?<![\w.,/-])(?P<bare>[0-9]{1,3}(?:,[0-9]{3})*\.[0-9]{2})(?![\w/]|[.,-][0-9])",
    re.IGNORECASE,
)


def understand(question: str) -> Understanding:
    """The question's intent, ids and amounts. Reads its first 2,000 characters."""
    question = question[:QUESTION_CHARS_MAX]
    signals = _signals(words(question))
    payment_ids: dict[str, None] = {}
    object_ids: dict[str, None] = {}
    if "_" in question:
        for match in _ID_RE.finditer(question):
            prefix = match[1]
            (payment_ids if prefix in _PAYMENT_PREFIXES else object_ids)[match[0]] = None
            signals.add(_SIGNALS_OF_PREFIX.get(prefix, "payment_id"))
    return Understanding(
        intent=_intent(signals),
        payment_ids=tuple(payment_ids),
        object_ids=tuple(object_ids),
        amounts=tuple(dict.fromkeys(_amounts(question))),
    )


def words(text: str) -> list[str]:
    """The words in lower case and without marks: "Hoàn tiền chưa? It's" -> hoan, tien, chua, its."""
    text = text.lower()
    if not text.isascii():
        text = _MARKS_RE.sub("", unicodedata.normalize("NFD", text))
    return _WORD_RE.findall(text.translate(_FOLDS))


def _signals(spoken: list[str]) -> set[str]:
    found = set()
    for at, word in enumerate(spoken):
        for rest, signal in _FOLLOWERS.get(word, ()):
            if not rest or spoken[at + 1 : at + 1 + len(rest)] == rest:
                found.add(signal)
    return found


def _intent(signals: set[str]) -> Intent:
    scores: dict[Intent, int] = {}
    for intent, needs, weight in _WEIGHTS:
        if needs <= signals:
            scores[intent] = scores.get(intent, 0) + weight
    best = max(scores, key=lambda intent: (scores[intent], _PRIORITY[intent]), default=None)
    return "unknown" if best is None or scores[best] < SCORE_MIN else best


def _amounts(question: str) -> Iterator[Amount]:
    for match in _AMOUNT_RE.finditer(question):
        currency = _CURRENCIES.get((match["before"] or match["after"] or "").lower(), "")
        number = match["number"] or match["first"] or match["bare"]
        yield Amount(amount_minor=_minor(number, currency), currency=currency)


def _minor(number: str, currency: str) -> int:
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
