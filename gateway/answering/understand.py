"""What a question asks for: its intent and language, and the ids, amounts and days in it."""

from datetime import date

import msgspec

from gateway.answering.amounts import Amount, amounts_in
from gateway.answering.days import Days, days_in
from gateway.answering.intents import Intent, intent_of
from gateway.answering.language import Language, language_of
from gateway.answering.references import Named, Reference, references_in
from gateway.answering.words import plain, words

QUESTION_CHARS_MAX = 2_000


class Understanding(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked. Ids stand in order of mention; `days` are in the past of whoever asks."""

    intent: Intent
    language: Language = "en"
    references: tuple[Reference, ...] = ()
    amounts: tuple[Amount, ...] = ()
    days: Days | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(each.id for each in self.references)


_SIGNALS: dict[Named, str] = {
    "payment": "payment_id",
    "refund": "refund_id",
    "dispute": "dispute_id",
    "payout": "payout_id",
    "order": "order_id",
}


def understand(question: str, today: date | None = None) -> Understanding:
    """Read a question's first 2,000 characters. Its days are told only where it is known which day it is."""
    question = plain(question[:QUESTION_CHARS_MAX])
    spoken = words(question)
    references = references_in(question)
    return Understanding(
        intent=intent_of(spoken, {_SIGNALS[each.of] for each in references}),
        language=language_of(question, spoken),
        references=tuple(references),
        amounts=tuple(dict.fromkeys(found.amount for found in amounts_in(question))),
        days=days_in(question, today) if today is not None else None,
    )
