"""Whether a text of a model says of payments only what the facts say. Whatever cannot be decided is a no."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Literal

import msgspec

from domain.evidence import PaymentEvidence
from gateway.answering import reasons, vietnamese_reasons
from gateway.answering.amounts import Amount
from gateway.answering.claims import Concept, ObjectNoun, Piece, claims_in
from gateway.answering.language import language_of
from gateway.answering.speech import Speech
from gateway.answering.statements import deciding
from gateway.answering.words import plain, words

TEXT_CHARS_MAX = 2_000

# Why a text is refused. Stable: it is a label of a metric (docs/answers.md).
Violation = Literal[
    "empty",
    "too_long",
    "script",
    "language",
    "id",
    "amount",
    "date",
    "number",
    "status",
    "reason",
    "promise",
    "omission",
]


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What is so of one object. `days` are those on which its status came about, `returned_minor` of a payment."""

    id: str
    noun: ObjectNoun
    payment_id: str
    status: str
    currency: str
    amounts_minor: frozenset[int]
    days: frozenset[date]
    returned_minor: int = 0
    total_minor: int = 0

    def has(self, amount: Amount) -> bool:
        return amount.amount_minor in self.amounts_minor and amount.currency in {"", self.currency}


_UNFINISHED = frozenset({"pending", "processing", "requires_action", "in_transit"})
_IS: Mapping[Concept, Callable[[Truth], bool | None]] = {
    "returned": lambda of: {"refund": of.status == "succeeded", "payment": of.returned_minor > 0}.get(of.noun),
    "succeeded": lambda of: None if of.noun == "dispute" else of.status in {"succeeded", "captured", "paid"},
    "taken": lambda of: of.status in {"captured", "paid"} if of.noun in {"payment", "payout"} else None,
    "failed": lambda of: of.status == "failed",
    "canceled": lambda of: of.status == "canceled",
    "pending": lambda of: of.status in _UNFINISHED,
    "waiting": lambda of: of.status in ({"pending", "requires_action"} if of.noun == "payment" else _UNFINISHED),
    "unpaid": lambda of: of.status in ({"pending"} if of.noun == "payment" else _UNFINISHED),
    "processing": lambda of: of.status in ({"processing"} if of.noun == "payment" else _UNFINISHED),
    "action": lambda of: of.status == "requires_action",
    "authorized": lambda of: of.status == "authorized" if of.noun == "payment" else None,
    "inquiry": lambda of: of.status == "inquiry" if of.noun == "dispute" else None,
    "open": lambda of: of.status == "open" if of.noun == "dispute" else None,
    "under_review": lambda of: of.status == "under_review" if of.noun == "dispute" else None,
    "won": lambda of: of.status == "won" if of.noun == "dispute" else None,
    "lost": lambda of: of.status == "lost" if of.noun == "dispute" else None,
    "in_transit": lambda of: of.status == "in_transit" if of.noun == "payout" else None,
}


class _Segment(msgspec.Struct, kw_only=True):
    """Pieces that speak of the same objects: up to one stop or, where something was said, to the next break."""

    pieces: list[Piece]


def truths_of(payments: Iterable[PaymentEvidence], speech: Speech) -> list[Truth]:
    """What is so of each payment and of its parts, with days where the asker is."""
    found = []
    for evidence in payments:
        view = evidence.view
        decided = deciding(evidence)
        parts = [("refund", each) for each in view.refunds] + [("dispute", each) for each in view.disputes]
        parts += [("payout", each) for each in view.payouts]
        returned = [each.amount_minor for each in view.refunds if each.status == "succeeded"]
        if not view.payouts:
            found.append(
                Truth(
                    id=view.payment_id.lower(),
                    noun="payment",
                    payment_id=view.payment_id.lower(),
                    status=view.status,
                    currency=view.currency,
                    amounts_minor=frozenset({view.amount_minor, view.captured_minor} - {0}),
                    days=frozenset({decided.occurred_at.astimezone(speech.zone).date()} if decided.is_own else ()),
                    returned_minor=sum(returned),
                    total_minor=view.captured_minor or view.amount_minor,
                )
            )
        found += [
            Truth(
                id=part.id.lower(),
                noun=noun,  # type: ignore[arg-type]  # one of the three above
                payment_id=view.payment_id.lower(),
                status=part.status,
                currency=view.currency,
                amounts_minor=frozenset({part.amount_minor}),
                days=frozenset({evidence.of(f"{noun}:{part.id}").occurred_at.astimezone(speech.zone).date()}),
            )
            for noun, part in parts
        ]
    return found


