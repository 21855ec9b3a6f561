"""Answers in English: plain sentences, days as `14 May 2020`, amounts as `49.00 EUR`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Literal

from domain.money import format_amount
from domain.payment import PartView, PaymentView
from gateway.answering.language import Language
from gateway.answering.reasons import CANCELLATIONS, CLAIMS, FAILURES, in_words
from gateway.answering.references import Named
from gateway.answering.speech import Kind, sentence

# Not the locale's: an answer is the same on every machine.
_MONTHS = "January February March April May June July August September October November December".split()
_NAMES: Mapping[Named, str] = {"order": "an order"}


class English:
    """What an answer says in English; days are those of `zone`."""

    language: Language = "en"

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone

    def amount(self, amount_minor: int, currency: str) -> str:
        return format_amount(amount_minor, currency)

    def day(self, at: datetime) -> str:
        """`14 May 2020`."""
        there = at.astimezone(self.zone)
        return f"{there.day} {_MONTHS[there.month - 1]} {there.year}"

    def listing(self, items: Sequence[str]) -> str:
        """`a, b and c`."""
        return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)

    def status(self, view: PaymentView, at: datetime | None) -> str:
        """How the payment itself stands."""
        of_amount = f" of {self._of(view, view.amount_minor)}" if view.amount_minor else ""
        subject = f"payment {view.payment_id}{of_amount}"
        on, since = (f" on {self.day(at)}", f" since {self.day(at)}") if at else ("", "")
        match view.status:
            case "pending":
                text = f"{subject} is pending{since}: it has not been paid"
            case "requires_action":
                text = f"{subject} is waiting{since} for an action that it requires of the customer; no money was taken"
            case "processing":
                text = f"{subject} is processing{since}: its outcome is not known yet"
            case "authorized":
                text = f"{subject} is authorized{since}: the money is reserved and has not been taken"
            case "captured":
                is_part = 0 < view.captured_minor < view.amount_minor
                part = f"{self._of(view, view.captured_minor)} of " if is_part else ""
                text = f"{part}{subject} was captured{on}"
            case "failed":
                text = f"{subject} failed{on}{in_words(view.reason, FAILURES)}; no money was taken"
            case "canceled":
                text = f"{subject} was canceled{on}{in_words(view.reason, CANCELLATIONS)}"
        return sentence(text)

    def refund(self, view: PaymentView, refund: PartView, at: datetime) -> str:
        """How a refund stands."""
        on = self.day(at)
        returned = self._of(view, refund.amount_minor)
        subject = f"the refund {refund.id} of {returned} for payment {view.payment_id}"
        match refund.status:
            case "pending":
                text = f"{subject} has been requested and is not finished"
            case "requires_action":
                text = f"{subject} is waiting since {on} for an action that it requires of the customer"
            case "succeeded":
                text = f"{returned} of payment {view.payment_id} was refunded on {on} (refund {refund.id})"
            case "failed":
                text = f"{subject} failed on {on}{in_words(refund.reason, FAILURES)}; {_not_returned(view)}"
            case "canceled":
                text = f"{subject} was canceled on {on}{in_words(refund.reason, FAILURES)}; {_not_returned(view)}"
            case status:
                text = f"{subject} is reported as {status} since {on}"
        return sentence(text)

    def dispute(self, view: PaymentView, dispute: PartView, at: datetime) -> str:
        """How a dispute stands."""
        on, claim = self.day(at), in_words(dispute.reason, CLAIMS)
        about = self._of(view, dispute.amount_minor)
        subject = f"the dispute {dispute.id} about {about} of payment {view.payment_id}{claim}"
        match dispute.status:
            case "inquiry":
                text = f"{subject} is an inquiry since {on}"
            case "open":
                text = f"{subject} is open since {on}"
            case "under_review":
                text = f"{subject} is under review since {on}"
            case "won":
                text = f"{subject} was won on {on}: the decision is in the merchant's favour"
            case "lost":
                text = f"{subject} was lost on {on}: the decision is in the customer's favour"
            case status:
                text = f"{subject} is reported as {status} since {on}"
        return sentence(text)

    def payout(self, view: PaymentView, payout: PartView, at: datetime) -> str:
        """How a payout stands."""
        on = self.day(at)
        subject = f"the payout {payout.id} of {self._of(view, payout.amount_minor)}"
        match payout.status:
            case "pending":
                text = f"{subject} is pending since {on}"
            case "in_transit":
                text = f"{subject} is in transit to the bank since {on}"
            case "paid":
                text = f"{subject} was paid on {on}"
            case "failed":
                text = f"{subject} failed on {on}{in_words(payout.reason, FAILURES)}"
            case "canceled":
                text = f"{subject} was canceled on {on}"
            case status:
                text = f"{subject} is reported as {status} since {on}"
        return sentence(text)

    def no_refund(self, view: PaymentView) -> str:
        """That there is none; while something is missing, that none is known."""
        if view.certainty == "incomplete":
            return f"I have not heard of a refund for payment {view.payment_id} so far."
        return f"There is no refund for payment {view.payment_id}."

    def no_dispute(self, view: PaymentView) -> str:
        """That there is none; while something is missing, that none is known."""
        heard = "I have not heard of a dispute" if view.certainty == "incomplete" else "There is no dispute"
        return f"{heard} about payment {view.payment_id}."

    def checking(self, payment_id: str) -> str:
        return (
            f"The provider's reports about payment {payment_id} contradict each other. "
            "Until that is cleared up with the provider, nothing about this payment is settled."
        )

    def missing(self, payment_id: str) -> str:
        return f"Something that payment {payment_id} refers to has not arrived yet; it may change this answer."

    def seen(self, kind: Kind, ids: Sequence[str], *, count: int, amount: str) -> str:
        """`I see 7 payments; the latest 2 are pi_7 and pi_6`."""
        of_amount = f" of {amount}" if amount else ""
        latest = f"; the latest {len(ids)} are" if count > len(ids) else ":"
        return f"I see {count} {kind}{of_amount}{latest} {self.listing(ids)}."

    def which_one(self) -> str:
        return "Which one do you mean?"

    def charged_repeatedly(self, amount: str, times: Sequence[tuple[str, datetime]]) -> str:
        when = self.listing([f"{payment_id} on {self.day(at)}" for payment_id, at in times])
        return f"I see {len(times)} payments of {amount}, each captured within 10 minutes of another: {when}."

    def not_repeated(self, captured: int, *, is_of_amount: bool, is_so_far: bool) -> str:
        """That nothing was captured twice, of all that is settled so far."""
        of_amount = " of the amount asked about" if is_of_amount else ""
        if captured == 1:
            text = f"only one payment{of_amount} was captured"
        elif captured:
            text = f"I see {captured} captured payments, but no two of the same amount within 10 minutes"
        else:
            text = f"no payment{of_amount} was captured"
        return sentence(f"so far {text}" if is_so_far else text)

    def unknown(self, ids: Sequence[tuple[Named, str]]) -> str:
        named = [f"{_NAMES.get(of, f'a {of}')} {each}" for of, each in ids]
        return f"I do not know of {self.listing(named)}."

    def unknown_number(self) -> str:
        return "I do not know of anything under the number that you gave."

    def nothing(self, kind: Literal["payment", "payout"]) -> str:
        return f"I do not know of a {kind} that this question could be about."

    def say_which(self) -> str:
        return "Please tell me the number of the payment or of the order."

    def no_document(self) -> str:
        return "I do not know the answer to this question: no document that I may quote speaks to it."

    def quoted(self, title: str, quote: str) -> str:
        source = f'From "{title}"' if title else "From our documents"
        return f'{source}: "{quote}"'

    def _of(self, view: PaymentView, amount_minor: int) -> str:
        return self.amount(amount_minor, view.currency)


def _not_returned(view: PaymentView) -> str:
    """What a refund that came to nothing means, without a word about the other refunds."""
    if view.refunded_minor:
        return "the money of this refund has not been returned to the customer"
    return "the money has not been returned to the customer"


ENGLISH = English()
