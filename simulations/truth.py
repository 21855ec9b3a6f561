"""Comparing what a gateway says with the simulated provider's own books."""

from collections.abc import Mapping
from typing import Any

from simulations.stripe_traffic import Truth

FIELDS = ("status", "amount_minor", "currency", "captured_minor", "refunded_minor", "customer_id")


def differences(truth: Truth, view: Mapping[str, Any]) -> list[str]:
    """Where a payment view (the contract's JSON) differs from the truth, one sentence each; none if it is right."""
    found = []
    for field in FIELDS:
        # A payout takes nothing from a customer; its amounts are the payout's own.
        if field == "captured_minor" and view["payouts"]:
            continue
        if view[field] != getattr(truth, field):
            found.append(f"{truth.payment_id}: {field} is {view[field]!r} and should be {getattr(truth, field)!r}")
    for field in ("refunds", "disputes"):
        said = {part["id"]: part["status"] for part in view[field]}
        if said != dict(getattr(truth, field)):
            found.append(f"{truth.payment_id}: {field} are {said} and should be {dict(getattr(truth, field))}")
    return found
