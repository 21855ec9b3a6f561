"""The provider's own books: what each step in a payment's life changes there, and which events announce it.

A step changes the objects, then emits the events that Stripe is documented or recorded to send for it. The truth is
read off these objects, never off the events.
"""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from domain.payment import PaymentStatus
from simulations.stripe_customers import PaymentMethod, Shopper
from simulations.stripe_life import Life, Truth, new_id
from simulations.stripe_objects import Charge, Decline, Dispute, Intent, Payout, Refund

_INTENT_STATUS: Mapping[str, PaymentStatus] = {
    "requires_action": "requires_action",
    "processing": "processing",
    "requires_capture": "authorized",
    "succeeded": "captured",
    "canceled": "canceled",
}
_PAYOUT_STATUS: Mapping[str, PaymentStatus] = {
    "pending": "pending",
    "in_transit": "processing",
    "paid": "captured",
    "failed": "failed",
    "canceled": "canceled",
}
# An inquiry that is closed cost the merchant nothing (https://docs.stripe.com/disputes/how-disputes-work#inquiries).
_DISPUTE_STATUS: Mapping[str, str] = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "won",
    "needs_response": "open",
    "under_review": "under_review",
    "won": "won",
    "lost": "lost",
}


class PaymentLife(Life):
    """A PaymentIntent with its charges, refunds and disputes."""

    def __init__(
        self,
        rng: random.Random,
        at: datetime,
        *,
        shopper: Shopper | None,
        method: PaymentMethod,
        amount: int,
        currency: str,
        capture_method: str,
        order_number: str,
        payment_id: str = "",
    ) -> None:
        super().__init__(rng, payment_id or new_id(rng, "pi_3", 23), at)
        self.intent = Intent(
            id=self.payment_id,
            created=self.second,
            amount=amount,
            currency=currency,
            shopper=shopper,
            method=method,
            order_number=order_number,
            capture_method=capture_method,
        )
        self.charges: dict[str, Charge] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, Dispute] = {}
        self.called()
        self.emit("payment_intent.created", self.intent.rendered())

    def require_action(self) -> None:
        """The bank wants the customer to prove who they are (3-D Secure)."""
        self.intent = replace(self.intent, method=replace(self.intent.method, is_challenged=True))
        self._move_intent("payment_intent.requires_action", status="requires_action", error=None)

    def demand_authentication(self) -> None:
        """The bank declines softly, and the same attempt goes on as a 3-D Secure challenge."""
        message = "Your card was declined. This transaction requires authentication."
        soft = Decline(code="authentication_required", message=message, decline_code="authentication_required")
        self._charge("charge.failed", status="failed", decline=soft)
        self.require_action()

    def fail_authentication(self) -> None:
        """The customer fails the challenge, so that nothing is charged."""
        error = Decline(
            code="payment_intent_authentication_failure",
            message="The provided PaymentMethod has failed authentication.",
        )
        self._move_intent("payment_intent.payment_failed", status="requires_payment_method", error=error)

    def decline(self, reason: Decline) -> None:
        """The bank declines; the intent falls back to waiting for another payment method."""
        self._charge("charge.failed", status="failed", decline=reason)
        self._move_intent("payment_intent.payment_failed", status="requires_payment_method", error=reason)

    def succeed(self) -> None:
        """The money is taken at once. https://docs.stripe.com/payments/payment-intents/asynchronous-capture."""
        is_late = self.intent.capture_method == "automatic_async"
        transaction = None if is_late else new_id(self.rng, "txn_3", 23)
        amount = self.intent.amount
        self._charge(
            "charge.succeeded",
            status="succeeded",
            is_captured=True,
            amount_captured=amount,
            balance_transaction=transaction,
        )
        self._move_intent("payment_intent.succeeded", status="succeeded", amount_received=amount, error=None)
        if is_late:
            self.by_itself()
            self.wait(timedelta(seconds=1), timedelta(seconds=4))
            self._move_charge("charge.updated", balance_transaction=new_id(self.rng, "txn_3", 23))

    def authorize(self) -> None:
        """The bank holds the amount until it is captured, voided or let go."""
        self._charge("charge.succeeded", status="succeeded")
        self._move_intent(
            "payment_intent.amount_capturable_updated",
            status="requires_capture",
            amount_capturable=self.intent.amount,
            error=None,
        )

    def capture(self, amount: int) -> None:
        """Take `amount` of what is held. The charge counts the rest, which is let go, as refunded.

        There is a recorded body in woocommerce-gateway-stripe#1073: 20675 held, 20300 received, `amount_refunded` 375.
        """
        self._move_charge(
            "charge.captured",
            is_captured=True,
            amount_captured=amount,
            amount_refunded=self.intent.amount - amount,
            balance_transaction=new_id(self.rng, "txn_3", 23),
        )
        self._move_intent("payment_intent.succeeded", status="succeeded", amount_capturable=0, amount_received=amount)

    def release(self, charge_event: str, reason: str) -> None:
        """Let the held amount go: by `charge.refunded` when voided, by `charge.expired` after seven days.

        Both render the charge as refunded, though nothing was taken (https://docs.stripe.com/api/charges/capture).
        """
        self._move_charge(charge_event, amount_refunded=self.intent.amount)
        self.cancel(reason)

    def cancel(self, reason: str) -> None:
        self._move_intent(
            "payment_intent.canceled",
            status="canceled",
            amount_capturable=0,
            canceled_at=self.second,
            cancellation_reason=reason,
        )

    def start_debit(self) -> None:
        """A direct debit is on its way: https://docs.stripe.com/payments/sepa-debit."""
        amount = self.intent.amount
        self._charge("charge.pending", status="pending", is_captured=True, amount_captured=amount)
        self._move_intent("payment_intent.processing", status="processing", error=None)

    def settle_debit(self) -> None:
        transaction = new_id(self.rng, "txn_3", 23)
        self._move_charge("charge.succeeded", has_previous=False, status="succeeded", balance_transaction=transaction)
        self._move_intent("payment_intent.succeeded", status="succeeded", amount_received=self.intent.amount)

    def bounce_debit(self, reason: Decline) -> None:
        self._move_charge(
            "charge.failed", has_previous=False, status="failed", is_captured=False, amount_captured=0, decline=reason
        )
        self._move_intent("payment_intent.payment_failed", status="requires_payment_method", error=reason)

    def refund(
        self,
        amount: int,
        status: str = "succeeded",
        reason: str | None = "requested_by_customer",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Ask for a refund, and its id. The charge counts it at once, whether or not it is through."""
        transaction = new_id(self.rng, "txn_3", 23)
        refund = Refund(
            id=new_id(self.rng, "re_3", 23),
            created=self.second,
            charge=self._last_charge(),
            amount=amount,
            status=status,
            reason=reason,
            balance_transaction=transaction,
            metadata=metadata or {},
        )
        self.refunds[refund.id] = refund
        self.emit("refund.created", refund.rendered())
        self._move_charge("charge.refunded", amount_refunded=self._last_charge().amount_refunded + amount)
        return refund.id

    def reference_refund(self, refund_id: str) -> None:
        """The acquirer gives the reference that the customer can ask their bank for."""
        self._move_refund(refund_id, reference=f"{self.rng.randrange(10**22, 10**23)}")

    def settle_refund(self, refund_id: str) -> None:
        self._move_refund(refund_id, status="succeeded")

    def fail_refund(self, refund_id: str, reason: str) -> None:
        """The bank sends the money back, days after the refund succeeded: https://docs.stripe.com/refunds#failed-refunds."""
        self._move_refund(refund_id, status="failed", failure_reason=reason)
        self._uncount(refund_id)

    def cancel_refund(self, refund_id: str) -> None:
        """The merchant takes back a refund that is not through yet."""
        self._move_refund(refund_id, status="canceled")
        self._uncount(refund_id)

    def dispute(self, status: str, reason: str) -> str:
        """The customer complains at the bank, and its id. A chargeback takes the money at once, an inquiry does not."""
        charge = replace(self._last_charge(), is_disputed=True)
        self.charges[charge.id] = charge
        dispute = Dispute(
            id=new_id(self.rng, "du_1", 23),
            created=self.second,
            charge=charge,
            amount=charge.amount_captured,
            status=status,
            reason=reason,
        )
        self.disputes[dispute.id] = dispute
        if status == "needs_response":
            self._withdraw(dispute, "charge.dispute.created")
        else:
            self.emit("charge.dispute.created", dispute.rendered())
        return dispute.id

    def escalate(self, dispute_id: str) -> None:
        """The bank turns an inquiry into a chargeback."""
        dispute = replace(self.disputes[dispute_id], status="needs_response")
        self._withdraw(dispute, "charge.dispute.updated")

    def answer_dispute(self, dispute_id: str, status: str) -> None:
        """The merchant submits evidence."""
        self._move_dispute("charge.dispute.updated", dispute_id, status=status, has_evidence=True)

    def close_dispute(self, dispute_id: str, status: str) -> None:
        """The bank decides; a dispute that is won brings the money back."""
        self._move_dispute("charge.dispute.closed", dispute_id, status=status)
        if status == "won":
            reinstatement = new_id(self.rng, "txn_1", 23)
            self._move_dispute("charge.dispute.funds_reinstated", dispute_id, reinstatement=reinstatement)

    def truth(self) -> Truth:
        intent = self.intent
        return Truth(
            payment_id=intent.id,
            status=self._status(),
            amount_minor=intent.amount,
            currency=intent.currency.upper(),
            captured_minor=intent.amount_received,
            refunded_minor=sum(refund.amount for refund in self.refunds.values() if refund.status == "succeeded"),
            refunds={refund.id: refund.status for refund in self.refunds.values()},
            disputes={dispute.id: _DISPUTE_STATUS[dispute.status] for dispute in self.disputes.values()},
            customer_id=intent.shopper.id if intent.shopper else "",
        )

    def _status(self) -> PaymentStatus:
        """A decline returns the intent to `requires_payment_method`, which is also where an untried one stands."""
        if self.intent.status == "requires_payment_method":
            return "failed" if self.intent.error else "pending"
        return _INTENT_STATUS[self.intent.status]

    def _last_charge(self) -> Charge:
        assert self.intent.latest_charge is not None, "nothing was charged yet"
        return self.charges[self.intent.latest_charge]

    def _charge(self, event_type: str, **state: object) -> None:
        """A new attempt to take the money."""
        attempt = Charge(id=new_id(self.rng, "ch_3", 23), created=self.second, intent=self.intent, status="pending")
        charge = replace(attempt, **state)
        self.charges[charge.id] = charge
        self.intent = replace(self.intent, latest_charge=charge.id, is_method_attached=True)
        self.emit(event_type, charge.rendered())

    def _move_charge(self, event_type: str, *, has_previous: bool = True, **changes: object) -> None:
        old = self._last_charge()
        new = replace(old, **changes)
        self.charges[new.id] = new
        self.emit(event_type, new.rendered(), old.rendered() if has_previous else None)

    def _move_intent(self, event_type: str, **changes: object) -> None:
        self.intent = replace(self.intent, **changes)
        # After a decline the method is detached again, as in the recorded streams.
        is_attached = self.intent.status != "requires_payment_method"
        self.intent = replace(self.intent, is_method_attached=is_attached)
        self.emit(event_type, self.intent.rendered())

    def _move_refund(self, refund_id: str, **changes: object) -> None:
        """Change a refund. Stripe announces it under an old and a new name: two Event objects for one fact."""
        before = self.refunds[refund_id].rendered()
        refund = replace(self.refunds[refund_id], **changes)
        self.refunds[refund_id] = refund
        self.emit("refund.updated", refund.rendered(), before)
        if refund.status == "failed":
            self.emit("refund.failed", refund.rendered(), before)
        self.emit("charge.refund.updated", refund.rendered(), before)

    def _uncount(self, refund_id: str) -> None:
        """The charge no longer counts a refund that did not go through; no event says so."""
        charge = self._last_charge()
        amount = charge.amount_refunded - self.refunds[refund_id].amount
        self.charges[charge.id] = replace(charge, amount_refunded=amount)

    def _withdraw(self, dispute: Dispute, announcement: str) -> None:
        before = self.disputes[dispute.id].rendered() if announcement.endswith("updated") else None
        withdrawn = replace(dispute, withdrawal=new_id(self.rng, "txn_1", 23))
        self.disputes[dispute.id] = withdrawn
        self.emit(announcement, withdrawn.rendered(), before)
        self.emit("charge.dispute.funds_withdrawn", withdrawn.rendered())

    def _move_dispute(self, event_type: str, dispute_id: str, **changes: object) -> None:
        before = self.disputes[dispute_id].rendered()
        self.disputes[dispute_id] = replace(self.disputes[dispute_id], **changes)
        self.emit(event_type, self.disputes[dispute_id].rendered(), before)


class PayoutLife(Life):
    """A payout of the merchant's balance to their bank."""

    def __init__(self, rng: random.Random, at: datetime, *, amount: int, currency: str, is_automatic: bool) -> None:
        super().__init__(rng, new_id(rng, "po_1", 23), at)
        self.payout = Payout(
            id=self.payment_id,
            created=self.second,
            amount=amount,
            currency=currency,
            arrival_date=self.second + 2 * 86_400,
            destination=new_id(rng, "ba_1", 23),
            balance_transaction=new_id(rng, "txn_1", 23),
            is_automatic=is_automatic,
        )
        self.emit("payout.created", self.payout.rendered())

    def move(self, status: str) -> None:
        """Send it on its way, pay it or cancel it."""
        before = self.payout.rendered()
        self.payout = replace(self.payout, status=status)
        if status != "in_transit":
            self.emit(f"payout.{status}", self.payout.rendered())
        if status != "canceled":
            self.emit("payout.updated", self.payout.rendered(), before)

    def fail(self) -> None:
        """The bank sends it back, possibly days after it was paid: https://docs.stripe.com/payouts#payout-failures."""
        message = "The bank account has been closed."
        self.payout = replace(self.payout, status="failed", failure_code="account_closed", failure_message=message)
        self.emit("payout.failed", self.payout.rendered())

    def truth(self) -> Truth:
        return Truth(
            payment_id=self.payout.id,
            status=_PAYOUT_STATUS[self.payout.status],
            amount_minor=self.payout.amount,
            currency=self.payout.currency.upper(),
            captured_minor=0,
            refunded_minor=0,
            refunds={},
            disputes={},
            customer_id="",
        )
