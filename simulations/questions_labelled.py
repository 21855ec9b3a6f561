"""Questions with what they want: published ones, and generated Vietnamese ones whose held-out half shares no template.

The published ones are banking77 (Casanueva et al. 2020, CC-BY-4.0): customers of a bank. Only those of its categories
that a merchant's customers ask too are labelled, and those that could be called either way are left out.
"""

import csv
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Literal

import msgspec

from gateway.answering.intents import Intent

SEED = "recount-1"
Half = Literal["development", "validation"]


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """A question and the intents that are right for it: none of the measured ones, if it is about other things."""

    text: str
    intents: frozenset[Intent]
    half: Half


_RIGHT: Mapping[str, frozenset[Intent]] = {
    "Refund_not_showing_up": frozenset({"refund_status"}),
    "request_refund": frozenset({"refund_status", "policy"}),
    "transaction_charged_twice": frozenset({"charged_twice"}),
    "declined_card_payment": frozenset({"decline_reason"}),
    "pending_card_payment": frozenset({"payment_status"}),
}
# By their words alone these could be called declines, charges or payments as well.
_EITHER = frozenset(
    "reverted_card_payment? declined_transfer declined_cash_withdrawal card_not_working virtual_card_not_working "
    "contactless_not_working failed_transfer top_up_failed top_up_reverted beneficiary_not_allowed compromised_card "
    "card_payment_not_recognised direct_debit_payment_not_recognised extra_charge_on_statement apple_pay_or_google_pay "
    "card_payment_wrong_exchange_rate cancel_transfer pending_transfer transfer_not_received_by_recipient "
    "card_payment_fee_charged".split()
)
# What an answer is a matter of life about; "payment" and "policy" are what questions about other things are taken for.
MEASURED: tuple[Intent, ...] = (
    "refund_status",
    "charged_twice",
    "decline_reason",
    "payment_status",
    "dispute_status",
    "payout_status",
)


def half_of(text: str) -> Half:
    """By the seed, whatever the order of the file."""
    return "validation" if hashlib.sha256(f"{SEED}:{text}".encode()).digest()[0] % 2 else "development"


def published(train: Path) -> list[Labelled]:
    """The questions of banking77's `train.csv` that have a label here, and those about other things."""
    with train.open(encoding="utf-8", newline="") as rows:
        return [
            Labelled(text=row["text"], intents=_RIGHT.get(row["category"], frozenset()), half=half_of(row["text"]))
            for row in csv.DictReader(rows)
            if row["category"] not in _EITHER
        ]


# Templates of the two halves share none; what they are filled with is the same, because that is not what is learnt.
_VIETNAMESE: Mapping[Half, Mapping[Intent, str]] = {
    "development": {
        "refund_status": (
            "{who} chưa nhận được tiền hoàn {of}|Tiền hoàn {of} của {who} đâu rồi|Khi nào {who} được hoàn tiền {of}|"
            "Shop hoàn tiền {of} cho {who} chưa"
        ),
        "charged_twice": (
            "{who} bị trừ tiền hai lần {of}|Sao {who} bị thu tiền 2 lần {of}|{of} bị tính tiền trùng rồi|"
            "Giao dịch của {who} bị trùng, bị trừ tiền hai lần"
        ),
        "decline_reason": (
            "Tại sao thẻ của {who} bị từ chối {of}|Vì sao thanh toán {of} thất bại|"
            "Thanh toán {of} của {who} bị lỗi là sao|Lý do thanh toán {of} không thành công"
        ),
        "payment_status": (
            "Thanh toán {of} của {who} xong chưa|{who} thanh toán {of} thành công chưa|Giao dịch {of} tới đâu rồi|"
            "Kiểm tra giúp {who} thanh toán {of}"
        ),
        "dispute_status": (
            "Tranh chấp {of} của {who} thế nào rồi|Khiếu nại {of} xử lý tới đâu rồi|Tình trạng tranh chấp {of}"
        ),
        "payout_status": "Khi nào {who} nhận được tiền bán hàng|Quyết toán của {who} bao giờ về|Tiền đối soát đâu rồi",
        "policy": (
            "Chính sách hoàn tiền là gì|Làm sao để được hoàn tiền|Hoàn tiền thường mất bao lâu|Điều kiện đổi trả hàng"
        ),
    },
    "validation": {
        "refund_status": (
            "Cho {who} hỏi khoản hoàn trả {of} đến đâu rồi ạ|Bao giờ thì tiền hoàn {of} về tài khoản của {who}|"
            "{who} đợi mãi chưa thấy tiền hoàn lại {of}|Đã hoàn tiền {of} cho {who} chưa vậy"
        ),
        "charged_twice": (
            "Hệ thống trừ tiền của {who} tận 2 lần {of}|Ngân hàng báo trừ tiền hai lần {of}|"
            "{who} chỉ mua một món mà bị thu tiền hai lần|{of} bị trừ trùng lặp, kiểm tra giúp {who}"
        ),
        "decline_reason": (
            "Thẻ của {who} bị từ chối {of}, vì sao vậy|Cho {who} biết lý do thanh toán {of} bị từ chối|"
            "Sao {who} trả tiền {of} mà cứ báo thất bại, tại sao|Thanh toán {of} không thành công vì lý do gì"
        ),
        "payment_status": (
            "Shop nhận được thanh toán {of} của {who} chưa|Giao dịch {of} của {who} đã hoàn tất chưa ạ|"
            "{who} chuyển khoản {of} rồi, shop thấy chưa|Cho {who} hỏi trạng thái thanh toán {of}"
        ),
        "dispute_status": "Khiếu nại của {who} {of} có kết quả chưa|Cho hỏi tình hình tranh chấp {of} của {who}",
        "payout_status": (
            "Bao giờ shop được chi trả tiền hàng|Tiền bán hàng của {who} khi nào về|Đợt quyết toán này về chưa"
        ),
        "policy": "Quy định hoàn tiền của shop thế nào|Thủ tục hoàn tiền ra sao|Shop có chính sách trả hàng không",
    },
}
_WHO = ("tôi", "mình", "em")
_OF = ("", "hôm qua", "500k", "đơn hàng DH-1024", "tuần trước")
_SPACES_RE = re.compile(r"\s+")
_BARE = str.maketrans({"đ": "d", "Đ": "D"})


def vietnamese() -> Iterator[Labelled]:
    """The generated questions, each with its marks and without."""
    for half, by_intent in _VIETNAMESE.items():
        for intent, templates in by_intent.items():
            for template, who, of in product(templates.split("|"), _WHO, _OF):
                text = _SPACES_RE.sub(" ", f"{template.format(who=who, of=of)}?".replace(" ?", "?")).strip()
                for written in (text, bare(text)):
                    yield Labelled(text=written, intents=frozenset({intent}), half=half)


def bare(text: str) -> str:
    """As it is typed without marks."""
    decomposed = unicodedata.normalize("NFD", text.translate(_BARE))
    return "".join(each for each in decomposed if not unicodedata.combining(each))
