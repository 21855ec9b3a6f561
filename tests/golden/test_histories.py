"""Whatever was recorded is folded to what it was always folded to."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from domain import payment
from domain.codec import EVENT_TYPES, AnyEvent, Upcaster, decode_envelope, tag_of
from domain.document import DocumentDecider, DocumentPublished
from domain.fact import Fact
from domain.ids import Category
from domain.lifecycle import LIFECYCLES
from domain.payment_saga import PaymentDecider
from tests.golden.events import EXPECTED
from tests.golden.files import GOLDEN, history_file
from tests.golden.histories import HISTORIES, History
from tests.golden.recorded import Recorded, read_history, refolded, write_histories

NAMES = sorted(HISTORIES)


def recorded(name: str) -> Recorded:
    return read_history(history_file(name, HISTORIES[name].number))


def test_every_history_is_recorded_and_what_is_recorded_has_an_entry() -> None:
    wanted = {
        history_file(name, number).name for name, each in HISTORIES.items() for number in range(1, each.number + 1)
    }

    assert {path.name for path in (GOLDEN / "streams").iterdir()} == wanted


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_history_is_folded_to_the_recorded_state(name: str) -> None:
    history = recorded(name)

    assert refolded(history.category, history.events) == (history.state, history.folded)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_is_what_the_history_tells(name: str) -> None:
    told = [EXPECTED[step].event if isinstance(step, tuple) else step for step in HISTORIES[name].steps]

    assert [decode_envelope(each).event for each in recorded(name).events] == told


def test_the_histories_have_every_kind_of_aggregate_every_event_and_every_lifecycle() -> None:
    facts: list[Fact] = []
    tags = set()
    for name in NAMES:
        for stored in recorded(name).events:
            event = decode_envelope(stored).event
            tags.add(tag_of(type(event)))
            facts += [event.fact] if hasattr(event, "fact") else []

    assert {each.category for each in HISTORIES.values()} == set(get_args(Category))
    assert tags == set(EVENT_TYPES)
    assert {(fact.provider, fact.kind, fact.status) for fact in facts} >= {
        (*of, status) for of, table in LIFECYCLES.items() for status in table.moves
    }


def failing() -> set[str]:
    """The histories that come to something else than they did."""
    return {
        name
        for name in NAMES
        if refolded((history := recorded(name)).category, history.events) != (history.state, history.folded)
    }


def test_a_fold_that_changed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing() == set()
    precedence = payment.precedence
    monkeypatch.setattr(payment, "precedence", lambda fact: (0, *precedence(fact)[2:]))

    assert {"payment_in_disorder", "every_pair_of_stripe", "payment_with_sequences"} <= failing()


def test_a_lifecycle_that_changed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    table = LIFECYCLES["momo", "charge"]
    final = msgspec.structs.replace(table, phases={**table.phases, "authorized": 2})
    monkeypatch.setattr("domain.payment.lifecycle_of", lambda provider, kind: final)

    assert "every_pair_of_momo" in failing()


def test_a_state_that_is_evolved_otherwise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    evolve = PaymentDecider.evolve

    def forgetful(self: PaymentDecider, state: object, event: AnyEvent) -> object:
        return state if tag_of(type(event)) == "payment.escalated" else evolve(self, state, event)  # type: ignore[arg-type]  # any event

    monkeypatch.setattr(PaymentDecider, "evolve", forgetful)

    assert failing() == {"saga_that_is_compensated"}


def test_bytes_of_an_old_schema_are_folded_through_its_upcaster() -> None:
    """No event has a second schema yet: here the document's text was once called its body."""

    def named_text(event: dict[str, object]) -> dict[str, object]:
        return {**{key: value for key, value in event.items() if key != "body"}, "text": event["body"]}

    upcasters: dict[tuple[str, int], Upcaster] = {("document.published", 1): named_text}
    old = []
    for stored in recorded("document").events:
        envelope = msgspec.msgpack.decode(stored)
        if "text" in envelope["event"]:
            envelope["event"]["body"] = envelope["event"].pop("text")
        old.append(msgspec.msgpack.encode(envelope))
    history = recorded("document")

    with pytest.raises(msgspec.ValidationError):
        refolded(history.category, old)
    assert refolded(history.category, old, upcasters) == (history.state, history.folded)


@pytest.fixture
def document() -> dict[str, History]:
    return {"document": HISTORIES["document"]}


def test_histories_are_written_once(document: dict[str, History], tmp_path: Path) -> None:
    path = history_file("document", 1, tmp_path)

    assert write_histories(document, tmp_path) == [path]
    path.write_bytes(b"as it was")
    assert write_histories(document, tmp_path) == []
    assert path.read_bytes() == b"as it was"


def test_a_fold_that_is_changed_on_purpose_gets_a_file_with_the_same_events(
    document: dict[str, History], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = write_histories(document, tmp_path)
    raised = {"document": msgspec.structs.replace(document["document"], number=2, steps=())}
    with pytest.raises(ValueError, match="has not changed"):
        write_histories(raised, tmp_path)
    evolve = DocumentDecider.evolve

    def untitled(self: DocumentDecider, state: object, event: AnyEvent) -> object:
        is_published = isinstance(event, DocumentPublished)
        return evolve(self, state, msgspec.structs.replace(event, title="") if is_published else event)  # type: ignore[arg-type]  # any event

    monkeypatch.setattr(DocumentDecider, "evolve", untitled)
    [second] = write_histories(raised, tmp_path)

    assert read_history(second).events == read_history(first).events
    assert read_history(second).state != read_history(first).state


def test_events_that_are_gone_are_not_made_up(document: dict[str, History], tmp_path: Path) -> None:
    raised = {"document": msgspec.structs.replace(document["document"], number=2)}

    with pytest.raises(ValueError, match="is gone"):
        write_histories(raised, tmp_path)