def violation(text: str, facts: str, truths: Sequence[Truth], speech: Speech) -> Violation | None:
    """Why a text may not be said in place of `facts`, the sentences of the templates; `None` if it may."""
    if (refused := _form(text, speech)) is not None:
        return refused
    explained = _explained(facts, truths)
    text = _without(plain(text), explained)
    if any(phrase in text.lower() for phrase in _REASONS):
        return "reason"
    told = claims_in(text, speech.language)
    given = claims_in(_without(facts, explained), speech.language)
    doubts = {each.text.lower() for each in given if each.kind == "doubt"}
    numbers = {each.text for each in given if each.kind == "number"}
    for piece in told:
        if piece.kind == "doubt" and piece.text.lower() not in doubts:
            return "promise"
        if piece.kind == "number" and piece.text not in numbers:
            return "number"
    checked = _Check(truths)
    for segment in _segments(told):
        if (refused := checked.refusal(segment)) is not None:
            return refused
    required = _Check(truths)
    for segment in _segments(given):
        required.refusal(segment)
    return None if required.said <= checked.said else "omission"


_REASONS = frozenset(
    phrase
    for tables in (reasons, vietnamese_reasons)
    for table in (tables.FAILURES, tables.CANCELLATIONS, tables.CLAIMS)
    for phrase in table.values()
    if " " in phrase
)


def _form(text: str, speech: Speech) -> Violation | None:
    """Whether it is a text in the language of the question at all."""
    if not text.strip():
        return "empty"
    if len(text) > TEXT_CHARS_MAX:
        return "too_long"
    if any(_is_foreign(letter) for letter in text):
        return "script"
    return "language" if language_of(text, words(text)) != speech.language else None


def _is_foreign(letter: str) -> bool:
    """Whether it only looks like one of ours: letters of other scripts, digits of others, what cannot be seen."""
    if letter.isascii():
        return not (letter.isprintable() or letter == "\n")
    category = unicodedata.category(letter)
    if category.startswith("L"):
        return not unicodedata.name(letter, "").startswith("LATIN") or plain(letter) != letter
    return category.startswith(("N", "C", "M", "Zl", "Zp"))


def _explained(facts: str, truths: Sequence[Truth]) -> list[str]:
    """What the facts say in brackets: reasons, and ids, which are left where they are."""
    brackets = [part.partition(")")[0].lower() for part in facts.split("(")[1:]]
    return [phrase for phrase in brackets if not any(each.id in phrase for each in truths)]


def _without(text: str, explained: Sequence[str]) -> str:
    """The text without the reasons that the facts give: they hold words that would be read as claims."""
    for phrase in sorted(explained, key=len, reverse=True):
        at = text.lower().find(phrase) if phrase else -1
        while at >= 0:
            text = f"{text[:at]}{text[at + len(phrase) :]}"
            at = text.lower().find(phrase)
    return text


def _segments(pieces: Iterable[Piece]) -> list[_Segment]:
    segments = [_Segment(pieces=[])]
    for piece in pieces:
        current = segments[-1].pieces
        is_end = piece.kind == "stop" or (piece.kind == "break" and any(each.kind == "concept" for each in current))
        if is_end:
            segments.append(_Segment(pieces=[]))
        elif piece.kind != "break":
            current.append(piece)
    return segments


