"""Equal states have equal hashes, and others have others."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec

from domain.document import Document, DocumentPublished
from domain.polling import Poll
from domain.state_hash import state_hash
from tests.domain.examples import at


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    by_id: dict[str, int] = {}
    by_number: dict[int, str] = {}
    seen_at: datetime = at(0)


def published(**metadata: str) -> Document:
    return Document(
        version=1, published=DocumentPublished(document_id="a", version=1, title="", text="", metadata=metadata)
    )


def test_the_order_in_which_a_state_was_filled_does_not_matter() -> None:
    assert state_hash(Kept(by_id={"a": 1, "b": 2})) == state_hash(Kept(by_id={"b": 2, "a": 1}))
    assert state_hash(Kept(by_number={1: "a", 10: "b"})) == state_hash(Kept(by_number={10: "b", 1: "a"}))
    assert state_hash(published(a="1", b="2")) == state_hash(published(b="2", a="1"))


def test_every_field_of_a_state_matters() -> None:
    states = [Kept(), Kept(by_id={"a": 1}), Kept(by_id={"a": 2}), Kept(by_number={1: "a"}), Kept(seen_at=at(1e-6))]

    assert len({state_hash(each) for each in states}) == len(states)


def test_states_of_two_kinds_with_the_same_fields_are_two() -> None:
    class Other(Kept, frozen=True, kw_only=True):
        pass

    assert state_hash(Kept()) != state_hash(Other())


def test_a_hash_is_for_good() -> None:
    """What is recorded in a bundle or in the golden histories is compared with it."""
    assert state_hash(Poll(cursor="evt_1", etag="x")) == "2b8e7eda8b3a5c2845bf92f84c81756c"
    assert state_hash(Kept(seen_at=datetime(2026, 3, 1, tzinfo=UTC))) == state_hash(
        msgspec.msgpack.decode(
            msgspec.msgpack.encode(Kept(seen_at=datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1))))),
            type=Kept,
        )
    )
