"""Texts per second that are scrubbed, beside Presidio without a language model in the same run, and what is found."""

import gc
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec

from domain.errors import TerminalError
from domain.tenant_settings import PrivacySettings
from gateway.privacy import KnownSubjects, Scrubber
from simulations.pii_chat import HELD_OUT_TEMPLATES, Message, known_messages, messages, negatives
from simulations.pii_published import published
from simulations.pii_recall import Recall, is_held_out, measure

DETERMINISTIC = (
    "ACCOUNT",
    "CARD",
    "EMAIL",
    "IBAN",
    "IP",
    "MAC",
    "NATIONAL_ID",
    "PASSPORT",
    "PHONE",
    "SECRET",
    "SSN",
    "TAX",
)
RECALL_MIN, FALSE_MAX, RATIO_MIN = 0.99, 0.02, 10
HELD_OUT_SEED = 20_261_123
ROUNDS = 3
BATCH, TEXTS_MAX = 25, 1_000


class PrivacyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Args:
        texts_per_s: ours, of the texts that both were given.
        presidio_texts_per_s: Presidio's, with its `no_op` engine, in the same run.
        ratio: the first through the second.
        chat: recall by type on generated chat from a seed and templates that nothing was developed on.
        known_names: recall of the names of known subjects, in whatever form.
        published: recall by type on the held-out half of the published templates; empty without that file.
        false_share: texts without personal data in which some was seen.
        meets_target: recall of every deterministic type and of known names (on chat its lower bound), false share and
            ratio.
    """

    texts_per_s: int
    presidio_texts_per_s: int
    ratio: float
    chat: dict[str, Recall]
    known_names: Recall
    published: dict[str, Recall]
    false_share: float
    meets_target: bool


def bench_privacy(texts: Path | None, count: int, say: Callable[[str], None]) -> PrivacyFigures:
    """Measure on generated chat, and on the labelled texts of a file if there is one. Raises `TerminalError`."""
    scrubber = new_scrubber()
    say(f"recall on {count} messages of generated chat")
    chat, _ = measure(scrubber, messages(HELD_OUT_SEED, count, templates=HELD_OUT_TEMPLATES))
    known = known_recall(scrubber, HELD_OUT_SEED, count // 5)
    false_share = false_positives(scrubber, HELD_OUT_SEED, count // 2)
    of_file: list[Message] = []
    if texts is not None:
        try:
            of_file = published(texts)
        except (OSError, msgspec.DecodeError) as error:
            raise TerminalError(f"{str(texts)!r} is no file of labelled texts: {error}") from error
    on_file, _ = measure(scrubber, [each for each in of_file if is_held_out(each.template)])
    say("texts per second, in turns with Presidio")
    sample = [each.text for each in of_file or messages(HELD_OUT_SEED, TEXTS_MAX)]
    Random(HELD_OUT_SEED).shuffle(sample)
    ours, presidio = _rates(sample[:TEXTS_MAX], scrubber.scrub, _presidio())
    # The published texts are too few for a lower bound of 0.99: 380 of a type without a miss would be needed.
    is_sure = all(each.lower >= RECALL_MIN for each in [known, *(chat[kind] for kind in DETERMINISTIC)])
    is_found = all(on_file[kind].recall >= RECALL_MIN for kind in DETERMINISTIC if kind in on_file)
    return PrivacyFigures(
        texts_per_s=round(ours),
        presidio_texts_per_s=round(presidio),
        ratio=round(ours / presidio, 1),
        chat=chat,
        known_names=known,
        published=on_file,
        false_share=round(false_share, 4),
        meets_target=is_sure and is_found and false_share <= FALSE_MAX and ours >= RATIO_MIN * presidio,
    )


def new_scrubber(settings: PrivacySettings | None = None) -> Scrubber:
    """A scrubber of a tenant that exists nowhere else."""
    return Scrubber("bench", bytes(32), settings or PrivacySettings())


def known_recall(scrubber: Scrubber, seed: int, count: int) -> Recall:
    """Recall of the names of known subjects."""
    pairs = list(known_messages(seed, count))
    known = [KnownSubjects(names=[name]) for _, name in pairs]
    of_names, _ = measure(scrubber, [message for message, _ in pairs], known)
    return of_names["NAME"]


def false_positives(scrubber: Scrubber, seed: int, count: int) -> float:
    """The share of texts without personal data in which some is seen."""
    return sum(1 for text in negatives(seed, count) if scrubber.find(text)) / count


def _rates(texts: Sequence[str], ours: Callable[[str], object], theirs: Callable[[str], object]) -> tuple[float, float]:
    """Texts per second of processor time of both.

    In turns over all texts, each small batch's best of some rounds: what disturbs the machine is in neither figure.
    """
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    # What was loaded before is no garbage of either.
    gc.collect()
    gc.freeze()
    best_s = [[float("inf")] * len(batches) for _ in (ours, theirs)]
    for _ in range(ROUNDS):
        for scrub, best in zip((ours, theirs), best_s, strict=True):
            for number, batch in enumerate(batches):
                began_s = time.process_time()
                for text in batch:
                    scrub(text)
                best[number] = min(best[number], time.process_time() - began_s)
    gc.unfreeze()
    return len(texts) / sum(best_s[0]), len(texts) / sum(best_s[1])


def _presidio() -> Callable[[str], object]:
    """Presidio's analyzer with each recogniser that needs no model. Raises `TerminalError` if it is not installed."""
    # Its list of public suffixes is looked for on the network and then taken from the package.
    logging.getLogger("tldextract").setLevel(logging.CRITICAL)
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    try:
        from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415 - of the development group alone
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415 - as above
    except ImportError as error:
        raise TerminalError("Presidio is not installed: it is in the development group (make setup)") from error
    configuration = {"nlp_engine_name": "no_op", "models": [{"lang_code": "en", "model_name": "no_op"}]}
    engine = AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine(), supported_languages=["en"]
    )
    engine.analyze("warm up: nam@example.com", language="en")
    return lambda text: engine.analyze(text, language="en")
