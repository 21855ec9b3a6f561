"""The oldest bytes load for good, and today's events are written as they always were."""

from pathlib import Path

import msgspec
import pytest

from domain.codec import EVENT_TYPES, UPCASTERS, Envelope, decode_envelope, encode_envelope
from domain.document import DocumentPublished
from domain.payment_policy import Policy
from tests.golden.events import EXPECTED
from tests.golden.files import GOLDEN, golden_file
from tests.golden.write import untold, write


def schema_of(tag: str) -> int:
    """The schema in which an event is written today."""
    return max((schema + 1 for of_tag, schema in UPCASTERS if of_tag == tag), default=1)


def test_every_event_has_golden_bytes_of_every_schema() -> None:
    wanted = {(tag, schema) for tag in EVENT_TYPES for schema in range(1, schema_of(tag) + 1)}

    assert set(EXPECTED) == wanted
    assert {path.name for path in GOLDEN.glob("*.msgpack")} == {golden_file(*key).name for key in wanted}


@pytest.mark.parametrize(("tag", "schema"), EXPECTED)
def test_golden_bytes_are_read_as_what_they_meant(tag: str, schema: int) -> None:
    assert decode_envelope(golden_file(tag, schema).read_bytes()) == EXPECTED[tag, schema]


@pytest.mark.parametrize("tag", EVENT_TYPES)
def test_what_is_read_is_written_again_as_it_was(tag: str) -> None:
    """Also by type: 3 equals 3.0 and is not the same bytes."""
    stored = golden_file(tag, schema_of(tag)).read_bytes()

    assert encode_envelope(decode_envelope(stored)) == (tag, stored)


@pytest.mark.parametrize("tag", EVENT_TYPES)
def test_todays_bytes_are_the_golden_ones(tag: str) -> None:
    schema = schema_of(tag)

    assert encode_envelope(EXPECTED[tag, schema]) == (tag, golden_file(tag, schema).read_bytes())


@pytest.mark.parametrize(("tag", "schema"), EXPECTED)
def test_every_golden_event_carries_its_own_tag_and_todays_schema(tag: str, schema: int) -> None:
    envelope = EXPECTED[tag, schema]

    assert type(envelope.event) is EVENT_TYPES[tag]
    assert envelope.schema == schema_of(tag)


DOCUMENT = ("document.withdrawn", 1)


def test_golden_bytes_are_written_once(tmp_path: Path) -> None:
    one = {DOCUMENT: EXPECTED[DOCUMENT]}

    assert write(one, tmp_path) == [golden_file(*DOCUMENT, tmp_path)]
    assert write(one, tmp_path) == []


def test_golden_bytes_are_never_overwritten(tmp_path: Path) -> None:
    path = golden_file(*DOCUMENT, tmp_path)
    path.write_bytes(b"as it was")

    with pytest.raises(ValueError, match="other bytes"):
        write({DOCUMENT: EXPECTED[DOCUMENT]}, tmp_path)
    assert path.read_bytes() == b"as it was"


def test_golden_bytes_that_would_hide_a_field_are_not_written(tmp_path: Path) -> None:
    event = DocumentPublished(document_id="refunds", version=1, title="", text="x")
    silent = msgspec.structs.replace(EXPECTED[DOCUMENT], event=event, commit="")

    with pytest.raises(ValueError, match=r"\.commit, \.event\.metadata"):
        write({DOCUMENT: silent}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_bytes_of_an_old_schema_that_are_gone_are_not_made_up(tmp_path: Path) -> None:
    upcast = msgspec.structs.replace(EXPECTED[DOCUMENT], schema=2)

    with pytest.raises(ValueError, match="is gone"):
        write({DOCUMENT: upcast}, tmp_path)


def test_every_golden_event_tells_all_its_fields_except_those_that_were_added_later() -> None:
    """Names an event's added fields."""
    of_record = ("basis", "basis.known_to", "basis.known_at", "basis.fact_positions", "basis.language")
    reasons = ("reason", "refunds[0].reason", "disputes[0].reason")
    of_payment = ("stated[0].captured_minor", "stated[0].payouts", *(f"stated[0].{name}" for name in reasons))
    of_start = ("provider", "policy", *(f"policy.{name}" for name in Policy.__struct_fields__))
    added_later = {"document.published.event.text_format"} | {
        f"answer.given.event.record.{name}" for name in (*of_record, *of_payment)
    }
    added_later |= {
        f"answer.invalidated.event.untrue[0].{side}.{name}"
        for side in ("said", "so")
        for name in (*reasons, "payouts[0].reason")
    }
    added_later |= {f"payment.started.event.{name}" for name in of_start}
    added_later |= {f"index.generation_started.event.{name}" for name in ("model", "layout")}

    assert {f"{tag}{name}" for (tag, _), each in EXPECTED.items() for name in untold(each)} == added_later


def test_an_envelope_keeps_nothing_but_what_was_told() -> None:
    bare = Envelope(event=EXPECTED["payment.linked", 1].event, recorded_at=EXPECTED[DOCUMENT].recorded_at)
    _, encoded = encode_envelope(bare)

    assert set(msgspec.msgpack.decode(encoded)) == {"event", "recorded_at"}
    assert decode_envelope(encoded) == bare
