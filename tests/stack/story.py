"""One payment told by webhooks, under ids of its own, on a stack that others use as well."""

import itertools
from typing import Any

from tests.gateway.sources.examples import CREATED, charge, event, intent, refund
from tests.stack.stack import Json, Stack

TENANT = "acme"
PAYMENTS = f"/v1/{TENANT}/payments"

numbers = itertools.count(1)


class Story:
    """One payment under ids of its own; `tell` sends an event about it, some seconds after 2026-03-01 12:00."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.number = next(numbers)
        self.payment = f"pi_story{self.number}"
        self.charge = f"ch_story{self.number}"
        self.refund = f"re_story{self.number}"
        self.customer = f"cus_story{self.number}"

    def intent(self, status: str = "succeeded", **fields: Any) -> Json:
        return intent(status, id=self.payment, customer=self.customer, **fields)

    def charged(self, status: str = "succeeded", **fields: Any) -> Json:
        return charge(status, id=self.charge, payment_intent=self.payment, customer=self.customer, **fields)

    def refunded(self, status: str = "succeeded", **fields: Any) -> Json:
        return refund(status, id=self.refund, charge=self.charge, payment_intent=self.payment, **fields)

    def event_id(self, name: str) -> str:
        return f"evt_{self.number}_{name}"

    def tell(self, name: str, event_type: str, body: Json, *, after_s: int = 0, correlation_id: str = "") -> None:
        raw = event(event_type, body, id=self.event_id(name), created=CREATED + after_s)
        headers = {"X-Correlation-Id": correlation_id} if correlation_id else {}
        response = self._stack.post(raw, TENANT, **headers)
        assert response.status_code == 202, response.text

    def paid(self) -> None:
        self.tell("intent", "payment_intent.succeeded", self.intent(latest_charge=self.charge))
        self.tell("charge", "charge.succeeded", self.charged())

    def view(self, **params: str | int) -> Json:
        self._stack.drained()
        return self._stack.get(f"{PAYMENTS}/{self.payment}", TENANT, **params)

    def timeline(self) -> list[Json]:
        self._stack.drained()
        entries: list[Json] = self._stack.get(f"{PAYMENTS}/{self.payment}/timeline", TENANT)["entries"]
        return entries
