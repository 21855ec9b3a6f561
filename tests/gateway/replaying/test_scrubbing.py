"""Every text of every event is either scrubbed or known to be none that a person wrote."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest

from domain.codec import EVENT_TYPES
from domain.effects import Effect, EffectRequested
from gateway.privacy.scrub import scrub
from gateway.replaying.scrubbing import FREE_TEXT, scrubbed
from tests.golden.events import EXPECTED, RECORDED_AT

# Ids and codes of providers' and of ours, and what names a place: by the field's name, whatever struct it is in.
NOT_WRITTEN = frozenset(
    """
    answer_id as_of attachments author checksum composer conversation_id currency cursor document_id documents etag
    event_id event_type fact_id fact_ids fields id intent key kind language layout message_id message_ids model object
    on_late_success on_timeout payment_id provider raw reason reference refers_to reply_to resolution result source
    status step tenant topic counts act check outcome run_id runbook name targets undo verify
    action at_risk_minor budget_burnt misstated_minor severity subject watch
    """.split()
)


def texts(struct: type[msgspec.Struct], seen: set[type]) -> Iterator[tuple[type, str]]:
    """The fields that may hold text, of a struct and of those within."""
    if struct in seen:
        return
    seen.add(struct)
    for field in msgspec.structs.fields(struct):
        for part in _parts(field.type):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                yield from texts(part, seen)
            elif part is str:
                yield struct, field.name


def _parts(kind: Any) -> Iterator[Any]:
    inner = get_args(kind)
    yield from (part for each in inner for part in _parts(each)) if inner else iter((kind,))


def test_every_text_of_an_event_is_scrubbed_or_known_to_be_none() -> None:
    seen: set[type] = set()
    unknown = [
        f"{struct.__name__}.{name}"
        for event in EVENT_TYPES.values()
        for struct, name in texts(event, seen)
        if name not in FREE_TEXT.get(struct, ()) and name not in NOT_WRITTEN
        if not (struct.__name__ == "DocumentPublished" and name == "metadata")
    ]

    assert unknown == []


def test_every_field_that_is_scrubbed_exists() -> None:
    for struct, names in FREE_TEXT.items():
        assert issubclass(struct, msgspec.Struct)
        assert set(names) <= set(struct.__struct_fields__)


@pytest.mark.parametrize("tag", EVENT_TYPES)
def test_what_has_nothing_personal_in_it_leaves_as_it_was(tag: str) -> None:
    event = next(envelope.event for (of, _), envelope in EXPECTED.items() if of == tag)

    assert scrubbed(event, scrub) == event


def test_what_is_deep_inside_is_found() -> None:
    effect = Effect(kind="reply", due_at=RECORDED_AT, text="Call 0912 345 678", to="nguyen.an@example.com")
    cleaned = scrubbed(EffectRequested(effect=effect), scrub)

    assert isinstance(cleaned, EffectRequested)
    assert (cleaned.effect.text, cleaned.effect.to) == ("Call <phone>", "<email>")
