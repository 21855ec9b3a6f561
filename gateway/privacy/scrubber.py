"""Free text without the personal data in it: each piece is replaced by a token that is stable within its tenant."""

import hmac
import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import msgspec

from domain.tenant_settings import PrivacySettings
from gateway.privacy import vocabulary as words
from gateway.privacy.addresses import addresses
from gateway.privacy.credentials import credentials, cued_credentials
from gateway.privacy.cued import cued
from gateway.privacy.emails import emails, spelled
from gateway.privacy.found import IMPERSONAL, TYPES, Found, apart, without
from gateway.privacy.names import closed, names
from gateway.privacy.numbers import (
    IBAN_DIGITS_MIN,
    SCANNED_DIGITS_MIN,
    SSN_DIGITS,
    cards,
    ibans,
    impersonal,
    network_addresses,
    own_form_ids,
    scanned_cards,
)
from gateway.privacy.phones import PHONE_DIGITS_MIN, phones
from gateway.privacy.view import View
from gateway.privacy.vocabulary import Hit, hits

TOKEN_DIGITS = 4
_PIECE_RE = re.compile(r"[^\W_\0](?:[^\0]*[^\W_\0])?")
_DIGIT_RE = re.compile(r"[0-9]")
_TOKEN_RE = re.compile(rf"<(?:(?:{'|'.join(TYPES)})_[0-9a-f]{{{TOKEN_DIGITS}}}|{'|'.join(TYPES).lower()})>")


class Known(Protocol):
    """Who is known to be spoken of: `KnownSubjects`, or whom webhooks told us of (`Remembered`)."""

    def find(self, view: View) -> list[Found]:
        """Where any of them is spoken of."""


class Scrubbed(msgspec.Struct, frozen=True, kw_only=True):
    """A text without personal data, and how many pieces of each type were taken out."""

    text: str
    counts: dict[str, int]


class Scrubber:
    """Takes personal data out of one tenant's texts.

    Args:
        tenant: whose texts.
        key: what tokens are made with (`tenant_key`).
        settings: what is looked for.
    """

    def __init__(self, tenant: str, key: bytes, settings: PrivacySettings) -> None:
        self._prefix = tenant.encode() + b"\0"
        self._key = key
        self._settings = settings

    def scrub(self, text: str, known: Known | None = None) -> Scrubbed:
        """The text with tokens such as `<PHONE_7f3a>`: the same value gives the same token, in this tenant alone.

        Args:
            text: in any language; Vietnamese and English are understood.
            known: who is known to be spoken of.
        """
        counts: Counter[str] = Counter()
        parts: list[str] = []
        at = 0
        for found in self.find(text, known):
            parts += [text[at : found.start], found.token or self.token(found.type, found.canonical)]
            counts[found.type] += 1
            at = found.end
        if not parts:
            return Scrubbed(text=text, counts={})
        parts.append(text[at:])
        return Scrubbed(text="".join(parts), counts=dict(counts))

    def token(self, kind: str, canonical: str) -> str:
        """What stands for a value: keyed, so that no one without the key can try values out."""
        value = hmac.digest(self._key, self._prefix + f"{kind}\0{canonical}".encode(errors="replace"), "sha256")
        return f"<{kind}_{value.hex()[:TOKEN_DIGITS]}>"

    def find(self, text: str, known: Known | None = None) -> list[Found]:
        """What is personal in a text, in order, by where it stands in the text as it came."""
        view = View(text)
        search = _Search(view, hits(view.flat), self._settings)
        search.run(known)
        found = sorted(each for each in search.found if each.type != IMPERSONAL)
        if view.is_original:
            return found
        return [Found(*view.in_original(each.start, each.end), *each[2:]) for each in found]


class _Search:
    """One text, searched in an order in which the surer finding comes first; what is found hides from the rest."""

    def __init__(self, view: View, of_text: Sequence[Hit], settings: PrivacySettings) -> None:
        self._view = view
        self._hits = of_text
        self._settings = settings
        self._text = view.text
        self._groups = 0
        for hit in of_text:
            self._groups |= hit.groups
        self.found: list[Found] = []

    def run(self, known: Known | None) -> None:
        view, of_text, region = self._view, self._hits, self._settings.region
        if "<" in self._text:
            self._take([Found(*match.span(), IMPERSONAL, "") for match in _TOKEN_RE.finditer(self._text)])
        self._take(credentials(view, self._text))
        if "@" in self._text:
            self._take(emails(self._text))
        if known is not None:
            self._take(known.find(view))
        if self._groups & (words.AT | words.DIGIT) or "@" in self._text:
            self._take(spelled(view, self._text, of_text, region))
        digits = len(_DIGIT_RE.findall(self._text))
        if digits:
            self._numbers(region, digits)
        self._take(addresses(view, self._text, of_text))
        self._take(names(view, self._text, of_text, with_gazetteer=self._settings.names != "known"))
        if self._settings.names == "closed":
            self._take(closed(view, self._text))

    def _numbers(self, region: str, digits: int) -> None:
        """What has digits. How many there are in all, and which signs, says what cannot be there."""
        self._take(impersonal(self._text))
        if self._groups & words.KEY:
            self._take(cued_credentials(self._text, self._hits))
        if digits >= IBAN_DIGITS_MIN:
            self._take(ibans(self._text))
        if digits >= SCANNED_DIGITS_MIN:
            self._take(cards(self._text))
            self._take(scanned_cards(self._text))
        self._take(network_addresses(self._text))
        if digits >= SSN_DIGITS:
            self._take(own_form_ids(self._text))
        self._take(cued(self._view, self._text, self._hits, region))
        if digits >= PHONE_DIGITS_MIN:
            self._take(phones(self._text, region))

    def _take(self, found: Sequence[Found]) -> None:
        if not found:
            return
        fresh = [piece for each in apart(found) for piece in self._pieces(each)]
        self._text = without(self._text, fresh)
        self.found += fresh

    def _pieces(self, found: Found) -> Sequence[Found]:
        """What is not hidden yet of a finding: all of it, or what is left beside earlier ones."""
        if "\0" not in self._text[found.start : found.end]:
            return (found,)
        pieces = _PIECE_RE.finditer(self._text, found.start, found.end)
        return [Found(*piece.span(), *found[2:]) for piece in pieces]
