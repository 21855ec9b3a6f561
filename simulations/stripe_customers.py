"""The merchant's customers and what they pay with, as Stripe renders them."""

from typing import Literal

import msgspec

Rendered = dict[str, object]
MethodType = Literal["card", "sepa_debit"]


def blank(fields: str) -> Rendered:
    """A snapshot whose fields, in this order, are all null."""
    return dict.fromkeys(fields.split())


_CUSTOMER = blank(
    "id object address balance created currency default_source delinquent description discount email invoice_prefix "
    "invoice_settings livemode metadata name next_invoice_sequence phone preferred_locales shipping tax_exempt "
    "test_clock"
)


class PaymentMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A card, or an account for SEPA direct debit."""

    id: str
    type: MethodType
    brand: str
    country: str
    last4: str
    fingerprint: str
    is_challenged: bool = False

    def details(self) -> Rendered:
        """What a charge says of it."""
        if self.type == "sepa_debit":
            account = {
                "bank_code": "37040044",
                "branch_code": "",
                "country": self.country,
                "fingerprint": self.fingerprint,
                "last4": self.last4,
                "mandate": None,
            }
            return {"sepa_debit": account, "type": "sepa_debit"}
        three_d_secure = {"authentication_flow": "challenge", "result": "authenticated", "version": "2.2.0"}
        attempt: Rendered = {
            "installments": None,
            "mandate": None,
            "three_d_secure": three_d_secure if self.is_challenged else None,
        }
        return {"card": self._card() | attempt, "type": "card"}

    def rendered(self, shopper: "Shopper | None", created: int) -> Rendered:
        """The object of its own, as in `payment_method.attached` and in an intent's last error."""
        return {
            "id": self.id,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing_details(shopper),
            **(self.details() if self.type == "sepa_debit" else {"card": self._card()}),
            "created": created,
            "customer": shopper.id if shopper else None,
            "livemode": True,
            "metadata": {},
            "type": self.type,
        }

    def _card(self) -> Rendered:
        return {
            "brand": self.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": "pass", "cvc_check": "pass"},
            "country": self.country,
            "exp_month": 8,
            "exp_year": 2031,
            "fingerprint": self.fingerprint,
            "funding": "credit",
            "last4": self.last4,
            "network": self.brand,
            "wallet": None,
        }


class Shopper(msgspec.Struct, frozen=True, kw_only=True):
    """A customer of the merchant."""

    id: str
    created: int
    name: str
    email: str
    country: str
    currency: str
    card: PaymentMethod

    def rendered(self) -> Rendered:
        return {
            **_CUSTOMER,
            "id": self.id,
            "object": "customer",
            "balance": 0,
            "created": self.created,
            "delinquent": False,
            "email": self.email,
            "invoice_prefix": self.id[-8:].upper(),
            "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
            "livemode": True,
            "metadata": {},
            "name": self.name,
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "tax_exempt": "none",
        }


def billing_details(shopper: Shopper | None) -> Rendered:
    """Whom a payment method belongs to."""
    address = blank("city country line1 line2 postal_code state")
    return {
        "address": address | ({"country": shopper.country} if shopper else {}),
        "email": shopper.email if shopper else None,
        "name": shopper.name if shopper else None,
        "phone": None,
    }
