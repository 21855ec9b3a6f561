"""Why money did not move, as a person reads it: the codes of providers in English and Vietnamese.

A code that no table knows may stand in an answer as it is, if it is one and no prose.
"""

import re
from collections.abc import Mapping

_CODE_RE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# Why money did not move: https://docs.stripe.com/declines/codes, https://docs.stripe.com/error-codes,
# https://docs.stripe.com/refunds#failed-refunds, https://docs.stripe.com/api/payouts/failures.
FAILURES: Mapping[str, str] = {
    "account_closed": "the bank account is closed",
    "account_frozen": "the bank account is frozen",
    "approve_with_id": "the payment could not be authorized by the bank",
    "authentication_required": "the bank asks for the customer's authentication",
    "bank_account_restricted": "the bank account is restricted",
    "call_issuer": "declined by the bank without a stated reason",
    "card_declined": "declined by the bank",
    "card_not_supported": "the card does not support this kind of purchase",
    "card_velocity_exceeded": "the card's limit is exceeded",
    "charge_for_pending_refund_disputed": "the payment was disputed while its refund was pending",
    "currency_not_supported": "the card does not support this currency",
    "debit_not_authorized": "the debit was not authorized",
    "declined": "declined by the bank",
    "do_not_honor": "declined by the bank without a stated reason",
    "do_not_try_again": "declined by the bank for good",
    "duplicate_transaction": "the same amount was submitted very recently",
    "expired_card": "expired card",
    "expired_or_canceled_card": "expired or canceled card",
    "fraudulent": "suspected fraud",
    "generic_decline": "declined by the bank without a stated reason",
    "incorrect_cvc": "incorrect security code",
    "incorrect_number": "incorrect card number",
    "incorrect_zip": "incorrect postal code",
    "insufficient_funds": "insufficient funds",
    "invalid_account": "invalid card or account",
    "invalid_account_number": "invalid bank account number",
    "invalid_amount": "invalid amount",
    "invalid_cvc": "invalid security code",
    "invalid_expiry_month": "invalid expiry month",
    "invalid_expiry_year": "invalid expiry year",
    "invalid_number": "invalid card number",
    "issuer_not_available": "the bank could not be reached",
    "lost_card": "declined by the bank without a stated reason",
    "lost_or_stolen_card": "lost or stolen card",
    "merchant_request": "stopped at the merchant's request",
    "no_account": "the bank account was not found",
    "not_permitted": "not permitted by the bank",
    "payment_intent_authentication_failure": "the customer's authentication failed",
    "payment_intent_payment_attempt_expired": "the attempt expired",
    "payment_method_not_available": "the payment method was not available",
    "pickup_card": "declined by the bank without a stated reason",
    "processing_error": "an error while processing the card",
    "stolen_card": "declined by the bank without a stated reason",
    "transaction_not_allowed": "declined by the bank without a stated reason",
    "try_again_later": "declined by the bank for now",
    "unknown": "no reason given",
    "withdrawal_count_limit_exceeded": "the card's limit is exceeded",
}
# Why a payment was canceled: https://docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason.
CANCELLATIONS: Mapping[str, str] = {
    "abandoned": "abandoned",
    "automatic": "canceled automatically",
    "duplicate": "duplicate",
    "expired": "expired",
    "failed_invoice": "its invoice failed",
    "fraudulent": "suspected fraud",
    "requested_by_customer": "requested by the customer",
    "void_invoice": "its invoice was voided",
}
# What a cardholder claims: https://docs.stripe.com/disputes/categories.
CLAIMS: Mapping[str, str] = {
    "bank_cannot_process": "the bank cannot process the payment",
    "check_returned": "the check was returned",
    "credit_not_processed": "a promised refund was not received",
    "customer_initiated": "the customer disputes the debit",
    "debit_not_authorized": "the debit was not authorized",
    "duplicate": "charged more than once",
    "fraudulent": "the payment was not authorized",
    "general": "no reason given",
    "incorrect_account_details": "incorrect account details",
    "insufficient_funds": "insufficient funds",
    "noncompliant": "the rules of the card network were not met",
    "product_not_received": "the product was not received",
    "product_unacceptable": "the product was not as described",
    "subscription_canceled": "the subscription had been canceled",
    "unrecognized": "the payment is not recognized",
}


def in_words(code: str, table: Mapping[str, str]) -> str:
    """` (expired card)` for a code of the table, the code itself for another, nothing where none was given."""
    said = table.get(code) or (code if _CODE_RE.fullmatch(code) else "")
    return f" ({said})" if said else ""
