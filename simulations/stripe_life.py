"""A life at the provider: its clock, and the events that it sends."""

import random
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from domain.payment import PaymentStatus
from simulations.stripe_customers import Rendered
from simulations.stripe_events import event_body

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class ProviderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event: its raw webhook body, and what the body hides.

    `order` counts the events of one payment (or payout) in the order in which they truly happened, and `emitted_at` is
    the precise time; the body's `created` is only its whole second. `payment_id` is empty where the event is about no
    payment.
    """

    event_id: str
    event_type: str
    payment_id: str
    body: bytes
    emitted_at: datetime
    order: int


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """A payment or payout at the end, by the provider's own books, in the words of the payment view.

    `captured_minor` is what was taken from the customer, so it is 0 for a payout; `refunded_minor` counts the refunds
    that succeeded; `refunds` and `disputes` map ids to statuses.
    """

    payment_id: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    refunds: Mapping[str, str]
    disputes: Mapping[str, str]
    customer_id: str


def new_id(rng: random.Random, prefix: str, length: int = 24) -> str:
    """An id as Stripe makes them: `new_id(rng, "pi_3")`."""
    return prefix + "".join(rng.choices(_ALPHABET, k=length))


class Life:
    """One object's life: its clock, the API call that is under way, and the events sent so far."""

    def __init__(self, rng: random.Random, payment_id: str, at: datetime) -> None:
        self.rng = rng
        self.payment_id = payment_id
        self.now = at
        self.events: list[ProviderEvent] = []
        self._request: tuple[str | None, str | None] = (None, None)

    @property
    def second(self) -> int:
        """The time as Stripe writes it."""
        return int(self.now.timestamp())

    def wait(self, least: timedelta, most: timedelta) -> None:
        """Let between `least` (a second or more) and `most` pass."""
        passed = least + (most - least) * self.rng.random()
        self.now = (self.now + passed).replace(microsecond=self.rng.randrange(700_000))

    def called(self, request_id: str = "", idempotency_key: str = "") -> None:
        """What follows is due to an API call of the merchant; by default to one that is made up."""
        if request_id:
            self._request = (request_id, idempotency_key or None)
            return
        key = uuid.UUID(int=self.rng.getrandbits(128), version=4)
        self._request = (new_id(self.rng, "req_", 14), str(key))

    def by_itself(self) -> None:
        """What follows happens at the provider or the bank."""
        self._request = (None, None)

    def emit(self, event_type: str, rendered: Rendered, before: Rendered | None = None) -> None:
        """Send an event, some milliseconds after the one before it; `before` gives it `previous_attributes`."""
        self.now += timedelta(microseconds=self.rng.randrange(4_000, 60_000))
        event_id = new_id(self.rng, "evt_3", 23)
        request_id, idempotency_key = self._request
        body = event_body(
            event_id=event_id,
            event_type=event_type,
            created=self.second,
            rendered=rendered,
            before=before,
            request_id=request_id,
            idempotency_key=idempotency_key,
        )
        self.events.append(
            ProviderEvent(
                event_id=event_id,
                event_type=event_type,
                payment_id=self.payment_id,
                body=body,
                emitted_at=self.now,
                order=len(self.events),
            )
        )