class _Check:
    """Goes through a text segment by segment: one that names nothing speaks of what the one before spoke of.

    `said` collects of which objects it said how they stand.
    """

    def __init__(self, truths: Sequence[Truth]) -> None:
        self._truths = truths
        self._meant: Sequence[Truth] = truths
        self.said: set[str] = set()

    def refusal(self, segment: _Segment) -> Violation | None:
        """Why the segment may not be said."""
        pieces = segment.pieces
        ids = {each.text.lower() for each in pieces if each.kind == "id"}
        if not ids <= {each.id for each in self._truths}:
            return "id"
        nouns = [each for each in pieces if each.kind == "noun"]
        named = [each for each in self._truths if each.id in ids]
        families = {each.payment_id for each in named} or {each.payment_id for each in self._meant}
        if len(families) > 1 and any(each.noun != "payment" for each in named):
            # Parts of one payment beside another payment: whose part it is said to be cannot be told.
            return "id"
        for noun in nouns:
            exists = any(each.noun == noun.noun and each.payment_id in families for each in self._truths)
            if exists == noun.is_negated and noun.noun != "payment":
                return "status"
        self._meant = self._subjects(named, nouns, families) or self._meant
        concepts = [each for each in pieces if each.kind == "concept"]
        is_returned = any(each.concept == "returned" and not each.is_negated for each in concepts)
        return (
            self._amounts(pieces, families, is_returned=is_returned)
            or self._dates(pieces, is_returned=is_returned)
            or self._statuses(concepts, [each for each in pieces if each.kind == "amount"])
        )

    def _subjects(self, named: Sequence[Truth], nouns: Sequence[Piece], families: set[str]) -> Sequence[Truth]:
        """Of what the segment speaks: the parts that it names, else the payments; else what its nouns mean."""
        if named:
            parts = [each for each in named if each.noun != "payment"]
            if parts:
                return parts
            spoken_of = {each.noun for each in nouns if not each.is_negated} - {"payment"}
            of_nouns = [each for each in self._truths if each.noun in spoken_of and each.payment_id in families]
            return of_nouns or named
        pointed = {each.noun for each in nouns} - {each.noun for each in nouns if not each.is_pointed}
        if of_before := [each for each in self._meant if each.noun in pointed]:
            return of_before
        spoken_of = {each.noun for each in nouns if not each.is_negated}
        for wanted in (spoken_of - {"payment"}, spoken_of):
            found = [each for each in self._truths if each.noun in wanted and each.payment_id in families]
            if found:
                return found
        return ()

    def _amounts(self, pieces: Sequence[Piece], families: set[str], *, is_returned: bool) -> Violation | None:
        """Every amount is one of the object whose noun or id stands nearest before it, else of what is spoken of."""
        bound: ObjectNoun | None = None
        for piece in pieces:
            if piece.kind == "noun":
                bound = piece.noun
            elif piece.kind == "id":
                bound = next((each.noun for each in self._truths if each.id == piece.text.lower()), bound)
            elif piece.kind == "amount" and piece.amount is not None:
                owners = [each for each in self._truths if each.noun == bound and each.payment_id in families]
                owners = owners or self._owners(is_returned=is_returned)
                if not any(each.has(piece.amount) for each in owners):
                    return "amount"
        return None

    def _owners(self, *, is_returned: bool) -> list[Truth]:
        """Whose amounts and days may stand beside what is spoken of: of money returned, the refunds."""
        if not is_returned:
            return list(self._meant)
        families = {each.payment_id for each in self._meant}
        own = [each for each in self._meant if each.noun == "refund"]
        return own or [each for each in self._truths if each.noun == "refund" and each.payment_id in families]

    def _dates(self, pieces: Sequence[Piece], *, is_returned: bool) -> Violation | None:
        days = {day for each in self._owners(is_returned=is_returned) for day in each.days}
        for piece in pieces:
            if piece.kind == "date":
                year, month, day = piece.day
                if not any((each.month, each.day) == (month, day) and year in {0, each.year} for each in days):
                    return "date"
        return None

    def _statuses(self, concepts: Sequence[Piece], amounts: Sequence[Piece]) -> Violation | None:
        for piece in concepts:
            assert piece.concept is not None, "a concept says which"
            states = [(each, _IS[piece.concept](each)) for each in self._meant]
            known = [(each, state) for each, state in states if state is not None]
            if not known or any(state == piece.is_negated for _, state in known):
                return "status"
            if piece.concept == "returned" and not piece.is_negated:
                # A payment is refunded if all of it is; of less it is to be said how much.
                partly = [
                    each for each, _ in known if each.noun == "payment" and each.returned_minor < each.total_minor
                ]
                if partly and not amounts:
                    return "amount"
            if not piece.is_negated:
                self.said |= {each.id for each, _ in known}
        return None
