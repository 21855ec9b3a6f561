"""The simulated provider's webhooks: signed, sent again until they are taken, and sometimes late, twice or never."""

import random
from collections import deque
from datetime import timedelta

import httpx
import msgspec

from simulations.disorder import stripe_headers
from simulations.provider_clock import VirtualClock
from simulations.provider_scenario import Fates, Scenario
from simulations.stripe_life import ProviderEvent, new_id

# Stripe tries for three days with growing pauses and does not publish them; these add up to about three days.
RETRY_PAUSES_S = (5.0, 60.0, 600.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 86_400.0)
SEND_TIMEOUT_S = 20.0


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deliver an event; `attempt` counts from 1."""

    event_id: str
    event_type: str
    payment_id: str
    body: bytes
    attempt: int = 1


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt: the status of the answer, 0 if there was none."""

    event_id: str
    event_type: str
    payment_id: str
    attempt: int
    status: int


class Webhooks:
    """What is to be sent, what was, and what never will be.

    Args:
        scenario: where to, the secret, and how late is late.
        fates: what goes wrong.
        clock: the provider's time; signatures bear it.
        rng: draws the ids of what the books know nothing of.
    """

    def __init__(self, scenario: Scenario, fates: Fates, clock: VirtualClock, rng: random.Random) -> None:
        self.due: deque[Webhook] = deque()
        self.sent: list[Sent] = []
        self.lost: list[str] = []
        self._delivered: set[str] = set()
        self._scenario = scenario
        self._fates = fates
        self._clock = clock
        self._rng = rng

    def announce(self, event: ProviderEvent) -> None:
        """Plan the webhooks of an event."""
        webhook = Webhook(
            event_id=event.event_id, event_type=event.event_type, payment_id=event.payment_id, body=event.body
        )
        faults = self._fates.of_event(event.event_type, event.payment_id)
        if "contradictory" in faults and (contradiction := self._contradiction(webhook)) is not None:
            self.due.append(contradiction)
        if "lost" in faults:
            self.lost.append(event.event_id)
            return
        shares = self._fates.events
        wait_s = 0.0
        if "late" in faults:
            wait_s = self._fates.between(*shares.late_s)
        elif "reordered" in faults:
            wait_s = self._fates.between(0.0, shares.reordered_s)
        self._plan(webhook, wait_s)
        if "duplicate" in faults:
            self._plan(webhook, wait_s + shares.duplicate_after_s)

    def is_delivered(self, event_id: str) -> bool:
        return event_id in self._delivered

    def headers(self, webhook: Webhook) -> dict[str, str]:
        """The headers of an attempt that is made now."""
        return stripe_headers(webhook.body, self._scenario.webhook_secret, self._clock())

    async def send_due(self, client: httpx.AsyncClient) -> None:
        """Send all that is due; what is not taken is planned again."""
        while self.due:
            webhook = self.due.popleft()
            if not self._scenario.webhook_url:
                continue
            try:
                response = await client.post(
                    self._scenario.webhook_url,
                    content=webhook.body,
                    headers=self.headers(webhook),
                    timeout=SEND_TIMEOUT_S,
                )
                status = response.status_code
            except httpx.TransportError:
                status = 0
            self.record(webhook, status)

    def record(self, webhook: Webhook, status: int) -> None:
        """What came of an attempt: whoever sends the webhooks themselves says it here."""
        self.sent.append(
            Sent(
                event_id=webhook.event_id,
                event_type=webhook.event_type,
                payment_id=webhook.payment_id,
                attempt=webhook.attempt,
                status=status,
            )
        )
        if 200 <= status < 300:
            self._delivered.add(webhook.event_id)
        elif webhook.attempt > len(RETRY_PAUSES_S):
            self.lost.append(webhook.event_id)
        else:
            again = msgspec.structs.replace(webhook, attempt=webhook.attempt + 1)
            self._plan(again, RETRY_PAUSES_S[webhook.attempt - 1])

    def _plan(self, webhook: Webhook, wait_s: float) -> None:
        if wait_s <= 0:
            self.due.append(webhook)
        else:
            self._clock.plan(self._clock() + timedelta(seconds=wait_s), lambda: self.due.append(webhook))

    def _contradiction(self, webhook: Webhook) -> Webhook | None:
        """The same second of the same payment, told the other way round."""
        event = msgspec.json.decode(webhook.body)
        intent = event["data"]["object"]
        match webhook.event_type:
            case "payment_intent.succeeded":
                event["type"] = "payment_intent.canceled"
                intent |= {"status": "canceled", "amount_received": 0, "canceled_at": event["created"]}
            case "payment_intent.canceled":
                event["type"] = "payment_intent.succeeded"
                intent |= {"status": "succeeded", "amount_received": intent["amount"], "canceled_at": None}
            case _:
                return None
        event["id"] = new_id(self._rng, "evt_3", 23)
        return Webhook(
            event_id=event["id"],
            event_type=event["type"],
            payment_id=webhook.payment_id,
            body=msgspec.json.format(msgspec.json.encode(event), indent=2),
        )
