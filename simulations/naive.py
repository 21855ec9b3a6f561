"""Pipelines to contrast with, each as a real project has it: a row per object, written over by whatever is let in.

They read the same raw bodies, drop events that they have seen (as providers advise) and differ in one rule:

- `arrival_order`: whatever arrives last wins.
- `created_after`: a row is only written over by an event that was `created` later, as in stripe/sync-engine.
- `created_not_before`: later or in the same second, as in PostHog's first fix. Sorting by `created` before reducing,
  as in opengovsg/FormSG, ends in the same states.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from simulations.disorder import Delivery
from simulations.stripe_traffic import Traffic, Truth

INTENT_STATUS = {
    "requires_confirmation": "pending",
    "requires_action": "requires_action",
    "processing": "processing",
    "requires_capture": "authorized",
    "succeeded": "captured",
    "canceled": "canceled",
}
_PAYOUT_STATUS = {"in_transit": "processing", "paid": "captured"}
_DISPUTE_STATUS = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "won",
    "needs_response": "open",
}


class _Object(msgspec.Struct, frozen=True):
    id: str
    object: str
    status: str | None = None
    last_payment_error: msgspec.Raw = msgspec.Raw(b"null")


class _Data(msgspec.Struct, frozen=True):
    object: _Object


class _Event(msgspec.Struct, frozen=True):
    id: str
    created: int
    data: _Data


class Finals(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pipeline ends, in the words of the payment view: statuses by id of payment or payout, refund, dispute."""

    payments: Mapping[str, str]
    refunds: Mapping[str, str]
    disputes: Mapping[str, str]


def arrival_order(arrivals: Iterable[Delivery]) -> Finals:
    return _finals(arrivals, lambda _row, _event: True)


def created_after(arrivals: Iterable[Delivery]) -> Finals:
    return _finals(arrivals, lambda row, event: event.created > row.created)


def created_not_before(arrivals: Iterable[Delivery]) -> Finals:
    return _finals(arrivals, lambda row, event: event.created >= row.created)


PIPELINES: Mapping[str, Callable[[Iterable[Delivery]], Finals]] = {
    "arrival_order": arrival_order,
    "created_after": created_after,
    "created_not_before": created_not_before,
}


def wrong(traffic: Traffic, arrivals: Iterable[Delivery]) -> dict[str, int]:
    """By pipeline, how many payments and payouts end in another state than the truth: its own or a part's status."""
    arrivals = list(arrivals)
    return {
        name: sum(not _is_right(truth, finals) for truth in traffic.truth.values())
        for name, finals in ((name, pipeline(arrivals)) for name, pipeline in PIPELINES.items())
    }


def _is_right(truth: Truth, finals: Finals) -> bool:
    return (
        finals.payments.get(truth.payment_id) == truth.status
        and all(finals.refunds.get(refund_id) == status for refund_id, status in truth.refunds.items())
        and all(finals.disputes.get(dispute_id) == status for dispute_id, status in truth.disputes.items())
    )


def _finals(arrivals: Iterable[Delivery], is_let_in: Callable[[_Event, _Event], bool]) -> Finals:
    seen: set[str] = set()
    rows: dict[str, _Event] = {}
    decoder = msgspec.json.Decoder(_Event)
    for delivery in arrivals:
        event = decoder.decode(delivery.event.body)
        if event.id in seen:
            continue
        seen.add(event.id)
        row = rows.get(event.data.object.id)
        if row is None or is_let_in(row, event):
            rows[event.data.object.id] = event
    return _statuses(event.data.object for event in rows.values())


def _statuses(objects: Iterable[_Object]) -> Finals:
    payments: dict[str, str] = {}
    refunds: dict[str, str] = {}
    disputes: dict[str, str] = {}
    for each in objects:
        status = each.status or ""
        match each.object:
            case "payment_intent":
                is_tried = bytes(each.last_payment_error) != b"null"
                payments[each.id] = INTENT_STATUS.get(status, "failed" if is_tried else "pending")
            case "payout":
                payments[each.id] = _PAYOUT_STATUS.get(status, status)
            case "refund":
                refunds[each.id] = status
            case "dispute":
                disputes[each.id] = _DISPUTE_STATUS.get(status, status)
            case _:
                pass
    return Finals(payments=payments, refunds=refunds, disputes=disputes)
