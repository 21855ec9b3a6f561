"""Messages that say nothing about a payment are kept once."""

from domain.webhook import RecordSighting, SightingDecider, WebhookSeen
from tests.domain.examples import at
from tests.spec import given


def test_a_message_is_seen_once() -> None:
    command = RecordSighting(
        source="stripe", event_id="evt_1", event_type="customer.updated", occurred_at=at(1), raw="INGEST/9"
    )
    seen = WebhookSeen(
        source="stripe", event_id="evt_1", event_type="customer.updated", occurred_at=at(1), raw="INGEST/9"
    )

    given(SightingDecider()).when(command).then(seen).when(command).then_nothing()
