"""The words of corrections in each language: how things stood at the time of the answer."""

from collections.abc import Mapping

import msgspec

from gateway.answering import reasons, vietnamese_reasons
from gateway.answering.language import Language


class CorrectingWords(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences and pieces with places for what they are about; by status how an object stood, after its name."""

    told: str
    known: str
    now: str
    reinstated: str
    as_of: str
    nothing_happened: str
    had_none: str
    was_none: str
    of_amount: str
    part_of: str
    part_subject: str
    reported: str
    weekdays: tuple[str, ...]
    kinds: Mapping[str, str]
    payment: Mapping[str, str]
    part: Mapping[str, str]
    reasons: Mapping[str, Mapping[str, str]]

    def why(self, status: str, code: str) -> str:
        """` (expired card)`, empty where nothing is known."""
        return reasons.in_words(code, self.reasons.get(status, {})) if code else ""


_ENGLISH = CorrectingWords(
    told="We told you on {on}, that{as_of} {what}.",
    known="It is now known that by then {what}.",
    now="As it stands now: {what}",
    reinstated="We wrote to you that what we told you on {on} was wrong. It is now known that it was right.",
    as_of=" as of {on}",
    nothing_happened="nothing of payment {payment} had happened",
    had_none="payment {payment} had no {kind} {id}",
    was_none="there was no {kind} {id}",
    of_amount=" of {amount}",
    part_of="{amount} of ",
    part_subject="the {kind} {id} of {amount} for payment {payment}",
    reported="was reported as {status}",
    weekdays=tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
    kinds={"payment": "payment", "refund": "refund", "dispute": "dispute", "payout": "payout"},
    payment={
        "pending": "was pending and not paid",
        "requires_action": "was waiting for an action of the customer",
        "processing": "was being processed",
        "authorized": "was authorized and not taken",
        "captured": "had been captured",
        "failed": "had failed",
        "canceled": "had been canceled",
    },
    part={
        "pending": "was requested and not finished",
        "requires_action": "was waiting for an action of the customer",
        "succeeded": "had succeeded",
        "failed": "had failed",
        "canceled": "had been canceled",
        "inquiry": "was an inquiry",
        "open": "was open",
        "under_review": "was under review",
        "won": "had been won by the merchant",
        "lost": "had been lost by the merchant",
        "in_transit": "was in transit to the bank",
        "paid": "had been paid",
    },
    reasons={"failed": reasons.FAILURES, "canceled": reasons.CANCELLATIONS, "dispute": reasons.CLAIMS},
)
_VIETNAMESE = CorrectingWords(
    told="Vào {on}, chúng tôi đã cho bạn biết rằng{as_of} {what}.",
    known="Nay được biết rằng khi đó {what}.",
    now="Hiện nay: {what}",
    reinstated="Chúng tôi đã viết rằng điều chúng tôi nói với bạn vào {on} là sai. Nay được biết rằng điều đó đúng.",
    as_of=" tính đến {on},",
    nothing_happened="chưa có gì xảy ra với thanh toán {payment}",
    had_none="thanh toán {payment} không có {kind} {id}",
    was_none="không có {kind} {id}",
    of_amount=" trị giá {amount}",
    part_of="{amount} của ",
    part_subject="{kind} {id} trị giá {amount} của thanh toán {payment}",
    reported="được báo là {status}",
    weekdays=tuple("Thứ Hai,Thứ Ba,Thứ Tư,Thứ Năm,Thứ Sáu,Thứ Bảy,Chủ Nhật".split(",")),
    kinds={"payment": "thanh toán", "refund": "khoản hoàn tiền", "dispute": "tranh chấp", "payout": "khoản chi trả"},
    payment={
        "pending": "đang chờ và chưa được thanh toán",
        "requires_action": "đang chờ khách hàng thực hiện một bước",
        "processing": "đang được xử lý",
        "authorized": "đã được cấp phép và chưa bị thu",
        "captured": "đã được thu",
        "failed": "đã thất bại",
        "canceled": "đã bị hủy",
    },
    part={
        "pending": "đã được yêu cầu và chưa hoàn tất",
        "requires_action": "đang chờ khách hàng thực hiện một bước",
        "succeeded": "đã thành công",
        "failed": "đã thất bại",
        "canceled": "đã bị hủy",
        "inquiry": "đang được tra soát",
        "open": "đang mở",
        "under_review": "đang được xem xét",
        "won": "đã kết thúc với phần thắng thuộc về người bán",
        "lost": "đã kết thúc với phần thắng thuộc về khách hàng",
        "in_transit": "đang được chuyển đến ngân hàng",
        "paid": "đã được chi trả",
    },
    reasons={
        "failed": vietnamese_reasons.FAILURES,
        "canceled": vietnamese_reasons.CANCELLATIONS,
        "dispute": vietnamese_reasons.CLAIMS,
    },
)
WORDS: Mapping[Language, CorrectingWords] = {"en": _ENGLISH, "vi": _VIETNAMESE}
