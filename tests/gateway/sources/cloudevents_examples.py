"""Examples of a provider of CloudEvents, for the conformance test."""

from base64 import b64encode
from typing import Any

from gateway.sources.cloudevents import KIND, CloudEvents
from gateway.sources.port import Trust
from tests.gateway.sources.conformance import NOW, Conformance, Message, Signed
from tests.gateway.sources.mapped import SECRET, encoded, settings, signed

TOML = """\
kind = "cloudevents"
[mapping]
ignored = ["com.acquirer.login.*"]

[[mapping.facts]]
kind = "intent"
when = { type = ["com.acquirer.payment.*"] }
payment = "subject"
status = { path = "data.status", table = { held = "authorized", taken = "captured", dropped = "canceled" } }
amount = "data.minor"
currency = "data.currency"

[[mapping.facts]]
kind = "dispute"
when = { type = ["com.acquirer.dispute.*"] }
object = "data.id"
payment = "subject"
status = "data.status"
amount = "data.minor"
currency = "data.currency"
"""
SETTINGS = settings(TOML)
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}


def event(number: int, kind: str, data: dict[str, Any] | None, **attributes: Any) -> dict[str, Any]:
    given = {
        "specversion": "1.0",
        "id": f"event {number}",
        "source": "https://acquirer.example/eu",
        "type": f"com.acquirer.{kind}",
        "subject": "order_1",
        "time": f"2026-03-01T12:00:{number:02}Z",
        "data": data,
    }
    return {**given, **attributes}


def payment(number: int, status: str, **attributes: Any) -> dict[str, Any]:
    data = {"status": status, "minor": 4900, "currency": "EUR", "payer": "Ann Smith"}
    return event(number, "payment.changed", data, **attributes)


def dispute(number: int, status: str, **attributes: Any) -> dict[str, Any]:
    data = {"id": "dp_1", "status": status, "minor": 4900, "currency": "EUR"}
    return event(number, "dispute.changed", data, **attributes)


def binary(given: dict[str, Any]) -> Message:
    """The event with its attributes in headers and its data as the body."""
    attributes = {name: value for name, value in given.items() if name != "data"}
    headers = {f"ce-{name}": str(value) for name, value in attributes.items()}
    return Message(raw=encoded(given["data"]), headers={**headers, "content-type": "application/json"})


def structured(given: dict[str, Any]) -> Message:
    return Message(raw=encoded(given), headers=STRUCTURED)


def with_bytes(given: dict[str, Any]) -> dict[str, Any]:
    """The event with its data in `data_base64`."""
    rest = {name: value for name, value in given.items() if name != "data"}
    return {**rest, "data_base64": b64encode(encoded(given["data"])).decode()}


_SIGNED = encoded(payment(1, "taken"))
CONFORMANCE = Conformance(
    source=CloudEvents("acquirer", SETTINGS),
    kind=KIND,
    messages=[
        structured(payment(1, "held")),
        structured(dispute(2, "open")),
        structured(with_bytes(payment(3, "taken"))),
        binary(payment(4, "taken")),
        Message(raw=encoded([payment(5, "taken"), event(6, "login.failed", None)]), headers=BATCHED),
        Message(raw=encoded(event(7, "login.failed", None))),
    ],
    story=[
        structured(payment(1, "held")),
        binary(payment(2, "taken")),
        Message(raw=encoded([dispute(3, "open"), dispute(4, "under_review")]), headers=BATCHED),
        Message(raw=encoded(with_bytes(dispute(5, "won")))),
        structured(payment(6, "dropped", subject="order_2")),
    ],
    signed=Signed(
        message=Message(raw=_SIGNED, headers=signed(_SIGNED, NOW)),
        trust=Trust(secrets=(SECRET,)),
    ),
    personal=("Ann Smith",),
)
