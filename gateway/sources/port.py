"""The shape of a source: bytes in, facts out. No input or output of its own, no clock, never an exception."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from domain.codec import Submission
from domain.fact import Fact
from domain.ids import stream_id
from domain.message import Trace
from domain.payment_saga import LinkPayment, RecordFact
from domain.webhook import RecordSighting

DETAIL_CHARS_MAX = 200


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one message says.

    `links` are pairs (reference, payment id): facts that came under the reference belong to that payment. `sighting`
    is set, and the rest empty, for a message of a type that states nothing about money.
    """

    event_id: str
    event_type: str
    facts: tuple[Fact, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    sighting: RecordSighting | None = None


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message states nothing that could be recorded.

    Args:
        code: stable, dotted: `body.*` for what is no event at all, `event.*` for an event that cannot be believed.
        detail: one sentence for a person, at most `DETAIL_CHARS_MAX` characters, safe to print.
    """

    code: str
    detail: str


class SourceModule(Protocol):
    """One provider. The module itself is the implementation."""

    name: str

    def verify(
        self, headers: Mapping[str, str], raw: bytes, *, secrets: Sequence[str], now: datetime, tolerance_s: int
    ) -> str | None:
        """`None` if the provider signed these bytes, else a stable code, e.g. `signature.mismatch`.

        Args:
            headers: by lower-case name.
            raw: the body as received; a signature is over bytes.
            secrets: any of them may have signed; several while one is being replaced.
            now: the time of receipt.
            tolerance_s: how old a signature may be, where the provider signs its time.
        """
        ...

    def read(self, raw: bytes, *, ref: str) -> Reading | Unreadable:
        """What the body says. `ref` names where it is kept, and goes into each fact's `raw`."""
        ...


def submissions(tenant: str, reading: Reading, *, source: str, trace: Trace) -> list[Submission]:
    """The commands that a reading leads to, each for its stream: facts first, then links, then the sighting.

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
