"""How well questions are understood: precision and recall of each intent, on the half that nothing was developed on."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.answering.intents import Intent
from gateway.answering.language import Language
from gateway.answering.understand import understand
from simulations.pii_recall import wilson_lower
from simulations.questions_labelled import MEASURED, Labelled, published, vietnamese

RECALL_MIN = 0.90
# A bank's customers are declined by cash machines and by its app too, and whatever they ask of cards and transfers is
# taken for a question about a payment: that is told how it stands, and no more. No bar is set for the latter.
PRECISION_MIN: Mapping[Intent, float] = {
    "refund_status": 0.90,
    "charged_twice": 0.95,
    "decline_reason": 0.70,
    "dispute_status": 0.95,
    "payout_status": 0.95,
}
SPEED_TEXTS = 2_000


class IntentScore(msgspec.Struct, frozen=True, kw_only=True):
    """Of `asked` questions `found` were understood; of `taken` that were taken for it, `right` were.

    `recall_lower` is the lower end of the 95 % interval.
    """

    intent: Intent
    asked: int
    found: int
    recall: float
    recall_lower: float
    taken: int
    right: int
    precision: float


class UnderstandingReport(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of the validation half of each set, and how fast it goes."""

    published: list[IntentScore]
    vietnamese: list[IntentScore]
    vietnamese_told: float
    questions_per_s: float
    meets_target: bool


def scores(questions: Iterable[Labelled]) -> list[IntentScore]:
    """Precision and recall of each measured intent that any of the questions wants."""
    asked, found, taken, right = Counter[Intent](), Counter[Intent](), Counter[Intent](), Counter[Intent]()
    for question in questions:
        intent = understand(question.text).intent
        taken[intent] += 1
        right[intent] += intent in question.intents
        for wanted in question.intents & set(MEASURED):
            asked[wanted] += 1
            # What may be called either way is found under either name.
            found[wanted] += intent in question.intents
    return [
        IntentScore(
            intent=intent,
            asked=asked[intent],
            found=found[intent],
            recall=round(found[intent] / asked[intent], 3),
            recall_lower=round(wilson_lower(found[intent], asked[intent]), 3),
            taken=taken[intent],
            right=right[intent],
            precision=round(right[intent] / taken[intent], 3) if taken[intent] else 0.0,
        )
        for intent in MEASURED
        if asked[intent]
    ]


def is_good(of: Sequence[IntentScore]) -> bool:
    """Whether every intent is found often enough, and nothing else is taken for it."""
    return all(each.recall >= RECALL_MIN and each.precision >= PRECISION_MIN.get(each.intent, 0.0) for each in of)


def told_as(questions: Iterable[Labelled], language: Language) -> float:
    """The share of the questions that are taken for questions in the language."""
    told = [understand(question.text).language == language for question in questions]
    return sum(told) / len(told)


def bench_understanding(train: Path | None, say: Callable[[str], None]) -> UnderstandingReport:
    """Measure. `train` is banking77's `train.csv`; without it only the generated questions are measured."""
    held_out = [each for each in vietnamese() if each.half == "validation"]
    say(f"{len(held_out)} generated questions in Vietnamese, of templates that nothing was developed on")
    of_vietnamese = scores(held_out)
    of_published: list[IntentScore] = []
    timed = [each.text for each in held_out]
    if train is not None:
        questions = [each for each in published(train) if each.half == "validation"]
        say(f"{len(questions)} published questions")
        of_published = scores(questions)
        timed = [each.text for each in questions]
    began_s = time.process_time()
    for at in range(SPEED_TEXTS):
        understand(timed[at % len(timed)])
    return UnderstandingReport(
        published=of_published,
        vietnamese=of_vietnamese,
        vietnamese_told=round(told_as(held_out, "vi"), 3),
        questions_per_s=round(SPEED_TEXTS / (time.process_time() - began_s)),
        meets_target=is_good(of_vietnamese) and is_good(of_published),
    )
