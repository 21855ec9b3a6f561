"""How webhooks arrive: late, twice, out of order, and signed.

The provider sends each event when it happens; what it meets on the way is drawn from a seed. Stripe documents all of
this (https://docs.stripe.com/webhooks#behaviors): no order, duplicates, retries over three days.
"""

import hashlib
import hmac
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from simulations.stripe_traffic import ProviderEvent, Traffic

_HOURS_LATE_SHARE = 0.2
_LATE_FROM_S = 60.0


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival of an event.

    `attempt` is the provider's count of its tries, from 1. `is_duplicate`: the event arrived before. `is_late`: it
    arrived a minute or more after it was first sent.
    """

    event: ProviderEvent
    deliver_at: datetime
    attempt: int
    is_duplicate: bool
    is_late: bool


def deliveries(
    traffic: Traffic,
    *,
    seed: int,
    duplicate_share: float = 0.3,
    late_share: float = 0.1,
    jitter_s: float = 1.5,
) -> list[Delivery]:
    """Every event at least once, by time of arrival.

    Each is under way for `jitter_s` seconds on average (exponentially distributed), which turns around what happened
    within a second. `late_share` of the events come minutes later, one in five of these only by retries hours later.
    `duplicate_share` of the events come a second time: half of those within two seconds, the others as a retry because
    the first answer was lost. With both shares and `jitter_s` at 0, arrival is the true order.
    """
    rng = random.Random(seed)
    arrivals: list[Delivery] = []
    for event in traffic.events:
        first = _first(rng, event, late_share=late_share, jitter_s=jitter_s)
        arrivals.append(first)
        if rng.random() < duplicate_share:
            arrivals.append(_again(rng, first))
    # The sort is stable, and the events are in their true order: this decides between equal times.
    arrivals.sort(key=lambda delivery: delivery.deliver_at)
    return arrivals


def _first(rng: random.Random, event: ProviderEvent, *, late_share: float, jitter_s: float) -> Delivery:
    delay_s = rng.expovariate(1.0) * jitter_s
    attempt = 1
    if rng.random() < late_share:
        if rng.random() < _HOURS_LATE_SHARE:
            attempt = rng.randrange(2, 8)
            delay_s += sum(_pause_s(rng, failed) for failed in range(1, attempt))
        else:
            delay_s += rng.uniform(60, 1_800)
    return Delivery(
        event=event,
        deliver_at=event.emitted_at + timedelta(seconds=delay_s),
        attempt=attempt,
        is_duplicate=False,
        is_late=delay_s >= _LATE_FROM_S,
    )


def _again(rng: random.Random, first: Delivery) -> Delivery:
    is_retry = rng.random() < 0.5
    pause_s = _pause_s(rng, first.attempt) if is_retry else rng.uniform(0, 2)
    deliver_at = first.deliver_at + timedelta(seconds=pause_s)
    return Delivery(
        event=first.event,
        deliver_at=deliver_at,
        attempt=first.attempt + int(is_retry),
        is_duplicate=True,
        is_late=deliver_at - first.event.emitted_at >= timedelta(seconds=_LATE_FROM_S),
    )


def _pause_s(rng: random.Random, attempt: int) -> float:
    """The pause after a failed attempt: exponential backoff. Stripe does not publish the intervals."""
    return 900.0 * (1 << attempt) * rng.uniform(0.8, 1.2)


def hold_back(arrivals: Sequence[Delivery], *event_ids: str) -> tuple[list[Delivery], list[Delivery]]:
    """All deliveries but those of these events, and those of these events, which may be released later.

    One fact may come as several events (a refund that fails is three): to keep it back, name them all.
    """
    held = {*event_ids}
    return (
        [delivery for delivery in arrivals if delivery.event.event_id not in held],
        [delivery for delivery in arrivals if delivery.event.event_id in held],
    )


def stripe_headers(body: bytes, secret: str, at: datetime) -> dict[str, str]:
    """The headers of a webhook sent at `at`. The secret is used as it is, with its `whsec_`.

    https://docs.stripe.com/webhooks#verify-manually.
    """
    timestamp = int(at.timestamp())
    signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={timestamp},v1={signature}"}
