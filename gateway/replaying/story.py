"""A stretch of the log in plain words: one line per event, and each sentence says which events it rests on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from domain.codec import AnyEvent, Envelope
from domain.ids import split_stream_id
from domain.payment_saga import FactRecorded
from domain.timeline import FieldChange, TimelineEntry, timeline
from gateway.replaying.history import History
from gateway.replaying.sentences import sentences
from gateway.replaying.views import payments_of
from projections.payment_view import PaymentStore

_BRACKETS = (
    "The numbers in brackets are positions in the log: the events on which a sentence rests, to be found in "
    "`events.jsonl`."
)


class Told(Protocol):
    """An event where it lay in the log."""

    @property
    def position(self) -> int: ...
    @property
    def stream(self) -> str: ...
    @property
    def envelope(self) -> Envelope: ...


def story(directory: Path, told: Sequence[Told]) -> str:
    """The Markdown of what is told, in log order, from the replay in `directory`.

    The numbers in brackets are log positions: those of the events that a sentence rests on. Times are UTC.
    """
    effects = _effects(directory, told)
    first, last = told[0], told[-1]
    lines = [
        f"# What happened from position {first.position} to {last.position}",
        "",
        f"Recorded from {_time(first.envelope.recorded_at)} to {_time(last.envelope.recorded_at)}, UTC. {_BRACKETS}",
        "",
        "## In short",
        "",
        *(_in_short(told, effects) or ["Nothing went wrong that the log knows of."]),
        "",
        "## In full",
    ]
    tenant_before, day_before = "", ""
    for each in told:
        _, tenant, key = split_stream_id(each.stream)
        at = each.envelope.recorded_at.astimezone(UTC)
        day = f"{at:%Y-%m-%d}"
        if (tenant, day) != (tenant_before, day_before):
            lines += ["", f"### {day}, {tenant}", ""]
            tenant_before, day_before = tenant, day
        said = " ".join(
            f"{text} {_cited([each.position, *positions])}" for text, positions in sentences(key, each.envelope.event)
        )
        change = _change(effects.get(each.position))
        lines.append(f"- {at:%H:%M:%S.%f} {said}{f' {change} {_cited([each.position])}' if change else ''}")
    return "\n".join(lines) + "\n"


def _effects(directory: Path, told: Sequence[Told]) -> Mapping[int, TimelineEntry]:
    """What each fact did to its payment, by position."""
    of_tenants: dict[str, set[str]] = {}
    for each in told:
        if isinstance(each.envelope.event, FactRecorded):
            _, tenant, key = split_stream_id(each.stream)
            of_tenants.setdefault(tenant, set()).add(key)
    found: dict[int, TimelineEntry] = {}
    for tenant, keys in of_tenants.items():
        with (
            closing(History(directory)) as history,
            closing(PaymentStore(payments_of(directory, history, tenant))) as store,
        ):
            for payment_id in {root.payment_id for root in store.roots(keys).values()}:
                of_payment = store.read([payment_id])[payment_id]
                found |= {each.position: each for each in timeline(of_payment.facts, of_payment.joined)}
    return found


def _in_short(told: Sequence[Told], effects: Mapping[int, TimelineEntry]) -> list[str]:
    """What a reader should know first, each with where it lies."""
    late = [
        position for position, effect in effects.items() if effect.effect == "late" and position >= told[0].position
    ]
    by_kind: dict[str, list[int]] = {}
    for each in told:
        by_kind.setdefault(_trouble(each.envelope.event), []).append(each.position)
    counts = [
        ("came late and changed what was known of a payment", "fact", sorted(late)),
        ("contradicts what was known", "fact", sorted(p for p, e in effects.items() if e.effect == "conflicting")),
        ("was found wrong when it was given", "answer", by_kind.get("answer.invalidated", [])),
        ("was found right after all", "answer", by_kind.get("answer.reinstated", [])),
        ("was tried and failed", "effect", by_kind.get("effect.failed", [])),
        ("was given up", "effect", by_kind.get("effect.given_up", [])),
        ("was handed to a person", "payment", by_kind.get("payment.escalated", [])),
    ]
    return [f"- {_times(len(cited), noun)} {what}. {_cited(cited)}" for what, noun, cited in counts if cited]


def _trouble(event: AnyEvent) -> str:
    tag = event.__struct_config__.tag
    assert isinstance(tag, str), f"{type(event).__name__} has no tag"
    return tag


def _times(count: int, noun: str) -> str:
    """`One answer`, or `3 times an answer`."""
    article = "an" if noun[0] in "aeiou" else "a"
    return f"{'Once' if count == 1 else f'{count} times'} {article} {noun}"


def _change(entry: TimelineEntry | None) -> str:
    """What a fact did, in a sentence of its own."""
    if entry is None:
        return ""
    match entry.effect:
        case "duplicate":
            return "That was known already."
        case "superseded":
            return "That had been overtaken by then."
        case "conflicting":
            return f"It contradicts what was known{_changes(entry.changed)}."
        case "late":
            return f"It came late{_changes(entry.changed)}."
        case _:
            return f"It changed the payment{_changes(entry.changed)}." if entry.changed else ""


def _changes(changed: Iterable[FieldChange]) -> str:
    named = [f"{each.field}: {_value(each.before)} -> {_value(each.after)}" for each in changed]
    return f" ({'; '.join(named)})" if named else ""


def _value(value: str | int | None) -> str:
    return "none" if value is None or value == "" else str(value)


def _cited(positions: Iterable[int]) -> str:
    return "".join(f"[{position}]" for position in _once(positions))


def _once(positions: Iterable[int]) -> Iterator[int]:
    yield from dict.fromkeys(position for position in positions if position)


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
