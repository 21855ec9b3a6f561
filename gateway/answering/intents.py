"""What a question wants, from the words in it. Word tables and sums, no model.

The tables hold English, and Vietnamese without its marks, as `words` writes both.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args

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
SCORE_MIN = 2

# Signal -> the words and phrases that give it.
_PHRASES: Mapping[str, str] = {
    "refund": (
        "refund, refunds, refunded, refunding, reimburse, reimbursed, reimbursement, money back, money returned, give "
        "me back my money, give me my money back, money has been returned, returned to me, pay me back, paid back, "
        "returned transaction, returned item, returned something, returned an item, credit me, a return, my return, "
        "return cleared, owe me, owes me, want my money, my money from, hoan tien, tien hoan, hoan lai, hoan tra, tra "
        "lai tien, tien tra lai"
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
        "payments, too many charges, to many charges, charged again, charged me again, shows two, hai lan, 2 lan, "
        "nhieu lan, trung lap, bi trung, bi lap, tien trung, tru trung, thu trung"
    ),
    "often": "multiple times, many times, several times, three times, repeatedly, over and over, nhieu lan",
    "unsettled": "pending, stuck, yet, dang cho, dang xu ly",
    "doubled": (
        "twice, two times, two time, 2 times, 2x, double, doubled, duplicate, duplicated, duplicates, hai lan, 2 lan, "
        "trung lap, bi trung, bi lap, tien trung, tru trung, thu trung"
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
        "refuse, refuses, not accepted, not been accepted, wasnt accepted, not accept, didnt accept, wont accept, "
        "wouldnt accept, not approved, not authorized, not authorised, rejection, rejections, couldnt pay, could not "
        "pay, cant pay, cannot pay, unable to pay, not able to pay, not let me pay, didnt let me pay, wont let me "
        "pay, tu choi, khong chap nhan, khong thanh toan duoc"
    ),
    "fail": (
        "fail, fails, failed, failing, failure, unsuccessful, not go through, not going through, didnt go through, "
        "doesnt go through, wont go through, hasnt gone through, not gone through, not work, not working, didnt work, "
        "doesnt work, wont work, isnt working, hasnt worked, not worked, not successful, didnt clear, stopped, error, "
        "that bai, khong thanh cong, bi loi, khong duoc"
    ),
    "why": "why, reason, reasons, cause, explain, how come, tai sao, vi sao, ly do, sao lai, la sao",
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
    "payout": (
        "payout, payouts, pay out, paid out, settlement, settlements, i be paid, we be paid, i get paid, we get paid, "
        "getting paid, earnings, proceeds, disbursement, disbursements, quyet toan, chi tra, tien ban hang, tien ve "
        "tai khoan, rut tien, doi soat"
    ),
    "card": "card, cards, the cua, the visa, the tin dung, the ngan hang",
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
    ("charged_twice", "twice", 1),
    ("charged_twice", "twice charge", 6),
    ("charged_twice", "twice payment", 4),
    ("charged_twice", "doubled payment", 5),
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
    ("decline_reason", "decline often", 3),
    ("decline_reason", "fail often", 3),
    ("decline_reason", "fail payment", 4),
    ("decline_reason", "fail card", 4),
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
    ("payment_status", "payment fail unsettled", 9),
    ("payment_status", "reverse", 2),
    ("payment_status", "charge", 2),
    ("payment_status", "payment_id", 3),
    ("payment_status", "order_id", 3),
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


def intent_of(spoken: Sequence[str], given: Collection[str] = ()) -> Intent:
    """The intent of a question's words, and of the signals that something else than a word gives."""
    signals = _signals(spoken) | set(given)
    scores: dict[Intent, int] = {}
    for intent, needs, weight in _WEIGHTS:
        if needs <= signals:
            scores[intent] = scores.get(intent, 0) + weight
    best = max(scores, key=lambda intent: (scores[intent], _PRIORITY[intent]), default=None)
    return "unknown" if best is None or scores[best] < SCORE_MIN else best


def _signals(spoken: Sequence[str]) -> set[str]:
    found = set()
    for at, word in enumerate(spoken):
        for rest, signal in _FOLLOWERS.get(word, ()):
            if not rest or list(spoken[at + 1 : at + 1 + len(rest)]) == rest:
                found.add(signal)
    return found
