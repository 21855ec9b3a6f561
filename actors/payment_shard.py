"""The payment shard as a process hosts it: sagas, sightings, conversations and errands, batches as bytes."""

import os
import uuid
from datetime import UTC, datetime

import msgspec

from actors.journal import Journal
from actors.log import log_at
from actors.shard import Kind, Shard
from domain.codec import decode_submissions, encode_replies
from domain.conversation import Conversation, ConversationDecider
from domain.effects import Errand, ErrandDecider
from domain.incident import Incident, IncidentDecider
from domain.payment_saga import Payment, PaymentDecider
from domain.polling import Poll, PollDecider
from domain.settings import ShardSettings
from domain.sharding import buckets_of_shard
from domain.webhook import Sighting, SightingDecider

ROLE = "payments"
KINDS = {
    "payment": Kind(decider=PaymentDecider(), state=Payment),
    "webhook": Kind(decider=SightingDecider(), state=Sighting),
    "poll": Kind(decider=PollDecider(), state=Poll),
    "conversation": Kind(decider=ConversationDecider(), state=Conversation),
    "effect": Kind(decider=ErrandDecider(), state=Errand),
    "incident": Kind(decider=IncidentDecider(), state=Incident),
}


class ShardPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Which shard this is, of how many, and where the log lies: a file, or an address of PostgreSQL."""

    log: str
    shard: int
    shard_count: int
    settings: ShardSettings = ShardSettings()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says when it is asked how it is."""

    pid: int
    stats: dict[str, float]


def now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A random id, 32 hexadecimal characters."""
    return uuid.uuid4().hex


class PaymentShard:
    """Hosts one payment shard. `handle` is called by one thread; `ping` may be called beside it."""

    def __init__(self, place: bytes) -> None:
        at = msgspec.msgpack.decode(place, type=ShardPlace)
        self._shard = Shard(
            Journal(log_at(at.log)),
            KINDS,
            role=ROLE,
            buckets=buckets_of_shard(at.shard, at.shard_count),
            owner=f"{ROLE}-{at.shard}/{os.getpid()}",
            clock=now,
            new_id=new_id,
            settings=at.settings,
        )

    def handle(self, batch: bytes) -> bytes:
        """Commands in, replies out. Raises `FencedError` once another host has taken over."""
        return encode_replies(self._shard.handle(decode_submissions(batch)))

    def ping(self, _: bytes = b"") -> bytes:
        """A `Health`. Raises `FencedError` once fenced: a host that can commit no more is to be replaced."""
        if self._shard.fenced is not None:
            raise self._shard.fenced
        return msgspec.msgpack.encode(Health(pid=os.getpid(), stats=as_numbers(self._shard.stats)))


def as_numbers(stats: msgspec.Struct) -> dict[str, float]:
    """The counters by name."""
    return {name: float(getattr(stats, name)) for name in stats.__struct_fields__}
