"""Bytes and structs: tags that never change, upcasters for what did, one envelope around every event.

A stored event is MessagePack. A field is only ever added with a default; a change of meaning gets a new schema number
and an upcaster here, so that the oldest bytes load for good (`tests/golden`).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, get_args

import msgspec

from domain.answer import AnswerCommand, AnswerEvent
from domain.conversation import ConversationCommand, ConversationEvent
from domain.document import DocumentCommand, DocumentEvent
from domain.effects import EffectCommand, EffectEvent
from domain.ids import StreamId
from domain.incident import IncidentCommand, IncidentEvent
from domain.index_generation import IndexCommand, IndexEvent
from domain.message import Event, Reply, Trace
from domain.payment_saga import PaymentCommand, PaymentEvent
from domain.polling import PollCommand, PollEvent
from domain.remediation import RemediationCommand, RemediationEvent
from domain.webhook import RecordSighting, WebhookSeen

AnyEvent = (
    PaymentEvent
    | WebhookSeen
    | DocumentEvent
    | IndexEvent
    | AnswerEvent
    | ConversationEvent
    | PollEvent
    | EffectEvent
    | RemediationEvent
    | IncidentEvent
)
AnyCommand = (
    PaymentCommand
    | RecordSighting
    | DocumentCommand
    | IndexCommand
    | AnswerCommand
    | ConversationCommand
    | PollCommand
    | EffectCommand
    | RemediationCommand
    | IncidentCommand
)

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

# (tag, schema it upgrades from) -> the event's fields one schema later. Empty so far: every event is in its first.
UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event as it is kept.

    `commit` names the append it came with, to recognise it after an unknown outcome; `epoch` is the lease under which
    it was written.
    """

    event: AnyEvent
    recorded_at: datetime
    command_id: str = ""
    commit: str = ""
    epoch: int = 0
    schema: int = 1
    trace: Trace = Trace()


class Submission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One command on its way to the stream it is for. `command_id` makes it recognisable in the log."""

    stream: StreamId
    command: AnyCommand
    command_id: str = ""
    trace: Trace = Trace()


def tag_of(event_type: type[Event]) -> str:
    """The wire tag of an event class, e.g. `payment.fact_recorded`."""
    tag = event_type.__struct_config__.tag
    assert isinstance(tag, str), f"{event_type.__name__} has no tag"
    return tag


EVENT_TYPES: Mapping[str, type[Event]] = {tag_of(each): each for each in get_args(AnyEvent)}

_encoder = msgspec.msgpack.Encoder()
_envelope_decoder = msgspec.msgpack.Decoder(Envelope)
_submissions_decoder = msgspec.msgpack.Decoder(list[Submission])
_replies_decoder = msgspec.msgpack.Decoder(list[Reply])


def encode_envelope(
    envelope: Envelope, upcasters: Mapping[tuple[str, int], Upcaster] | None = None
) -> tuple[str, bytes]:
    """The event's tag and the envelope's bytes, marked with the event's schema of today."""
    tag = tag_of(type(envelope.event))
    table = UPCASTERS if upcasters is None else upcasters
    schema = schema_of(tag, table) if table else 1
    if schema != envelope.schema:
        envelope = msgspec.structs.replace(envelope, schema=schema)
    return tag, _encoder.encode(envelope)


def schema_of(tag: str, upcasters: Mapping[tuple[str, int], Upcaster]) -> int:
    """The schema in which an event is written today: one more than the last that is upgraded."""
    return 1 + max((schema for upgraded, schema in upcasters if upgraded == tag), default=0)


def decode_envelope(state: bytes, upcasters: Mapping[tuple[str, int], Upcaster] | None = None) -> Envelope:
    """The envelope that was stored, in today's schema. Raises `msgspec.DecodeError` for what no schema ever wrote."""
    table = UPCASTERS if upcasters is None else upcasters
    return _upcast(state, table) if table else _envelope_decoder.decode(state)


class _Tagged(msgspec.Struct):
    type: str


class _Stored(msgspec.Struct):
    """As much of an envelope as every schema has."""

    event: _Tagged
    schema: int = 1


class _Recorded(msgspec.Struct):
    """As much of an envelope as tells when it was recorded."""

    recorded_at: datetime


_recorded_decoder = msgspec.msgpack.Decoder(_Recorded)


def decode_recorded_at(state: bytes) -> datetime:
    """When a stored event was recorded, whatever it says. Raises `msgspec.DecodeError` as `decode_envelope` does."""
    return _recorded_decoder.decode(state).recorded_at


def _upcast(state: bytes, upcasters: Mapping[tuple[str, int], Upcaster]) -> Envelope:
    stored = msgspec.msgpack.decode(state)
    schema = msgspec.convert(stored, _Stored).schema
    event = stored["event"]
    while (upcaster := upcasters.get((event["type"], schema))) is not None:
        event = upcaster(event)
        schema += 1
    return msgspec.convert({**stored, "event": event, "schema": schema}, Envelope)


def encode_submissions(batch: list[Submission]) -> bytes:
    """A batch of commands as the one argument of a call."""
    return _encoder.encode(batch)


def decode_submissions(batch: bytes) -> list[Submission]:
    return _submissions_decoder.decode(batch)


def encode_replies(replies: list[Reply]) -> bytes:
    """A batch of replies as the one result of a call."""
    return _encoder.encode(replies)


def decode_replies(replies: bytes) -> list[Reply]:
    return _replies_decoder.decode(replies)
