"""What one Stripe account sends in the course of some weeks: every event as a raw body, and the truth behind them.

Same seed, same bytes. Not simulated: Connect, subscriptions, multicapture, and clocks of the provider's machines that
disagree.
"""

import random
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from simulations.stripe_customers import PaymentMethod, Rendered, Shopper
from simulations.stripe_events import checkout_session, paid_invoice
from simulations.stripe_life import Life, ProviderEvent, Truth, new_id
from simulations.stripe_payment import PaymentLife, PayoutLife
from simulations.stripe_stories import AT_ONCE, PAYMENTS, PAYOUTS, Story, dealt

__all__ = ["ProviderEvent", "Traffic", "Truth", "generate"]

_FIRST_NAMES = (
    "Anna Bao Chloe Dieter Emma Felix Giulia Hoa Ivan Jonas Khanh Lena Mai Noah Olga Pedro Quynh Rosa".split()
)
_LAST_NAMES = (
    "Bauer Costa Dubois Evans Fischer Garcia Hansen Le Moreau Nguyen Novak Pham Rossi Schmidt Tran Weber".split()
)
_COUNTRIES = [("DE", "eur"), ("US", "usd"), ("VN", "vnd"), ("FR", "eur"), ("IE", "eur"), ("US", "usd"), ("NL", "eur")]
_BRANDS = [("visa", "4242"), ("mastercard", "4444"), ("amex", "8431")]

_PAYMENTS_PER_SHOPPER = 3
_PAYMENTS_PER_PAYOUT = 20
_SECONDS_BETWEEN_PAYMENTS = 40.0
_GUEST_SHARE = 0.1
_SIDE_EVENT_SHARE = 0.35


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The events in the order in which they happened, and by payment (or payout) id the truth and the kind of life."""

    events: tuple[ProviderEvent, ...]
    truth: Mapping[str, Truth]
    stories: Mapping[str, str]


def generate(*, seed: int, payments: int, start: datetime, at_once: Collection[int] = ()) -> Traffic:
    """The traffic of `payments` payments that begin one after another from `start`, and a payout for every 20 of them.

    The payments with the numbers `at_once` (from 0) are given back in the second in which the refund is asked for.

    About one event in ten is about no payment. From 100 payments on every kind of payment occurs, from 200 on every
    kind of payout too.
    """
    assert start.tzinfo is not None, "a start without a time zone is ambiguous"
    rng = random.Random(seed)
    shoppers: dict[int, Shopper] = {}
    payouts = dealt(rng, PAYOUTS, payments // _PAYMENTS_PER_PAYOUT)
    told: list[tuple[str, PaymentLife | PayoutLife]] = []
    aside: list[ProviderEvent] = []
    at = start
    for index, usual in enumerate(dealt(rng, PAYMENTS, payments)):
        story = AT_ONCE if index in at_once else usual
        at += timedelta(seconds=1 + rng.expovariate(1 / _SECONDS_BETWEEN_PAYMENTS))
        number = _shopper_number(rng, payments, story)
        if number not in shoppers:
            shoppers[number] = _shopper(rng, number, at)
            aside += _alone(rng, at, "customer.created", shoppers[number].rendered())
        life = _begun(rng, story, shoppers[number], at + timedelta(seconds=rng.uniform(2, 20)), f"{1000 + index}")
        story.tell(life)
        told.append((story.name, life))
        aside += _beside(rng, life, shoppers[number])
        if index % _PAYMENTS_PER_PAYOUT == _PAYMENTS_PER_PAYOUT - 1:
            told.append(_paid_out(rng, next(payouts), at))
    events = [event for _, life in told for event in life.events] + aside
    events.sort(key=lambda event: (event.emitted_at, event.payment_id, event.order, event.event_id))
    return Traffic(
        events=tuple(events),
        truth={life.payment_id: life.truth() for _, life in told},
        stories={life.payment_id: name for name, life in told},
    )


def _shopper_number(rng: random.Random, payments: int, story: Story[PaymentLife]) -> int:
    """Who pays. Direct debits are in euros."""
    numbers = range(max(1, payments // _PAYMENTS_PER_SHOPPER))
    if story.method == "sepa_debit":
        return rng.choice([number for number in numbers if _COUNTRIES[number % len(_COUNTRIES)][1] == "eur"])
    return rng.choice(numbers)


def _shopper(rng: random.Random, number: int, at: datetime) -> Shopper:
    country, currency = _COUNTRIES[number % len(_COUNTRIES)]
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
    return Shopper(
        id=new_id(rng, "cus_", 14),
        created=int(at.timestamp()),
        name=f"{first} {last}",
        email=f"{first}.{last}{number}@example.com".lower(),
        country=country,
        currency=currency,
        card=_card(rng, country),
    )


def _card(rng: random.Random, country: str) -> PaymentMethod:
    brand, last4 = rng.choice(_BRANDS)
    return PaymentMethod(
        id=new_id(rng, "pm_1", 23),
        type="card",
        brand=brand,
        country=country,
        last4=last4,
        fingerprint=new_id(rng, "", 16),
    )


def _begun(
    rng: random.Random, story: Story[PaymentLife], shopper: Shopper, at: datetime, order_number: str
) -> PaymentLife:
    is_guest = story.method == "card" and rng.random() < _GUEST_SHARE
    method = _card(rng, shopper.country) if is_guest else shopper.card
    if story.method == "sepa_debit":
        method = replace(method, id=new_id(rng, "pm_1", 23), type="sepa_debit", last4="3000")
    return PaymentLife(
        rng,
        at,
        shopper=None if is_guest else shopper,
        method=method,
        amount=_amount(rng, shopper.currency),
        currency=shopper.currency,
        capture_method="manual" if story.is_held else rng.choice(["automatic", "automatic_async"]),
        order_number=order_number,
    )


def _amount(rng: random.Random, currency: str) -> int:
    """Dong are whole thousands; euros and dollars are round prices or any number of cents."""
    if currency == "vnd":
        return rng.randrange(50, 5_000) * 1_000
    return rng.choice([rng.randrange(5, 200) * 100 - 1, rng.randrange(500, 50_000)])


def _paid_out(rng: random.Random, story: Story[PayoutLife], at: datetime) -> tuple[str, PayoutLife]:
    is_automatic = story.name != "payout_canceled"
    life = PayoutLife(rng, at, amount=rng.randrange(50_000, 2_000_000), currency="eur", is_automatic=is_automatic)
    story.tell(life)
    return story.name, life


def _alone(rng: random.Random, at: datetime, event_type: str, rendered: Rendered) -> list[ProviderEvent]:
    """An event about no payment."""
    life = Life(rng, "", at)
    life.called()
    life.emit(event_type, rendered)
    return life.events


def _beside(rng: random.Random, life: PaymentLife, shopper: Shopper) -> list[ProviderEvent]:
    """What the account also sends around a payment, now and then."""
    if rng.random() >= _SIDE_EVENT_SHARE:
        return []
    begun = life.events[0].emitted_at
    created = int(begun.timestamp())
    if life.intent.status == "succeeded" and rng.random() < 0.5:
        session = checkout_session(new_id(rng, "cs_live_", 58), life.intent, created)
        return _alone(rng, begun + timedelta(seconds=1), "checkout.session.completed", session)
    if rng.random() < 0.5:
        return _alone(rng, begun, "payment_method.attached", shopper.card.rendered(shopper, created))
    amount = _amount(rng, shopper.currency)
    return _alone(rng, begun, "invoice.paid", paid_invoice(new_id(rng, "in_1", 23), shopper, amount, created))
