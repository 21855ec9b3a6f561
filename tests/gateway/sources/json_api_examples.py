"""Items of a polled list for the conformance test."""

from domain.tenant_settings import SourceSettings
from gateway.sources.json_api import JsonApi
from tests.gateway.sources.conformance import Conformance, Message
from tests.gateway.sources.mapped import encoded, mapping

MAPPING = """
    [[facts]]
    kind = "charge"
    object = "id"
    payment = "order"
    status = { path = "state", table = { paid = "captured", open = "pending" } }
    amount = { path = "amount", unit = "major" }
    currency = "currency"
    occurred_at = "updated_at"
"""
ITEM = {
    "id": "c-1",
    "order": "o-1",
    "state": "paid",
    "amount": 19.9,
    "currency": "EUR",
    "updated_at": "2026-03-01T12:00:00Z",
    "buyer": {"name": "Ada Lovelace"},
}
_MESSAGES = tuple(
    Message(raw=encoded(item)) for item in (ITEM | {"state": "open", "updated_at": "2026-03-01T11:00:00Z"}, ITEM)
)
CONFORMANCE = Conformance(
    source=JsonApi("acquirer", SourceSettings(kind="json-api", mapping=mapping(MAPPING))),
    kind="json-api",
    messages=_MESSAGES,
    story=_MESSAGES,
    personal=("Ada Lovelace",),
)
