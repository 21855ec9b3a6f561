"""CloudEvents 1.0 (https://github.com/cloudevents/spec): structured, batched and binary, over HTTP and over NATS.

`source` and `id` together name an event (spec, section "source"). What its data says of payments, a mapping says.
"""

import hashlib
import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote

from domain.errors import Rejection
from domain.tenant_settings import SourceSettings
from gateway.sources import standard_webhooks
from gateway.sources.mapping import map_record, sighting
from gateway.sources.mapping_records import RECORDS_MAX, decoded, mapping_of, merged
from gateway.sources.port import Acknowledgement, Reading, Trust, Unreadable

KIND = "cloudevents"
# Where the mapping finds `source` and `id` as one; no attribute has such a name, theirs have no underscore.
IDENTITY = "event_id"

_REQUIRED = ("id", "source", "specversion", "type")
_SEQUENCE_DIGITS_MAX = 18


class CloudEvents:
    """One source of this kind. The mapping sees the attributes by their names, and `data`.

    By default the event's id is made of `source` and `id`, its type is `type`, it occurred at `time`, and `sequence`
    orders it where that extension has numbers.
    """

    acknowledgement = Acknowledgement()

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name = name
        self._mapping = mapping_of(
            name, settings, event_id=IDENTITY, event_type="type", occurred_at="time", sequence="sequence"
        )

    def verify(self, headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
        """Check the bearer token (CloudEvents HTTP Webhooks, section 3.1), or Standard Webhooks where that is given.

        Codes: `signature.missing`, `signature.no_secret`, `signature.mismatch`, and those of Standard Webhooks.
        """
        if "webhook-signature" in headers:
            return standard_webhooks.verify(headers, raw, trust=trust, now=now)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return "signature.missing"
        secrets = [secret.encode() for secret in trust.secrets if secret]
        if not secrets:
            return "signature.no_secret"
        given = token.strip().encode(errors="replace")
        return None if any(hmac.compare_digest(secret, given) for secret in secrets) else "signature.mismatch"

    def read(self, raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
        """The facts of an event, or of all events of a batch."""
        try:
            events = _events(raw, headers)
        except Rejection as refused:
            return Unreadable(code=refused.code, detail=refused.detail)
        if not events:
            return sighting(self.name, f"batch:{hashlib.sha256(ref.encode()).hexdigest()[:24]}", "batch", ref=ref)
        return merged(self.name, [self._read(event, ref) for event in events])

    def _read(self, event: object, ref: str) -> Reading | Unreadable:
        try:
            record = _record(event)
        except Rejection as refused:
            return Unreadable(code=refused.code, detail=refused.detail)
        return map_record(self._mapping, record, provider=self.name, source="webhook", ref=ref)


def _events(raw: bytes, headers: Mapping[str, str]) -> list[object]:
    """The events of a message, by its content type (HTTP binding, section 3); without one, by its shape."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "ce-specversion" in headers and not media.startswith("application/cloudevents"):
        return [_binary(raw, headers, media)]
    found = decoded(raw)
    if isinstance(found, list):
        if len(found) > RECORDS_MAX:
            raise Rejection("body.too_many", f"a batch of more than {RECORDS_MAX} events; send several")
        return found
    return [found]


def _binary(raw: bytes, headers: Mapping[str, str], media: str) -> dict[str, object]:
    """Attributes in headers, percent-encoded (HTTP binding, section 3.1.3.2); the body is the data."""
    event: dict[str, object] = {
        name.removeprefix("ce-"): unquote(value).encode(errors="replace").decode()
        for name, value in headers.items()
        if name.startswith("ce-")
    }
    event["datacontenttype"] = media or None
    event["data"] = _content(raw, media) if raw else None
    return event


def _record(event: object) -> dict[str, object]:
    """What the mapping sees of an event. Raises `Rejection("body.wrong_shape")` for what is none."""
    if not isinstance(event, dict):
        raise Rejection("body.wrong_shape", "a CloudEvent is a JSON object")
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise Rejection("body.wrong_shape", f"a CloudEvent needs {name}, a string that is not empty")
    if event["specversion"] != "1.0":
        raise Rejection("event.version_unknown", "specversion is not 1.0")
    record = {name: value for name, value in event.items() if value is not None and name != "data_base64"}
    record[IDENTITY] = identity(event["source"], event["id"])
    if not _is_numeric(event.get("sequence")):
        record.pop("sequence", None)
    encoded = event.get("data_base64")
    if isinstance(encoded, str) and "data" not in record:
        record["data"] = _decoded_data(encoded, event.get("datacontenttype"))
    return record


def identity(source: str, event_id: str) -> str:
    """One name for what `source` and `id` name together. Either may hold any character, so it is a digest of both."""
    return hashlib.sha256(f"{source}\0{event_id}".encode()).hexdigest()[:32]


def _is_numeric(sequence: object) -> bool:
    """Whether a `sequence` (extensions/sequence.md: a string in lexical order) is a number that orders as such."""
    return (
        isinstance(sequence, str)
        and sequence.isascii()
        and sequence.isdigit()
        and len(sequence) <= _SEQUENCE_DIGITS_MAX
    )


def _decoded_data(encoded: str, media: object) -> object:
    """The value of `data_base64`; `None`, which no mapping finds anything in, for what is not JSON or text."""
    try:
        return _content(b64decode(encoded, validate=True), media if isinstance(media, str) else "")
    except (Base64Error, ValueError, Rejection):
        return None


def _content(raw: bytes, media: str) -> object:
    """The data: JSON, unless it says that it is something else (JSON format, section 3.1)."""
    kind = media.partition(";")[0].strip().lower()
    if not kind or kind.endswith(("/json", "+json")):
        return decoded(raw)
    return raw.decode(errors="replace") if kind.startswith("text/") else None
