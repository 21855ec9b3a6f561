"""`make fuzz`: messages of every source, spoilt at random for as long as one likes. Nothing may crash a reader.

The conformance test spoils with Hypothesis and few examples; this one spoils bytes, fast, and prints the message that a
source could not stand, ready to become a test.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from gateway.sources.port import Reading, Unreadable
from tests.gateway.sources.conformance import REF, conformances

SECONDS = 600.0
CHANGES_MAX = 6
JUNK = (b"null", b"[]", b"{}", b"-1", b"1e999", b'""', b'"\\ud800"', b"9" * 400, b"[" * 3_000, b"\x00", b"\xff")
VALUES: Sequence[Any] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**30,
    1.5,
    "",
    "\u0000",
    "x" * 300,
    "2018-19-12T00:00:00Z",
    "1e400",
    [],
    {},
    [[]],
)


def spoilt(chosen: random.Random, raw: bytes) -> bytes:
    """The message with some of its bytes flipped, cut out, said twice or replaced by junk."""
    body = bytearray(raw)
    for _ in range(chosen.randrange(1, CHANGES_MAX)):
        at = chosen.randrange(len(body) + 1)
        end = min(len(body), at + chosen.randrange(1, 40))
        match chosen.randrange(5):
            case 0 if at < len(body):
                body[at] ^= 1 << chosen.randrange(8)
            case 1:
                del body[at:end]
            case 2:
                body[at:at] = body[at:end]
            case 3:
                body[at:end] = chosen.choice(JUNK)
            case _:
                body[at:at] = chosen.choice(JUNK)
    return bytes(body)


def changed(chosen: random.Random, value: Any) -> Any:
    """The JSON value with another one somewhere in it."""
    if isinstance(value, dict | list) and value and chosen.random() < 0.9:
        key = chosen.choice(list(value)) if isinstance(value, dict) else chosen.randrange(len(value))
        inner = changed(chosen, value[key])
        if isinstance(value, dict):
            return {**value, key: inner}
        return [*value[:key], inner, *value[key + 1 :]]
    return chosen.choice(VALUES)


def message_spoilt(chosen: random.Random, raw: bytes) -> bytes:
    """Half of the time what is said is spoilt, and half of the time how it is written."""
    if chosen.random() < 0.5:
        return spoilt(chosen, raw)
    return json.dumps(changed(chosen, json.loads(raw))).encode()


def spoil(seed: int, seconds: float) -> tuple[Counter[str], list[str]]:
    """How many messages of each source were read or refused, and what a source could not stand."""
    chosen, examples = random.Random(seed), list(conformances())
    counts: Counter[str] = Counter()
    crashes: list[str] = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and not crashes:
        conformance = chosen.choice(examples)
        message = chosen.choice([*conformance.messages, *conformance.story])
        raw = message_spoilt(chosen, message.raw)
        try:
            result = conformance.source.read(raw, headers=message.headers, ref=REF)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            crashes.append(f"{conformance.source.name}: {type(error).__name__}: {error}: {raw!r}")
            continue
        assert isinstance(result, Reading | Unreadable)
        counts[f"{conformance.source.name} {'read' if isinstance(result, Reading) else 'refused'}"] += 1
    return counts, crashes


def main(arguments: Sequence[str]) -> int:
    seconds = float(arguments[0]) if arguments else SECONDS
    processes = os.cpu_count() or 1
    with ProcessPoolExecutor(processes) as pool:
        parts = list(pool.map(spoil, range(processes), [seconds] * processes))
    counts = sum((part for part, _ in parts), Counter[str]())
    crashes = [crash for _, part in parts for crash in part]
    sys.stdout.write(json.dumps({"messages": counts.total(), **dict(sorted(counts.items()))}, indent=2) + "\n")
    sys.stderr.write("".join(f"{crash}\n" for crash in crashes))
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
