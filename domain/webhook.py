"""A webhook that says nothing about a payment's state. It is kept as seen, so that nothing is ignored in silence."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.ids import Category
from domain.message import Command, Event


class RecordSighting(Command, frozen=True, kw_only=True, tag="webhook.record_sighting"):
    """A message of a type that states nothing about money, such as `customer.updated`."""

    source: str
    event_id: str
    event_type: str
    occurred_at: datetime
    raw: str = ""


class WebhookSeen(Event, frozen=True, kw_only=True, tag="webhook.seen"):
    source: str
    event_id: str
    event_type: str
    occurred_at: datetime
    raw: str = ""


class Sighting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the message was seen before."""

    is_seen: bool = False


class SightingDecider:
    """Once per message."""

    tag: Category = "webhook"

    def initial(self) -> Sighting:
        return Sighting()

    def decide(self, state: Sighting, command: RecordSighting, at: datetime) -> Sequence[WebhookSeen]:
        if state.is_seen:
            return []
        return [
            WebhookSeen(
                source=command.source,
                event_id=command.event_id,
                event_type=command.event_type,
                occurred_at=command.occurred_at,
                raw=command.raw,
            )
        ]

    def evolve(self, state: Sighting, event: WebhookSeen) -> Sighting:
        return Sighting(is_seen=True)
