"""Stripe's objects as its webhooks render them, API version 2024-12-18.acacia (https://docs.stripe.com/api).

Every struct is one state of one object; `rendered` is its snapshot, with the fields in Stripe's order. Times are whole
seconds since the epoch, amounts in minor units, currencies in lower case, all as Stripe writes them.
"""

from collections.abc import Mapping

import msgspec

from simulations.stripe_customers import PaymentMethod, Rendered, Shopper, billing_details, blank

_INTENT = blank(
    "id object amount amount_capturable amount_details amount_received application application_fee_amount "
    "automatic_payment_methods canceled_at cancellation_reason capture_method client_secret confirmation_method "
    "created currency customer description invoice last_payment_error latest_charge livemode metadata next_action "
    "on_behalf_of payment_method payment_method_configuration_details payment_method_options payment_method_types "
    "processing receipt_email review setup_future_usage shipping source statement_descriptor "
    "statement_descriptor_suffix status transfer_data transfer_group"
)
_CHARGE = blank(
    "id object amount amount_captured amount_refunded application application_fee application_fee_amount "
    "balance_transaction billing_details calculated_statement_descriptor captured created currency customer "
    "description destination dispute disputed failure_balance_transaction failure_code failure_message fraud_details "
    "invoice livemode metadata on_behalf_of order outcome paid payment_intent payment_method payment_method_details "
    "radar_options receipt_email receipt_number receipt_url refunded review shipping source source_transfer "
    "statement_descriptor statement_descriptor_suffix status transfer_data transfer_group"
)
_REFUND = blank(
    "id object amount balance_transaction charge created currency destination_details metadata payment_intent reason "
    "receipt_number source_transfer_reversal status transfer_reversal"
)
_DISPUTE = blank(
    "id object amount balance_transactions charge created currency enhanced_eligibility_types evidence "
    "evidence_details is_charge_refundable livemode metadata payment_intent payment_method_details reason status"
)
_EVIDENCE = blank(
    "access_activity_log billing_address cancellation_policy customer_communication customer_email_address "
    "customer_name customer_purchase_ip product_description receipt refund_policy service_date shipping_carrier "
    "shipping_date shipping_tracking_number uncategorized_file uncategorized_text"
)
_PAYOUT = blank(
    "id object amount application_fee application_fee_amount arrival_date automatic balance_transaction created "
    "currency description destination failure_balance_transaction failure_code failure_message livemode metadata "
    "method original_payout reconciliation_status reversed_by source_type statement_descriptor status trace_id type"
)


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed: https://docs.stripe.com/declines/codes."""

    code: str
    message: str
    decline_code: str | None = None


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a PaymentIntent: https://docs.stripe.com/api/payment_intents/object."""

    id: str
    created: int
    amount: int
    currency: str
    shopper: Shopper | None
    method: PaymentMethod
    order_number: str
    capture_method: str
    status: str = "requires_payment_method"
    amount_capturable: int = 0
    amount_received: int = 0
    latest_charge: str | None = None
    is_method_attached: bool = False
    error: Decline | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None

    def rendered(self) -> Rendered:
        return {
            **_INTENT,
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_details": {"tip": {}},
            "amount_received": self.amount_received,
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": f"{self.id}_secret_masked",
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "customer": self.shopper.id if self.shopper else None,
            "description": f"Order {self.order_number}",
            "last_payment_error": self._error(),
            "latest_charge": self.latest_charge,
            "livemode": True,
            "metadata": {"order_id": self.order_number},
            "next_action": self._next_action(),
            "payment_method": self.method.id if self.is_method_attached else None,
            "payment_method_options": {self.method.type: {}},
            "payment_method_types": [self.method.type],
            "receipt_email": self.shopper.email if self.shopper else None,
            "status": self.status,
        }

    def _error(self) -> Rendered | None:
        if self.error is None:
            return None
        return {
            "charge": self.latest_charge,
            "code": self.error.code,
            "decline_code": self.error.decline_code,
            "doc_url": f"https://stripe.com/docs/error-codes/{self.error.code.replace('_', '-')}",
            "message": self.error.message,
            "payment_method": self.method.rendered(self.shopper, self.created),
            "type": "card_error" if self.error.decline_code else "invalid_request_error",
        }

    def _next_action(self) -> Rendered | None:
        if self.status != "requires_action":
            return None
        redirect = {"return_url": "https://shop.example/return", "url": f"https://hooks.stripe.com/3ds/{self.id}"}
        return {"redirect_to_url": redirect, "type": "redirect_to_url"}


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a Charge, which is one attempt to take the money: https://docs.stripe.com/api/charges/object."""

    id: str
    created: int
    intent: Intent
    status: str
    is_captured: bool = False
    amount_captured: int = 0
    amount_refunded: int = 0
    balance_transaction: str | None = None
    is_disputed: bool = False
    decline: Decline | None = None

    def rendered(self) -> Rendered:
        intent = self.intent
        succeeded = self.status == "succeeded"
        return {
            **_CHARGE,
            "id": self.id,
            "object": "charge",
            "amount": intent.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "balance_transaction": self.balance_transaction,
            "billing_details": billing_details(intent.shopper),
            "calculated_statement_descriptor": "EXAMPLE SHOP",
            "captured": self.is_captured,
            "created": self.created,
            "currency": intent.currency,
            "customer": intent.shopper.id if intent.shopper else None,
            "description": f"Order {intent.order_number}",
            "disputed": self.is_disputed,
            "failure_code": self.decline.code if self.decline else None,
            "failure_message": self.decline.message if self.decline else None,
            "fraud_details": {},
            "livemode": True,
            "metadata": {"order_id": intent.order_number},
            "outcome": self._outcome(),
            "paid": succeeded,
            "payment_intent": intent.id,
            "payment_method": intent.method.id,
            "payment_method_details": intent.method.details(),
            "radar_options": {},
            "receipt_email": intent.shopper.email if intent.shopper else None,
            "receipt_url": f"https://pay.stripe.com/receipts/payment/{self.id}" if succeeded else None,
            "refunded": 0 < intent.amount == self.amount_refunded,
            "status": self.status,
        }

    def _outcome(self) -> Rendered:
        if self.decline is None:
            return {
                "network_status": "approved_by_network",
                "reason": None,
                "risk_level": "normal",
                "risk_score": 21,
                "seller_message": "Payment complete.",
                "type": "authorized",
            }
        return {
            "network_status": "declined_by_network",
            "reason": self.decline.decline_code,
            "risk_level": "normal",
            "risk_score": 43,
            "seller_message": self.decline.message,
            "type": "issuer_declined",
        }


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a Refund: https://docs.stripe.com/api/refunds/object. `reference` is the acquirer's, once known."""

    id: str
    created: int
    charge: Charge
    amount: int
    status: str
    reason: str | None = "requested_by_customer"
    reference: str | None = None
    balance_transaction: str | None = None
    failure_reason: str | None = None
    metadata: Mapping[str, str] = {}

    def rendered(self) -> Rendered:
        failure = {"failure_balance_transaction": f"{self.balance_transaction}f", "failure_reason": self.failure_reason}
        return {
            **_REFUND,
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": self.balance_transaction,
            "charge": self.charge.id,
            "created": self.created,
            "currency": self.charge.intent.currency,
            "destination_details": self._destination(),
            "metadata": {"order_id": self.charge.intent.order_number, **self.metadata},
            "payment_intent": self.charge.intent.id,
            "reason": self.reason,
            "status": self.status,
            **(failure if self.status == "failed" else {}),
        }

    def _destination(self) -> Rendered:
        kind = self.charge.intent.method.type
        if kind != "card":
            return {"type": kind, kind: {}}
        card = {
            "reference": self.reference,
            "reference_status": "available" if self.reference else "pending",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        }
        return {"card": card, "type": "card"}


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a Dispute: https://docs.stripe.com/api/disputes/object."""

    id: str
    created: int
    charge: Charge
    amount: int
    status: str
    reason: str
    withdrawal: str | None = None
    reinstatement: str | None = None
    has_evidence: bool = False

    def rendered(self) -> Rendered:
        moves = [(self.withdrawal, -self.amount, 1500), (self.reinstatement, self.amount, 0)]
        is_inquiry = self.status.startswith("warning_")
        return {
            **_DISPUTE,
            "id": self.id,
            "object": "dispute",
            "amount": self.amount,
            "balance_transactions": [self._moved(txn, amount, fee) for txn, amount, fee in moves if txn],
            "charge": self.charge.id,
            "created": self.created,
            "currency": self.charge.intent.currency,
            "enhanced_eligibility_types": [],
            "evidence": _EVIDENCE | ({"product_description": "As ordered"} if self.has_evidence else {}),
            "evidence_details": {
                "due_by": self.created + 8 * 86_400,
                "has_evidence": self.has_evidence,
                "past_due": False,
                "submission_count": int(self.has_evidence),
            },
            "is_charge_refundable": is_inquiry,
            "livemode": True,
            "metadata": {},
            "payment_intent": self.charge.intent.id,
            "payment_method_details": {
                "card": {
                    "brand": self.charge.intent.method.brand,
                    "case_type": "inquiry" if is_inquiry else "chargeback",
                    "network_reason_code": "13.1",
                },
                "type": "card",
            },
            "reason": self.reason,
            "status": self.status,
        }

    def _moved(self, txn: str, amount: int, fee: int) -> Rendered:
        return {
            "id": txn,
            "object": "balance_transaction",
            "amount": amount,
            "currency": self.charge.intent.currency,
            "fee": fee,
            "net": amount - fee,
            "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
            "source": self.id,
            "status": "available",
            "type": "adjustment",
        }


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a Payout to the merchant's bank: https://docs.stripe.com/api/payouts/object."""

    id: str
    created: int
    amount: int
    currency: str
    arrival_date: int
    destination: str
    balance_transaction: str
    is_automatic: bool = True
    status: str = "pending"
    trace: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None

    def rendered(self) -> Rendered:
        return {
            **_PAYOUT,
            "id": self.id,
            "object": "payout",
            "amount": self.amount,
            "arrival_date": self.arrival_date,
            "automatic": self.is_automatic,
            "balance_transaction": self.balance_transaction,
            "created": self.created,
            "currency": self.currency,
            "description": "STRIPE PAYOUT",
            "destination": self.destination,
            "failure_balance_transaction": f"{self.balance_transaction}f" if self.failure_code else None,
            "failure_code": self.failure_code,
            "failure_message": self.failure_message,
            "livemode": True,
            "metadata": {},
            "method": "standard",
            "reconciliation_status": "in_progress" if self.is_automatic else "not_applicable",
            "source_type": "card",
            "status": self.status,
            "trace_id": {"status": "supported", "value": self.trace} if self.trace else None,
            "type": "bank_account",
        }
