"""Writes the golden bytes that are missing: `python -m tests.golden.write`. It never changes bytes that are there."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from domain.codec import Envelope, encode_envelope
from tests.golden.events import EXPECTED
from tests.golden.files import GOLDEN, golden_file
from tests.golden.histories import HISTORIES
from tests.golden.recorded import write_histories


def untold(value: Any, name: str = "") -> Iterator[str]:
    """The fields that were left at their defaults: the bytes would not show them."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            told = getattr(value, field.name)
            default = field.default_factory() if callable(field.default_factory) else field.default
            if field.name != "schema" and told == default:
                yield f"{name}.{field.name}"
            yield from untold(told, f"{name}.{field.name}")
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from untold(each, f"{name}[{number}]")


def write(expected: Mapping[tuple[str, int], Envelope], folder: Path) -> list[Path]:
    """Writes the files that are missing in `folder` and returns them.

    Raises:
        ValueError: a file is there with other bytes, is gone although its schema is old, or would not show a field.
    """
    written = []
    for (tag, schema), envelope in expected.items():
        path = golden_file(tag, schema, folder)
        _, encoded = encode_envelope(envelope)
        if path.exists():
            if schema == envelope.schema and path.read_bytes() != encoded:
                raise ValueError(f"{path.name} has other bytes; a stored event never changes: give it a new schema")
            continue
        if schema != envelope.schema:
            raise ValueError(f"{path.name} is gone; take it from the history, an old schema is not written again")
        if missing := sorted(untold(envelope)):
            raise ValueError(f"{path.name} would not show {', '.join(missing)}; tell them in tests/golden/events.py")
        path.write_bytes(encoded)
        written.append(path)
    return written


def main() -> None:
    """Writes what is missing beside this module."""
    try:
        written = [*write(EXPECTED, GOLDEN), *write_histories(HISTORIES, GOLDEN)]
    except ValueError as error:
        sys.exit(f"golden: {error}")
    for path in written:
        sys.stdout.write(f"{path.relative_to(GOLDEN)}\n")


if __name__ == "__main__":
    main()
