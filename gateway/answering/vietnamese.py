"""Answers in Vietnamese: days as `ngày 14 tháng 5 năm 2020`, amounts as `49,00 EUR` and `50.000 ₫`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Literal

from domain.money import format_amount
from domain.payment import PartView, PaymentView
from gateway.answering.language import Language
from gateway.answering.reasons import in_words
from gateway.answering.references import Named
from gateway.answering.speech import Kind, sentence
from gateway.answering.vietnamese_reasons import CANCELLATIONS, CLAIMS, FAILURES

_KINDS: Mapping[Kind, str] = {
    "payments": "thanh toán",
    "payments with refunds": "thanh toán có hoàn tiền",
    "payments with disputes": "thanh toán có tranh chấp",
    "payments that failed": "thanh toán thất bại",
    "payouts": "khoản chi trả",
}
_NAMES: Mapping[Named, str] = {
    "payment": "thanh toán",
    "refund": "khoản hoàn tiền",
    "dispute": "tranh chấp",
    "payout": "khoản chi trả",
    "order": "đơn hàng",
}


class Vietnamese:
    """What an answer says in Vietnamese; days are those of `zone`."""

    language: Language = "vi"

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone

    def amount(self, amount_minor: int, currency: str) -> str:
        return format_amount(amount_minor, currency, "vi")

    def day(self, at: datetime) -> str:
        """`ngày 14 tháng 5 năm 2020`."""
        there = at.astimezone(self.zone)
        return f"ngày {there.day} tháng {there.month} năm {there.year}"

    def listing(self, items: Sequence[str]) -> str:
        """`a, b và c`."""
        return " và ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)

    def status(self, view: PaymentView, at: datetime | None) -> str:
        """How the payment itself stands."""
        of_amount = f" trị giá {self._of(view, view.amount_minor)}" if view.amount_minor else ""
        subject = f"thanh toán {view.payment_id}{of_amount}"
        on, since = (f" vào {self.day(at)}", f" từ {self.day(at)}") if at else ("", "")
        match view.status:
            case "pending":
                text = f"{subject} đang chờ{since}: chưa được thanh toán"
            case "requires_action":
                text = f"{subject} đang chờ khách hàng thực hiện một bước{since}; chưa thu tiền"
            case "processing":
                text = f"{subject} đang được xử lý{since}: chưa biết kết quả"
            case "authorized":
                text = f"{subject} đã được cấp phép{since}: tiền được giữ lại và chưa bị thu"
            case "captured":
                is_part = 0 < view.captured_minor < view.amount_minor
                part = f"{self._of(view, view.captured_minor)} của " if is_part else ""
                text = f"{part}{subject} đã được thu{on}"
            case "failed":
                text = f"{subject} thất bại{on}{in_words(view.reason, FAILURES)}; không có khoản tiền nào bị thu"
            case "canceled":
                text = f"{subject} đã bị hủy{on}{in_words(view.reason, CANCELLATIONS)}"
        return sentence(text)

    def refund(self, view: PaymentView, refund: PartView, at: datetime) -> str:
        """How a refund stands."""
        on = self.day(at)
        returned = self._of(view, refund.amount_minor)
        subject = f"khoản hoàn tiền {refund.id} trị giá {returned} của thanh toán {view.payment_id}"
        match refund.status:
            case "pending":
                text = f"{subject} đã được yêu cầu và chưa hoàn tất"
            case "requires_action":
                text = f"{subject} đang chờ khách hàng thực hiện một bước từ {on}"
            case "succeeded":
                of_payment = f"{returned} của thanh toán {view.payment_id}"
                text = f"{of_payment} đã được hoàn vào {on} (khoản hoàn tiền {refund.id})"
            case "failed":
                text = f"{subject} thất bại vào {on}{in_words(refund.reason, FAILURES)}; {_not_returned(view)}"
            case "canceled":
                text = f"{subject} đã bị hủy vào {on}{in_words(refund.reason, FAILURES)}; {_not_returned(view)}"
            case status:
                text = f"{subject} được báo là {status} từ {on}"
        return sentence(text)

    def dispute(self, view: PaymentView, dispute: PartView, at: datetime) -> str:
        """How a dispute stands."""
        on, claim = self.day(at), in_words(dispute.reason, CLAIMS)
        about = self._of(view, dispute.amount_minor)
        subject = f"tranh chấp {dispute.id} về {about} của thanh toán {view.payment_id}{claim}"
        match dispute.status:
            case "inquiry":
                text = f"{subject} đang được tra soát từ {on}"
            case "open":
                text = f"{subject} đang mở từ {on}"
            case "under_review":
                text = f"{subject} đang được xem xét từ {on}"
            case "won":
                text = f"{subject} đã kết thúc vào {on}: phần thắng thuộc về người bán"
            case "lost":
                text = f"{subject} đã kết thúc vào {on}: phần thắng thuộc về khách hàng"
            case status:
                text = f"{subject} được báo là {status} từ {on}"
        return sentence(text)

    def payout(self, view: PaymentView, payout: PartView, at: datetime) -> str:
        """How a payout stands."""
        on = self.day(at)
        subject = f"khoản chi trả {payout.id} trị giá {self._of(view, payout.amount_minor)}"
        match payout.status:
            case "pending":
                text = f"{subject} đang chờ từ {on}"
            case "in_transit":
                text = f"{subject} đang được chuyển đến ngân hàng từ {on}"
            case "paid":
                text = f"{subject} đã được chi trả vào {on}"
            case "failed":
                text = f"{subject} thất bại vào {on}{in_words(payout.reason, FAILURES)}"
            case "canceled":
                text = f"{subject} đã bị hủy vào {on}"
            case status:
                text = f"{subject} được báo là {status} từ {on}"
        return sentence(text)

    def no_refund(self, view: PaymentView) -> str:
        """That there is none; while something is missing, that none is known."""
        if view.certainty == "incomplete":
            return f"Cho đến nay tôi chưa biết khoản hoàn tiền nào cho thanh toán {view.payment_id}."
        return f"Không có khoản hoàn tiền nào cho thanh toán {view.payment_id}."

    def no_dispute(self, view: PaymentView) -> str:
        """That there is none; while something is missing, that none is known."""
        if view.certainty == "incomplete":
            return f"Cho đến nay tôi chưa biết tranh chấp nào về thanh toán {view.payment_id}."
        return f"Không có tranh chấp nào về thanh toán {view.payment_id}."

    def checking(self, payment_id: str) -> str:
        return (
            f"Các thông báo của nhà cung cấp về thanh toán {payment_id} mâu thuẫn với nhau. "
            "Cho đến khi làm rõ với nhà cung cấp, chưa có gì chắc chắn về thanh toán này."
        )

    def missing(self, payment_id: str) -> str:
        return f"Một phần mà thanh toán {payment_id} nhắc đến chưa được báo; câu trả lời này có thể thay đổi."

    def seen(self, kind: Kind, ids: Sequence[str], *, count: int, amount: str) -> str:
        """`Tôi thấy 7 thanh toán; 2 khoản mới nhất là pi_7 và pi_6`."""
        of_amount = f" trị giá {amount}" if amount else ""
        latest = f"; {len(ids)} khoản mới nhất là" if count > len(ids) else ":"
        return f"Tôi thấy {count} {_KINDS[kind]}{of_amount}{latest} {self.listing(ids)}."

    def which_one(self) -> str:
        return "Bạn muốn hỏi về khoản nào?"

    def charged_repeatedly(self, amount: str, times: Sequence[tuple[str, datetime]]) -> str:
        when = self.listing([f"{payment_id} vào {self.day(at)}" for payment_id, at in times])
        return f"Tôi thấy {len(times)} thanh toán trị giá {amount}, được thu cách nhau không quá 10 phút: {when}."

    def not_repeated(self, captured: int, *, is_of_amount: bool, is_so_far: bool) -> str:
        """That nothing was captured twice, of all that is settled so far."""
        of_amount = " với số tiền được hỏi" if is_of_amount else ""
        if captured == 1:
            text = f"chỉ có một thanh toán{of_amount} đã được thu"
        elif captured:
            none = "không có hai khoản cùng số tiền trong vòng 10 phút"
            text = f"tôi thấy {captured} thanh toán đã được thu, nhưng {none}"
        else:
            text = f"không có thanh toán nào{of_amount} đã được thu"
        return sentence(f"cho đến nay {text}" if is_so_far else text)

    def unknown(self, ids: Sequence[tuple[Named, str]]) -> str:
        return f"Tôi không biết {self.listing([f'{_NAMES[of]} {each}' for of, each in ids])}."

    def unknown_number(self) -> str:
        return "Tôi không biết gì về số mà bạn đã gửi."

    def nothing(self, kind: Literal["payment", "payout"]) -> str:
        return f"Tôi không biết {_NAMES[kind]} nào mà câu hỏi này có thể nói đến."

    def say_which(self) -> str:
        return "Bạn vui lòng cho biết mã thanh toán hoặc mã đơn hàng."

    def no_document(self) -> str:
        return "Tôi không biết câu trả lời: không có tài liệu nào mà tôi được trích dẫn nói về điều này."

    def quoted(self, title: str, quote: str) -> str:
        source = f'Trích từ "{title}"' if title else "Trích từ tài liệu của chúng tôi"
        return f'{source}: "{quote}"'

    def _of(self, view: PaymentView, amount_minor: int) -> str:
        return self.amount(amount_minor, view.currency)


def _not_returned(view: PaymentView) -> str:
    """What a refund that came to nothing means, without a word about the other refunds."""
    if view.refunded_minor:
        return "tiền của khoản này chưa được trả lại cho khách hàng"
    return "tiền chưa được trả lại cho khách hàng"
