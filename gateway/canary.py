"""Canary payments: what a provider would say of them, in an awkward order, and what is true of them afterwards."""

import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from domain.errors import TerminalError
from domain.settings import NodeSettings
from domain.tenant_settings import SourceSettings, TenantSettings

SOURCE = "stripe"
CURRENCY = "EUR"


class CanaryPart(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be said of a refund."""

    id: str
    status: str
    amount_minor: int


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be said of a payment; other fields of an answer's payment may say what they like."""

    payment_id: str
    status: str
    amount_minor: int
    refunds: tuple[CanaryPart, ...] = ()
    certainty: str = "certain"
    currency: str = CURRENCY


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A canary payment: the webhooks in the order in which they are sent, what to ask, and the truth."""

    webhooks: tuple[bytes, ...]
    question: str
    truth: Truth


def with_canary(settings: NodeSettings, new_secret: Callable[[], str]) -> NodeSettings:
    """The settings with the canary tenant, whose credentials nobody else knows; as they are if there are no probes.

    Raises `TerminalError` if there is a tenant of its name.
    """
    if not settings.prober.interval_s:
        return settings
    if settings.prober.tenant in settings.tenants:
        raise TerminalError(f"prober.tenant {settings.prober.tenant!r}: name one that is none of your tenants")
    canary = TenantSettings(
        api_keys=(new_secret(),), sources={SOURCE: SourceSettings(secrets=(f"whsec_{new_secret()}",))}
    )
    return msgspec.structs.replace(settings, tenants={**settings.tenants, settings.prober.tenant: canary})


def story(number: int, name: str, at: datetime) -> Story:
    """The canary payment of this number, which occurred in the seconds before `at`; its ids are made of `name`."""
    return _STORIES[number % len(_STORIES)](_Payment(name, 1_000 + number % 9_000, int(at.timestamp()) - 10))


class _Payment:
    """A payment in Stripe's words (https://docs.stripe.com/api/events)."""

    def __init__(self, name: str, amount_minor: int, began_at_s: int) -> None:
        self.id = f"pi_{name}"
        self.amount_minor = amount_minor
        self._name = name
        self._began_at_s = began_at_s
        self._refund_minor = amount_minor // 2

    def intent(self, event_type: str, status: str, *, after_s: int) -> bytes:
        """An event about the payment intent; a decline says why."""
        is_paid = status == "succeeded"
        declined = {"code": "card_declined", "decline_code": "insufficient_funds"}
        body = {
            "id": self.id,
            "object": "payment_intent",
            "last_payment_error": declined if event_type == "payment_failed" else None,
            "status": status,
            "customer": f"cus_{self._name}",
            "amount": self.amount_minor,
            "amount_received": self.amount_minor if is_paid else 0,
            "amount_capturable": 0,
            "currency": CURRENCY.lower(),
        }
        return self._event(f"payment_intent.{event_type}", body, after_s)

    def charge(self, *, after_s: int) -> bytes:
        """The event that money was captured."""
        body = {
            "id": f"ch_{self._name}",
            "object": "charge",
            "status": "succeeded",
            "customer": f"cus_{self._name}",
            "payment_intent": self.id,
            "amount": self.amount_minor,
            "amount_captured": self.amount_minor,
            "amount_refunded": 0,
            "captured": True,
            "refunded": False,
            "currency": CURRENCY.lower(),
        }
        return self._event("charge.succeeded", body, after_s)

    def refund(self, event_type: str, status: str, *, after_s: int) -> bytes:
        """An event about the refund of half of it."""
        body = {
            "id": f"re_{self._name}",
            "object": "refund",
            "status": status,
            "amount": self._refund_minor,
            "charge": f"ch_{self._name}",
            "payment_intent": self.id,
            "currency": CURRENCY.lower(),
        }
        return self._event(f"refund.{event_type}", body, after_s)

    def truth(self, status: str, *, refund: str = "") -> Truth:
        """What is true if the payment and its refund, if there is one, have these statuses."""
        part = CanaryPart(id=f"re_{self._name}", status=refund, amount_minor=self._refund_minor)
        return Truth(
            payment_id=self.id, status=status, amount_minor=self.amount_minor, refunds=(part,) if refund else ()
        )

    def _event(self, event_type: str, body: dict[str, Any], after_s: int) -> bytes:
        envelope = {
            "id": f"evt_{self._name}_{event_type.replace('.', '_')}_{after_s}",
            "object": "event",
            "type": event_type,
            "created": self._began_at_s + after_s,
            "data": {"object": body},
        }
        return msgspec.json.encode(envelope)


def _paid(payment: _Payment) -> Story:
    """Success is told before the beginning, and twice."""
    succeeded = payment.intent("succeeded", "succeeded", after_s=3)
    return Story(
        webhooks=(succeeded, payment.intent("processing", "processing", after_s=1), succeeded),
        question="What is the status of my payment?",
        truth=payment.truth("captured"),
    )


def _declined(payment: _Payment) -> Story:
    """The decline is told before the beginning."""
    return Story(
        webhooks=(
            payment.intent("payment_failed", "requires_payment_method", after_s=3),
            payment.intent("processing", "processing", after_s=1),
        ),
        question="Did my payment go through?",
        truth=payment.truth("failed"),
    )


def _refunded(payment: _Payment) -> Story:
    """The refund is told before the payment, and its success before its beginning; the charge comes last."""
    return Story(
        webhooks=(
            payment.refund("updated", "succeeded", after_s=7),
            payment.refund("created", "pending", after_s=5),
            payment.intent("succeeded", "succeeded", after_s=3),
            payment.charge(after_s=2),
        ),
        question="Where is my refund?",
        truth=payment.truth("captured", refund="succeeded"),
    )


def _refund_failed(payment: _Payment) -> Story:
    """The bank returns a refund that had succeeded, and that is told first."""
    return Story(
        webhooks=(
            payment.refund("failed", "failed", after_s=8),
            payment.charge(after_s=2),
            payment.intent("succeeded", "succeeded", after_s=3),
            payment.refund("updated", "succeeded", after_s=6),
        ),
        question="Where is my refund?",
        truth=payment.truth("captured", refund="failed"),
    )


_STORIES = (_paid, _refunded, _declined, _refund_failed)


def signed(webhook: bytes, secret: str, at: datetime) -> dict[str, str]:
    """The header with which Stripe would send it (https://docs.stripe.com/webhooks#verify-manually)."""
    timestamp = int(at.timestamp())
    signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + webhook, "sha256").hexdigest()
    return {"Stripe-Signature": f"t={timestamp},v1={signature}"}
