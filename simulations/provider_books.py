"""The simulated provider's books: its payments, what may be done with them, and the truth to compare with."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta

from domain.payment import PaymentStatus
from simulations.provider_clock import VirtualClock
from simulations.provider_ledger import RETURNED, Account, Ledger, Movement, violations
from simulations.provider_scenario import Fates, Opened, RefundFates
from simulations.stripe_customers import PaymentMethod, Shopper
from simulations.stripe_life import ProviderEvent, Truth, new_id
from simulations.stripe_objects import Charge, Decline, Dispute, Intent, Refund
from simulations.stripe_payment import PaymentLife

_CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing")
_DECLINED = Decline(code="card_declined", message="Your card was declined.", decline_code="generic_decline")
_BOUNCED = Decline(code="insufficient_funds", message="The customer's account has insufficient funds.")


class RefusedError(Exception):
    """What Stripe answers to what it does not do (https://docs.stripe.com/api/errors).

    Args:
        status: of HTTP.
        message: for a person.
        code: of https://docs.stripe.com/error-codes; empty where Stripe gives none.
        param: the parameter at fault.
        kind: the error's `type`.
        payment_id: whose PaymentIntent the answer carries.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        param: str = "",
        kind: str = "invalid_request_error",
        payment_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.payment_id = payment_id


class Books:
    """All payments of one account.

    Args:
        clock: the provider's time.
        fates: which refunds are pending at first, and which fail.
        refunds: when they do.
        rng: draws ids and amounts of milliseconds.
        announce: told of every event, after it is in the books.
    """

    def __init__(
        self,
        clock: VirtualClock,
        fates: Fates,
        refunds: RefundFates,
        rng: random.Random,
        announce: Callable[[ProviderEvent], None],
    ) -> None:
        self.lives: dict[str, PaymentLife] = {}
        self.events: list[ProviderEvent] = []
        self.ledger = Ledger()
        self.refund_keys: dict[str, str] = {}
        self._clock = clock
        self._fates = fates
        self._refunds = refunds
        self._rng = rng
        self._announce = announce
        self._payment_of: dict[str, str] = {}

    def open(self, opened: Opened) -> PaymentLife:
        """A new payment, and the steps that have happened to it. Raises `RefusedError` for an id that is taken."""
        if opened.id in self.lives:
            raise RefusedError(400, f"there is a payment {opened.id} already")
        rng = random.Random(self._rng.getrandbits(64))
        life = PaymentLife(
            rng,
            self._clock(),
            shopper=_shopper(rng, opened, int(self._clock().timestamp())),
            method=_method(rng, opened),
            amount=opened.amount,
            currency=opened.currency.lower(),
            capture_method="manual" if "authorize" in opened.steps else "automatic",
            order_number=str(1_000 + len(self.lives)),
            payment_id=opened.id,
        )
        self.lives[life.payment_id] = life
        self._tell(life, 0)
        for step in opened.steps:
            self.step(life.payment_id, step)
        return life

    def step(self, payment_id: str, step: str) -> None:
        """Something happens to a payment that no API call of the merchant's asked for, or that one asked for before.

        `succeed`, `authorize`, `capture[:amount]`, `decline`, `challenge`, `debit`, `settle`, `bounce`, `expire`,
        `abandon`, `dispute`, `win`, `lose`. Raises `RefusedError` for a step that cannot follow.
        """
        life = self._life(payment_id)
        name, _, given = step.partition(":")
        status = life.intent.status
        if (name, status) not in _STEPS:
            raise RefusedError(400, f"{payment_id} is {status}: {name} cannot follow")
        told = self._begin(life)
        charged = life.intent.latest_charge or payment_id
        match name:
            case "succeed":
                life.succeed()
            case "authorize":
                life.authorize()
            case "capture":
                life.capture(min(int(given or life.intent.amount), life.intent.amount))
            case "decline":
                life.decline(_DECLINED)
            case "challenge":
                life.require_action()
            case "debit":
                life.start_debit()
            case "settle":
                life.settle_debit()
            case "bounce":
                life.bounce_debit(_BOUNCED)
            case "expire":
                life.release("charge.expired", "automatic")
            case "abandon":
                life.cancel("abandoned")
            case "dispute" | "win" | "lose":
                self._dispute(life, name)
        if life.intent.status == "succeeded" != status:
            self._move(life, life.intent.latest_charge or charged, "customer", life.intent.amount_received)
        self._tell(life, told)

    def refund(
        self,
        charge: Charge,
        amount: int | None,
        reason: str | None,
        metadata: Mapping[str, str],
        *,
        request_id: str,
        key: str,
    ) -> Refund:
        """Refund what was captured, or the rest of it. Raises `RefusedError` as Stripe does."""
        life = self.lives[charge.intent.id]
        left = charge.amount_captured - sum(
            each.amount for each in life.refunds.values() if each.status not in RETURNED
        )
        if charge.is_disputed:
            message = f"Charge {charge.id} has been charged back; cannot issue a refund."
            raise RefusedError(400, message, code="charge_disputed")
        if left <= 0:
            raise RefusedError(400, f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
        amount = left if amount is None else amount
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise RefusedError(400, message, param="amount")
        told = self._begin(life, request_id, key)
        status = "pending" if self._fates.is_pending() else "succeeded"
        refund_id = life.refund(amount, status, reason, metadata)
        self._payment_of[refund_id] = life.payment_id
        if key:
            self.refund_keys[refund_id] = key
        self._move(life, refund_id, "merchant", amount)
        self._tell(life, told)
        made_at = self._clock()
        if status == "pending":
            self._clock.plan(
                made_at + timedelta(seconds=self._refunds.settled_after_s), lambda: self._settle(refund_id)
            )
        if self._fates.fails_later():
            self._clock.plan(
                made_at + timedelta(days=self._refunds.fails_after_days), lambda: self.fail_refund(refund_id)
            )
        return life.refunds[refund_id]

    def fail_refund(self, refund_id: str) -> None:
        """The bank sends a refund's money back, whatever the refund said until then."""
        life = self._life(self._payment_of[refund_id])
        if life.refunds[refund_id].status in RETURNED:
            return
        told = self._begin(life)
        life.fail_refund(refund_id, self._refunds.reason)
        self._move(life, refund_id, "customer", life.refunds[refund_id].amount)
        self._tell(life, told)

    def _settle(self, refund_id: str) -> None:
        life = self._life(self._payment_of[refund_id])
        if life.refunds[refund_id].status == "pending":
            told = self._begin(life)
            life.settle_refund(refund_id)
            self._tell(life, told)

    def cancel(self, intent: Intent, reason: str | None, *, request_id: str, key: str) -> Intent:
        """Cancel a payment, and let go what is held. Raises `RefusedError` as Stripe does."""
        if intent.status not in _CANCELABLE:
            raise RefusedError(
                400,
                f"You cannot cancel this PaymentIntent because it has a status of {intent.status}. Only a "
                f"PaymentIntent with one of the following statuses may be canceled: {', '.join(_CANCELABLE)}.",
                code="payment_intent_unexpected_state",
                payment_id=intent.id,
            )
        life = self.lives[intent.id]
        told = self._begin(life, request_id, key)
        if intent.status == "requires_capture":
            life.release("charge.refunded", reason or "requested_by_customer")
        else:
            life.cancel(reason or "requested_by_customer")
        self._tell(life, told)
        return life.intent

    def intent(self, intent_id: str) -> Intent | None:
        return self.lives[intent_id].intent if intent_id in self.lives else None

    def charge(self, charge_id: str) -> Charge | None:
        payment_id = self._payment_of.get(charge_id, "")
        return self.lives[payment_id].charges.get(charge_id) if payment_id else None

    def refund_of(self, refund_id: str) -> Refund | None:
        payment_id = self._payment_of.get(refund_id, "")
        return self.lives[payment_id].refunds.get(refund_id) if payment_id else None

    def truth(self) -> dict[str, Truth]:
        """What every payment is, by id."""
        return {payment_id: life.truth() for payment_id, life in self.lives.items()}

    def violations(self) -> list[str]:
        """What must not be: money made or lost, more refunded than was taken, two refunds for one key."""
        return violations(self.ledger, self.lives, self.refund_keys)

    def status(self, payment_id: str) -> PaymentStatus:
        return self.lives[payment_id].truth().status

    def _life(self, payment_id: str) -> PaymentLife:
        if payment_id not in self.lives:
            raise RefusedError(404, f"there is no payment {payment_id}")
        return self.lives[payment_id]

    def _begin(self, life: PaymentLife, request_id: str = "", key: str = "") -> int:
        """Bring a payment to the present, and how many of its events have been told."""
        life.now = max(life.now, self._clock())
        if request_id:
            life.called(request_id, key)
        else:
            life.by_itself()
        return len(life.events)

    def _tell(self, life: PaymentLife, told: int) -> None:
        for charge_id in life.charges:
            self._payment_of.setdefault(charge_id, life.payment_id)
        for event in life.events[told:]:
            self.events.append(event)
            self._announce(event)

    def _move(self, life: PaymentLife, object_id: str, source: Account, amount_minor: int) -> None:
        self.ledger.move(
            Movement(
                at=life.now,
                payment_id=life.payment_id,
                object_id=object_id,
                source=source,
                target="merchant" if source == "customer" else "customer",
                amount_minor=amount_minor,
                currency=life.intent.currency.upper(),
            )
        )

    def _dispute(self, life: PaymentLife, name: str) -> None:
        if name == "dispute":
            dispute_id = life.dispute("needs_response", "fraudulent")
            self._move(life, dispute_id, "merchant", life.disputes[dispute_id].amount)
            return
        dispute = _open_dispute(life)
        life.close_dispute(dispute.id, "won" if name == "win" else "lost")
        if name == "win":
            self._move(life, dispute.id, "customer", dispute.amount)


_STEPS = frozenset(
    {(step, "requires_payment_method") for step in ("succeed", "authorize", "decline", "challenge", "debit", "abandon")}
    | {(step, "requires_action") for step in ("succeed", "authorize", "decline", "abandon")}
    | {(step, "processing") for step in ("settle", "bounce")}
    | {(step, "requires_capture") for step in ("capture", "expire")}
    | {(step, "succeeded") for step in ("dispute", "win", "lose")}
)


def _open_dispute(life: PaymentLife) -> Dispute:
    for dispute in life.disputes.values():
        if dispute.status == "needs_response":
            return dispute
    raise RefusedError(400, f"{life.payment_id} has no open dispute")


def _shopper(rng: random.Random, opened: Opened, created: int) -> Shopper:
    customer_id = opened.customer or new_id(rng, "cus_", 14)
    return Shopper(
        id=customer_id,
        created=created,
        name="Lena Novak",
        email="lena.novak@example.com",
        country="DE",
        currency=opened.currency.lower(),
        card=_method(rng, opened),
    )


def _method(rng: random.Random, opened: Opened) -> PaymentMethod:
    is_card = opened.method == "card"
    return PaymentMethod(
        id=new_id(rng, "pm_1", 23),
        type=opened.method,
        brand="visa",
        country="DE",
        last4="4242" if is_card else "3000",
        fingerprint=new_id(rng, "", 16),
    )
