"""Recall by type on texts that nothing was developed on, and what is seen where nothing is."""

import json
from pathlib import Path

import pytest

from simulations.bench_privacy import (
    DETERMINISTIC,
    FALSE_MAX,
    HELD_OUT_SEED,
    RECALL_MIN,
    false_positives,
    known_recall,
    new_scrubber,
)
from simulations.pii_chat import HELD_OUT_TEMPLATES, messages
from simulations.pii_published import published
from simulations.pii_recall import is_held_out, measure, wilson_lower

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NAMES_FLOOR, ADDRESSES_FLOOR = 0.70, 0.78


def data_file(name: str) -> Path:
    """A file of the shared examples, read where they lie."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"there is no {path}: recall on it is NOT measured")
    return path


def test_the_generator_labels_exactly_and_the_same_seed_gives_the_same_messages() -> None:
    first, again = (list(messages(7, 300)) for _ in range(2))

    assert first == again
    for message in first:
        for label in message.labels:
            piece = message.text[label.start : label.end]
            assert piece == piece.strip()
            assert piece


def test_wilson_bounds_are_those_of_the_tables() -> None:
    assert wilson_lower(0, 0) == 0.0
    assert round(wilson_lower(380, 380), 3) == 0.990
    assert round(wilson_lower(81, 100), 4) == 0.7222


@pytest.mark.long
def test_deterministic_types_are_found_on_held_out_chat() -> None:
    recall, missed = measure(new_scrubber(), messages(HELD_OUT_SEED, 3_000, templates=HELD_OUT_TEMPLATES))

    assert set(DETERMINISTIC) < set(recall)
    assert {kind: recall[kind] for kind in DETERMINISTIC if recall[kind].recall < RECALL_MIN} == {}, missed[:5]


@pytest.mark.long
def test_names_of_known_subjects_are_found_with_a_lower_bound_of_099() -> None:
    assert known_recall(new_scrubber(), HELD_OUT_SEED, 1_500).lower >= RECALL_MIN


def test_at_most_two_in_a_hundred_texts_without_personal_data_are_changed() -> None:
    assert false_positives(new_scrubber(), HELD_OUT_SEED, 1_000) <= FALSE_MAX


def test_deterministic_types_are_found_in_published_texts_of_held_out_templates() -> None:
    texts = published(data_file("pii/presidio-research/generated_large.json"))

    recall, missed = measure(new_scrubber(), [each for each in texts if is_held_out(each.template)])

    of_interest = [kind for kind in DETERMINISTIC if kind in recall]
    assert of_interest == ["CARD", "EMAIL", "IBAN", "PHONE", "SSN"]
    assert {kind: recall[kind] for kind in of_interest if recall[kind].recall < RECALL_MIN} == {}, missed[:5]
    assert recall["NAME"].recall >= NAMES_FLOOR
    assert recall["ADDRESS"].recall >= ADDRESSES_FLOOR


def test_given_names_that_no_list_of_ours_has_are_found_with_their_family_name() -> None:
    given = data_file("pii/vn-names/girl.txt").read_text(encoding="utf-8").split("\n")

    recall, _ = measure(
        new_scrubber(), messages(HELD_OUT_SEED, 1_000, templates=["Chào shop, mình là {name} ạ"], given=given)
    )

    assert recall["NAME"].recall >= 0.9


def test_questions_of_bank_customers_are_left_as_they_are() -> None:
    rows = data_file("banking77/train.csv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [row.rsplit(",", 1)[0] for row in rows[::5]]
    scrubber = new_scrubber()

    changed = [text for text in texts if scrubber.find(text)]

    assert len(changed) / len(texts) <= FALSE_MAX, changed[:5]


def test_dialogue_of_support_agents_is_seldom_changed() -> None:
    folds = sorted((DATA / "nlupp_banking").glob("fold*.json"))[:5]
    if not folds:
        pytest.skip(f"there is no {DATA / 'nlupp_banking'}: false findings on it are NOT measured")
    texts = [row["text"] for fold in folds for row in json.loads(fold.read_text(encoding="utf-8"))]
    scrubber = new_scrubber()

    assert sum(1 for text in texts if scrubber.find(text)) / len(texts) <= FALSE_MAX
