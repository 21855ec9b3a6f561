"""The lives that payments and payouts lead, and how often. Weights are of 100 payments, or of 10 payouts."""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

from simulations.stripe_customers import MethodType
from simulations.stripe_objects import Decline
from simulations.stripe_payment import PaymentLife, PayoutLife

LifeT = TypeVar("LifeT", PaymentLife, PayoutLife)


class Story(msgspec.Struct, Generic[LifeT], frozen=True, kw_only=True):
    """A kind of life: `tell` takes one from its first event to its last."""

    name: str
    weight: int
    tell: Callable[[LifeT], None]
    method: MethodType = "card"
    is_held: bool = False


def dealt(rng: random.Random, stories: Sequence[Story[LifeT]], count: int) -> Iterator[Story[LifeT]]:
    """`count` stories, shuffled within each full deck, so that every kind comes exactly as often as its weight says."""
    deck: list[Story[LifeT]] = []
    for _ in range(count):
        if not deck:
            deck = [story for story in stories for _ in range(story.weight)]
            rng.shuffle(deck)
        yield deck.pop()


_DECLINES = [
    Decline(code="card_declined", message="Your card was declined.", decline_code="generic_decline"),
    Decline(code="card_declined", message="Your card has insufficient funds.", decline_code="insufficient_funds"),
    Decline(code="expired_card", message="Your card has expired.", decline_code="expired_card"),
    Decline(code="incorrect_cvc", message="Your card's security code is incorrect.", decline_code="incorrect_cvc"),
]
_BOUNCED = Decline(code="insufficient_funds", message="The customer's account has insufficient funds.")
_FAILURES = ["expired_or_canceled_card", "lost_or_stolen_card", "declined", "unknown"]
_REASONS = ["product_not_received", "fraudulent", "product_unacceptable", "duplicate"]


def _seconds(life: PaymentLife, least: int, most: int) -> None:
    life.wait(timedelta(seconds=least), timedelta(seconds=most))


def _days(life: PaymentLife | PayoutLife, least: int, most: int) -> None:
    life.wait(timedelta(days=least), timedelta(days=most))


def _checkout(life: PaymentLife) -> None:
    """The intent is confirmed in the call that makes it, or when the customer has typed in their card."""
    if life.rng.random() < 0.3:
        _seconds(life, 8, 180)
        life.called()


def _paid(life: PaymentLife) -> None:
    _checkout(life)
    life.succeed()


def _challenged(life: PaymentLife) -> None:
    _checkout(life)
    if life.rng.random() < 0.3:
        life.demand_authentication()
    else:
        life.require_action()
    _seconds(life, 5, 120)


def _paid_after_challenge(life: PaymentLife) -> None:
    _challenged(life)
    if life.rng.random() < 0.2:
        life.fail_authentication()
        _seconds(life, 10, 90)
        life.called()
    life.succeed()


def _paid_after_decline(life: PaymentLife) -> None:
    """Often the merchant's system falls back to the customer's other card within the second."""
    _checkout(life)
    life.decline(life.rng.choice(_DECLINES))
    if life.rng.random() < 0.5:
        _seconds(life, 3, 300)
    life.called()
    life.succeed()


def _declined(life: PaymentLife) -> None:
    _checkout(life)
    life.decline(life.rng.choice(_DECLINES))
    for _ in range(life.rng.randrange(3)):
        _seconds(life, 5, 600)
        life.called()
        life.decline(life.rng.choice(_DECLINES))


def _canceled(life: PaymentLife) -> None:
    if life.rng.random() < 0.4:
        life.decline(life.rng.choice(_DECLINES))
    _seconds(life, 60, 7_200)
    life.called()
    life.cancel(life.rng.choice(["abandoned", "requested_by_customer"]))


def _authorized(life: PaymentLife) -> None:
    _checkout(life)
    life.authorize()


def _captured_later(life: PaymentLife) -> None:
    _authorized(life)
    _seconds(life, 1, 300_000)
    life.called()
    life.capture(life.intent.amount)


def _captured_in_part(life: PaymentLife) -> None:
    _authorized(life)
    _seconds(life, 600, 300_000)
    life.called()
    life.capture(_part(life))


def _voided(life: PaymentLife) -> None:
    _authorized(life)
    _seconds(life, 5, 200_000)
    life.called()
    life.release("charge.refunded", "requested_by_customer")


