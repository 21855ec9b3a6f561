"""The shape of a source: bytes in, facts out. No input or output of its own, no clock, never an exception."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

from domain.codec import AnyCommand, Submission
from domain.fact import Fact
from domain.ids import Category, stream_id
from domain.message import Trace
from domain.payment_saga import LinkPayment, RecordFact
from domain.webhook import RecordSighting

DETAIL_CHARS_MAX = 200


class Aimed(msgspec.Struct, frozen=True, kw_only=True):
    """A command for an aggregate that is no payment, such as a document or a conversation: its category and key.

    `command_id` is derived from the provider's own id, so that a message delivered again leads to the same command.
    """

    category: Category
    key: str
    command: AnyCommand
    command_id: str


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message states nothing that could be recorded.

    Args:
        code: stable, dotted: `body.*` for what is no event at all, `event.*` for an event that cannot be believed.
        detail: one sentence for a person, at most `DETAIL_CHARS_MAX` characters, safe to print.
    """

    code: str
    detail: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one message says.

    Args:
        event_id: the provider's id of the message, or of the first event in it.
        event_type: the provider's name for what happened.
        facts: what it says of payments.
        links: pairs (reference, payment id): facts that came under the reference belong to that payment.
        commands: what it says of anything but payments.
        sighting: set, and the rest empty, for a message of a type that states nothing that is kept.
        refused: why a part of a message of several parts cannot be read. The other parts count, and the whole message
            is kept in quarantine as well.
    """

    event_id: str
    event_type: str
    facts: tuple[Fact, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    commands: tuple[Aimed, ...] = ()
    sighting: RecordSighting | None = None
    refused: Unreadable | None = None


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant's messages of one source are verified with.

    Args:
        secrets: any of them may have signed; several while one is being replaced.
        tolerance_s: how old a signature may be, where the provider signs its time.
        options: what else the provider's scheme needs, by the names of its module, e.g. PayPal's `webhook_id`.
        certificates: PEM chains by the URL that `certificate_url` named, fetched by the caller.
    """

    secrets: Sequence[str] = ()
    tolerance_s: int = 300
    options: Mapping[str, str] = {}
    certificates: Mapping[str, bytes] = {}


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider wants to hear once its message is durable. An empty `body` is `{"id": ...}` as JSON.

    `within_s` is how long the provider waits; what is not durable by then is answered 503 and sent again.
    """

    status: int = 202
    body: str = ""
    media_type: str = "application/json"
    within_s: float = 5.0


class SourceModule(Protocol):
    """One provider. The module itself is the implementation."""

    name: str
    acknowledgement: Acknowledgement

    def verify(self, headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
        """`None` if the provider signed these bytes, else a stable code, e.g. `signature.mismatch`.

        Args:
            headers: by lower-case name.
            raw: the body as received; a signature is over bytes.
            trust: what to verify with.
            now: the time of receipt.
        """
        ...

    def read(self, raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
        """What the message says.

        Args:
            raw: the body as received.
            headers: the provider's, by lower-case name; empty where a message came without any.
            ref: names where the message is kept, and goes into each fact's `raw`.
        """
        ...


@runtime_checkable
class Certified(Protocol):
    """A source whose signatures are checked with a certificate that the message points to."""

    def certificate_url(self, headers: Mapping[str, str]) -> str:
        """Where the certificate is, on a host of the provider's; empty if the headers name none that is allowed."""
        ...


def submissions(tenant: str, reading: Reading, *, source: str, trace: Trace) -> list[Submission]:
    """The commands that a reading leads to, each for its stream: facts, links, other commands, the sighting.

    The command ids are the provider's own (the fact's id, `link:<reference>`, the event's id), so that a message
    delivered again leads to the same commands again.
    """
    commands = [
        Submission(
            stream=stream_id("payment", tenant, fact.payment_id),
            command=RecordFact(fact=fact),
            command_id=fact.fact_id,
            trace=trace,
        )
        for fact in reading.facts
    ]
    commands += [
        Submission(
            stream=stream_id("payment", tenant, reference),
            command=LinkPayment(payment_id=payment_id),
            command_id=f"link:{reference}",
            trace=trace,
        )
        for reference, payment_id in reading.links
    ]
    commands += [
        Submission(
            stream=stream_id(aimed.category, tenant, aimed.key),
            command=aimed.command,
            command_id=aimed.command_id,
            trace=trace,
        )
        for aimed in reading.commands
    ]
    if reading.sighting is not None:
        key = f"{source}/{reading.event_id}"
        commands.append(
            Submission(
                stream=stream_id("webhook", tenant, key),
                command=reading.sighting,
                command_id=reading.event_id,
                trace=trace,
            )
        )
    return commands
