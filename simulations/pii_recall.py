"""How much of the personal data in labelled texts is taken out, by type, with a lower bound."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from gateway.privacy import KnownSubjects, Scrubber
from simulations.pii_chat import Label, Message

Z_95 = 1.959963984540054


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Of `total` pieces of a type `found` were wholly taken out; `lower` is the 95 % lower bound of the share."""

    found: int
    total: int
    recall: float
    lower: float


def wilson_lower(found: int, total: int) -> float:
    """The lower end of the Wilson score interval at 95 % (Wilson 1927), 0 without any."""
    if total == 0:
        return 0.0
    share, square = found / total, Z_95 * Z_95 / total
    spread = Z_95 * math.sqrt(share * (1 - share) / total + square / (4 * total))
    return (share + square / 2 - spread) / (1 + square)


def recall_of(found: int, total: int) -> Recall:
    share = found / total if total else 0.0
    return Recall(found=found, total=total, recall=round(share, 4), lower=round(wilson_lower(found, total), 4))


def is_covered(text: str, label: Label, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether no letter and no digit of the piece is left."""
    left = {at for at in range(label.start, label.end) if text[at].isalnum()}
    for start, end in spans:
        left.difference_update(range(start, end))
    return not left


def measure(
    scrubber: Scrubber, messages: Iterable[Message], known: Sequence[KnownSubjects | None] = ()
) -> tuple[dict[str, Recall], list[tuple[str, str, str]]]:
    """Recall by type, and what was missed: (type, piece, text)."""
    found, total = Counter[str](), Counter[str]()
    missed: list[tuple[str, str, str]] = []
    for number, message in enumerate(messages):
        spans = [(each.start, each.end) for each in scrubber.find(message.text, known[number] if known else None)]
        for label in message.labels:
            total[label.type] += 1
            if is_covered(message.text, label, spans):
                found[label.type] += 1
            else:
                missed.append((label.type, message.text[label.start : label.end], message.text))
    return {kind: recall_of(found[kind], total[kind]) for kind in sorted(total)}, missed


def is_held_out(template: int) -> bool:
    """Whether a template is of the half that nothing was developed on."""
    return hashlib.sha256(f"a{template}".encode()).digest()[0] % 2 == 1