def _authorization_expired(life: PaymentLife) -> None:
    _authorized(life)
    _days(life, 7, 7)
    life.by_itself()
    life.release("charge.expired", "automatic")


def _debit_started(life: PaymentLife) -> None:
    _checkout(life)
    life.start_debit()


def _debit_paid(life: PaymentLife) -> None:
    _debit_started(life)
    life.by_itself()
    _days(life, 3, 6)
    life.settle_debit()


def _debit_bounced(life: PaymentLife) -> None:
    _debit_started(life)
    life.by_itself()
    _days(life, 3, 6)
    life.bounce_debit(_BOUNCED)


def _asked_for_refund(life: PaymentLife, amount: int, status: str = "succeeded") -> str:
    """The merchant refunds between a minute and five days later."""
    _seconds(life, 60, 432_000)
    life.called()
    return life.refund(amount, status)


def _part(life: PaymentLife) -> int:
    return life.intent.amount * life.rng.randrange(15, 60) // 100


def _refunded(life: PaymentLife) -> None:
    """Refunds of cards mostly succeed at once; some wait for the merchant's balance, if only for moments."""
    _paid(life)
    _settle(life, life.intent.amount)


def _refunded_in_part(life: PaymentLife) -> None:
    _paid(life)
    _settle(life, _part(life))


def _settle(life: PaymentLife, amount: int) -> None:
    roll = life.rng.random()
    refund_id = _asked_for_refund(life, amount, "pending" if roll < 0.5 else "succeeded")
    life.by_itself()
    if roll < 0.5:
        if roll < 0.3:
            _seconds(life, 2, 172_800)
        life.settle_refund(refund_id)
    if life.rng.random() < 0.5:
        _seconds(life, 30, 86_400)
        life.reference_refund(refund_id)


def _refunded_in_parts(life: PaymentLife) -> None:
    """Two or three refunds, some of them within one second."""
    _paid(life)
    share = life.intent.amount // 4
    _asked_for_refund(life, share)
    for _ in range(life.rng.choice([1, 2])):
        if life.rng.random() < 0.6:
            _seconds(life, 2, 172_800)
        life.called()
        life.refund(share)


def _refund_pending(life: PaymentLife) -> None:
    _paid(life)
    _asked_for_refund(life, life.intent.amount, "pending")


def _refund_failed(life: PaymentLife) -> None:
    _paid(life)
    amount = life.intent.amount if life.rng.random() < 0.6 else _part(life)
    refund_id = _asked_for_refund(life, amount)
    life.by_itself()
    _days(life, 2, 20)
    life.fail_refund(refund_id, life.rng.choice(_FAILURES))


def _refund_failed_and_repeated(life: PaymentLife) -> None:
    _refund_failed(life)
    _asked_for_refund(life, _part(life))


def _refund_canceled(life: PaymentLife) -> None:
    _paid(life)
    refund_id = _asked_for_refund(life, life.intent.amount, "pending")
    _seconds(life, 30, 1_800)
    life.called()
    life.cancel_refund(refund_id)


def _complaint(life: PaymentLife, status: str) -> str:
    _paid(life)
    life.by_itself()
    _days(life, 5, 40)
    return life.dispute(status, life.rng.choice(_REASONS))


def _dispute_open(life: PaymentLife) -> None:
    _complaint(life, "needs_response")


def _dispute_answered(life: PaymentLife, outcome: str) -> None:
    dispute_id = _complaint(life, "needs_response")
    _days(life, 1, 7)
    life.called()
    life.answer_dispute(dispute_id, "under_review")
    life.by_itself()
    _days(life, 20, 60)
    life.close_dispute(dispute_id, outcome)


def _dispute_won(life: PaymentLife) -> None:
    _dispute_answered(life, "won")


def _dispute_lost(life: PaymentLife) -> None:
    """Unanswered, half of the time."""
    if life.rng.random() < 0.5:
        _dispute_answered(life, "lost")
        return
    dispute_id = _complaint(life, "needs_response")
    _days(life, 8, 10)
    life.close_dispute(dispute_id, "lost")


