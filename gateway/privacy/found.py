"""What was found in a text, and the types that it can be of."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

EMAIL, PHONE, CARD, IBAN, IP, MAC = "EMAIL", "PHONE", "CARD", "IBAN", "IP", "MAC"
NATIONAL_ID, SSN, PASSPORT, LICENCE, TAX, ACCOUNT = "NATIONAL_ID", "SSN", "PASSPORT", "LICENCE", "TAX", "ACCOUNT"
SECRET, NAME, ADDRESS = "SECRET", "NAME", "ADDRESS"
TYPES = (EMAIL, PHONE, CARD, IBAN, IP, MAC, NATIONAL_ID, SSN, PASSPORT, LICENCE, TAX, ACCOUNT, SECRET, NAME, ADDRESS)
# Nobody's: an order number, a date. It stays, and nothing else is seen in it.
IMPERSONAL = ""

# Neither a letter, a digit nor white space: no pattern reaches over it. Views have no such character of their own.
_BLANK = "\0"


class Found(NamedTuple):
    """A part of a view that is of a type, and its value in the one form that all its spellings share.

    `token` stands for the value where only that is known any more.
    """

    start: int
    end: int
    type: str
    canonical: str
    token: str = ""


def without(text: str, found: Sequence[Found]) -> str:
    """The text, as long as before, with blanks where something was found. `found` is in order and apart."""
    if not found:
        return text
    parts: list[str] = []
    at = 0
    for each in found:
        parts += [text[at : each.start], _BLANK * (each.end - each.start)]
        at = each.end
    parts.append(text[at:])
    return "".join(parts)


def apart(found: Iterable[Found]) -> list[Found]:
    """Those that begin first, and of them the longest, without what overlaps them."""
    kept: list[Found] = []
    end = 0
    for each in sorted(found, key=lambda one: (one.start, -one.end)):
        if each.start >= end:
            kept.append(each)
            end = each.end
    return kept
