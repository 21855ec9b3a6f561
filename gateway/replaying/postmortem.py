"""A postmortem, written from an incident's events and samples alone: sections of sentences, each with its evidence.

The same log and samples give the same sentences. A sentence that cites nothing cannot be made. The sections are those
of docs/postmortem-template.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from domain.money import format_amount
from gateway.replaying.incident_facts import IncidentFacts
from gateway.replaying.samples import Sample


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence with the log positions and the numbers of the samples that it rests on.

    `public` says the same to people outside, without ids; empty where it is none of their business.
    """

    text: str
    positions: tuple[int, ...] = ()
    samples: tuple[int, ...] = ()
    public: str = ""

    def __post_init__(self) -> None:
        assert self.positions or self.samples, f"no evidence: {self.text}"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of sentences' parts; the last cell of each row is its evidence."""

    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], Sentence], ...]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A heading, its sentences, a table and the names of its pictures."""

    title: str
    sentences: tuple[Sentence, ...] = ()
    table: Table | None = None
    pictures: tuple[str, ...] = ()


class Postmortem(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, in order."""

    title: str
    sections: tuple[Section, ...]


def cited(*cited: int | Iterable[int]) -> tuple[int, ...]:
    """Positions or numbers, each once, in order."""
    flat = [each for one in cited for each in ([one] if isinstance(one, int) else one)]
    return tuple(sorted({each for each in flat if each}))


def time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def amounts(by_currency: Mapping[str, int]) -> str:
    """`147.00 EUR and 20,000 VND`, or `nothing`."""
    parts = [format_amount(minor, currency) for currency, minor in sorted(by_currency.items()) if minor]
    return " and ".join(parts) or "nothing"


def seconds(taken_s: float | None) -> str:
    return "not at all" if taken_s is None else f"{taken_s:.1f} s"


def count(number: int, noun: str) -> str:
    """`1 answer`, `3 answers`, `no answers`."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def of_kind(samples: Sequence[Sample], kind: str) -> list[Sample]:
    return [each for each in samples if each.kind == kind]


def span_of(facts: IncidentFacts) -> tuple[int, ...]:
    """Where it was declared, and where it ended."""
    return cited(facts.declared.position, facts.last.position)