def _inquiry(life: PaymentLife) -> None:
    """A question by the bank: answered and closed, or turned into a chargeback that is lost."""
    dispute_id = _complaint(life, "warning_needs_response")
    _days(life, 1, 7)
    if life.rng.random() < 0.5:
        life.escalate(dispute_id)
        _days(life, 8, 10)
        life.close_dispute(dispute_id, "lost")
        return
    life.called()
    life.answer_dispute(dispute_id, "warning_under_review")
    life.by_itself()
    _days(life, 20, 60)
    life.close_dispute(dispute_id, "warning_closed")


PAYMENTS: Sequence[Story[PaymentLife]] = [
    Story(name="paid", weight=24, tell=_paid),
    Story(name="paid_after_challenge", weight=9, tell=_paid_after_challenge),
    Story(name="challenge_abandoned", weight=2, tell=_challenged),
    Story(name="paid_after_decline", weight=9, tell=_paid_after_decline),
    Story(name="declined", weight=4, tell=_declined),
    Story(name="abandoned", weight=2, tell=lambda _life: None),
    Story(name="canceled", weight=3, tell=_canceled),
    Story(name="captured_later", weight=5, tell=_captured_later, is_held=True),
    Story(name="captured_in_part", weight=2, tell=_captured_in_part, is_held=True),
    Story(name="authorized", weight=2, tell=_authorized, is_held=True),
    Story(name="voided", weight=2, tell=_voided, is_held=True),
    Story(name="authorization_expired", weight=1, tell=_authorization_expired, is_held=True),
    Story(name="debit_paid", weight=3, tell=_debit_paid, method="sepa_debit"),
    Story(name="debit_bounced", weight=2, tell=_debit_bounced, method="sepa_debit"),
    Story(name="debit_processing", weight=2, tell=_debit_started, method="sepa_debit"),
    Story(name="refunded", weight=7, tell=_refunded),
    Story(name="refunded_in_part", weight=4, tell=_refunded_in_part),
    Story(name="refunded_in_parts", weight=3, tell=_refunded_in_parts),
    Story(name="refund_pending", weight=2, tell=_refund_pending),
    Story(name="refund_failed", weight=4, tell=_refund_failed),
    Story(name="refund_failed_and_repeated", weight=1, tell=_refund_failed_and_repeated),
    Story(name="refund_canceled", weight=1, tell=_refund_canceled),
    Story(name="dispute_open", weight=1, tell=_dispute_open),
    Story(name="dispute_won", weight=2, tell=_dispute_won),
    Story(name="dispute_lost", weight=2, tell=_dispute_lost),
    Story(name="inquiry", weight=1, tell=_inquiry),
]


def _refunded_at_once(life: PaymentLife) -> None:
    """A merchant's system gives money back that it has just taken, and the provider has it through in the same second.

    Only the usual course of a refund says that it was pending before it succeeded.
    """
    life.succeed()
    life.wait(timedelta(seconds=1), timedelta(seconds=60))
    for _ in range(life.rng.choice([1, 2])):
        life.called()
        refund_id = life.refund(life.intent.amount // 2, "pending")
        life.by_itself()
        life.settle_refund(refund_id)


# What no clock of whole seconds can put in order; dealt on demand only.
AT_ONCE = Story[PaymentLife](name="refunded_at_once", weight=0, tell=_refunded_at_once)


def _payout_sent(life: PayoutLife) -> None:
    _days(life, 1, 2)
    life.move("in_transit")


def _payout_paid(life: PayoutLife) -> None:
    _payout_sent(life)
    _days(life, 1, 2)
    life.move("paid")


def _payout_failed(life: PayoutLife) -> None:
    _payout_sent(life)
    _days(life, 1, 3)
    life.fail()


def _payout_returned(life: PayoutLife) -> None:
    _payout_paid(life)
    _days(life, 1, 5)
    life.fail()


def _payout_canceled(life: PayoutLife) -> None:
    life.wait(timedelta(minutes=1), timedelta(hours=5))
    life.called()
    life.move("canceled")


PAYOUTS: Sequence[Story[PayoutLife]] = [
    Story(name="payout_paid", weight=5, tell=_payout_paid),
    Story(name="payout_failed", weight=2, tell=_payout_failed),
    Story(name="payout_returned", weight=1, tell=_payout_returned),
    Story(name="payout_canceled", weight=1, tell=_payout_canceled),
    Story(name="payout_in_transit", weight=1, tell=_payout_sent),
]
assert sum(story.weight for story in PAYMENTS) == 100
assert sum(story.weight for story in PAYOUTS) == 10
