"""What was measured while something happened and is in no log: samples, numbered, so that a sentence can cite them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from domain.errors import TerminalError

FILE = "samples.jsonl"
SampleKind = Literal["answer", "freshness", "budget", "alert", "phase", "fault", "counterfactual", "peer"]


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement.

    Args:
        number: counts them, from 1; a sentence cites it as `[S17]`.
        at: when.
        kind: what was measured: an `answer` against the provider's books, `freshness` of a projection in seconds, what
            is left of an objective's `budget`, an `alert` (1 fires), a `phase` or `fault` (0: over) of a drill, what a
            `counterfactual` replay or a `peer` came to.
        name: of what: an answer's id, a projection, an objective, a phase, a fault, a fix.
        value: the figure.
        text: in words.
        data: whatever else belongs to it.
    """

    number: int
    at: datetime
    kind: SampleKind
    name: str
    value: float = 0.0
    text: str = ""
    data: dict[str, Any] = {}


class Samples:
    """Takes samples down in the order in which they are measured."""

    def __init__(self) -> None:
        self.all: list[Sample] = []

    def add(
        self,
        kind: SampleKind,
        name: str,
        *,
        at: datetime,
        value: float = 0.0,
        text: str = "",
        **data: Any,  # noqa: ANN401 - whatever belongs to it
    ) -> Sample:
        """Take one down; it gets the next number."""
        sample = Sample(number=len(self.all) + 1, at=at, kind=kind, name=name, value=value, text=text, data=data)
        self.all.append(sample)
        return sample


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """One line each."""
    path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in samples))


def read_samples(path: Path) -> Sequence[Sample]:
    """Raises `TerminalError` for a file that holds something else."""
    try:
        return [msgspec.json.decode(line, type=Sample) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise TerminalError(f"samples {str(path)!r}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TerminalError(f"samples {str(path)!r}: {error}") from error
