"""Recorded histories: their bytes, what they are folded to, and the hashes of that. Files are only ever added."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from actors import index, payment_shard
from actors.shard import Kind
from domain.codec import Envelope, Upcaster, decode_envelope, encode_envelope
from domain.fact import Fact
from domain.message import Trace
from domain.payment import PaymentView, fold, registers
from domain.payment_saga import FactRecorded
from domain.state_hash import state_hash
from gateway import ledger, remediation_log
from tests.golden.events import RECORDED_AT
from tests.golden.files import GOLDEN, golden_file, history_file
from tests.golden.histories import History, Step

KINDS: Mapping[str, Kind] = {**payment_shard.KINDS, **index.KINDS, **ledger.KINDS, **remediation_log.KINDS}


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A history as it is kept. `folded` is empty where no fact is told."""

    category: str
    events: tuple[bytes, ...]
    state: str
    folded: str


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """What facts add up to, object by object, and together."""

    payment: PaymentView
    winners: Mapping[str, str]
    conflicting: frozenset[str]


def refolded(
    category: str, events: Sequence[bytes], upcasters: Mapping[tuple[str, int], Upcaster] | None = None
) -> tuple[str, str]:
    """The hashes of the aggregate's state and of its facts' fold, by the code of today."""
    decider = KINDS[category].decider
    state = decider.initial()
    facts: list[Fact] = []
    for stored in events:
        event = decode_envelope(stored, upcasters).event
        state = decider.evolve(state, event)
        if isinstance(event, FactRecorded):
            facts.append(event.fact)
    return state_hash(state), state_hash(_folded(facts)) if facts else ""


def _folded(facts: Sequence[Fact]) -> Folded:
    by_object = registers(facts)
    return Folded(
        payment=fold("pi_1", facts, position=len(facts)),
        winners={key: each.winner.fact_id for key, each in by_object.items()},
        conflicting=frozenset(key for key, each in by_object.items() if each.conflicting),
    )


def read_history(path: Path) -> Recorded:
    return msgspec.msgpack.decode(path.read_bytes(), type=Recorded)


def write_histories(histories: Mapping[str, History], folder: Path) -> list[Path]:
    """Writes the files that are missing in `folder` and returns them.

    Raises:
        ValueError: the file before is missing, or comes to the same as today.
    """
    written = []
    for name, history in histories.items():
        path = history_file(name, history.number, folder)
        if path.exists():
            continue
        events = tuple(_bytes(step, number) for number, step in enumerate(history.steps, start=1))
        if history.number > 1:
            events = _events_before(name, history, folder)
        state, folded = refolded(history.category, events)
        recorded = Recorded(category=history.category, events=events, state=state, folded=folded)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.msgpack.encode(recorded))
        written.append(path)
    return written


def _events_before(name: str, history: History, folder: Path) -> tuple[bytes, ...]:
    """What was recorded once: a fold that changes does not change what happened."""
    before = history_file(name, history.number - 1, folder)
    if not before.exists():
        raise ValueError(f"{before.name} is gone; take it from the history")
    recorded = read_history(before)
    if (recorded.state, recorded.folded) == refolded(recorded.category, recorded.events):
        raise ValueError(f"{name}: what it comes to has not changed; leave its number as it is")
    return recorded.events


def _bytes(step: Step, number: int) -> bytes:
    if isinstance(step, tuple):
        return golden_file(*step, GOLDEN).read_bytes()
    trace = Trace(correlation_id=f"c-{number}")
    return encode_envelope(Envelope(event=step, recorded_at=RECORDED_AT, commit=f"commit-{number}", trace=trace))[1]
