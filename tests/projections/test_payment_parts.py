"""A payment is whole in one part, whatever leads to it."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from domain.ids import stream_id
from projections.feed import LogEntry
from projections.payment_parts import Families, Part, PartFeed, absorb
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector
from tests.domain.examples import fact
from tests.projections.test_projector import Memory
from tests.worlds import TENANT, Entries

NAMES = [f"ref_{number}" for number in range(6)]


def history(links: list[tuple[str, str]]) -> list[LogEntry]:
    entries = Entries()
    facts = [entries.fact(fact(f"evt_{name}", "refund:re_1", "succeeded", 1, payment_id=name)) for name in NAMES]
    return [*facts, *(entries.link(one, other) for one, other in links)]


def named(key: str) -> str:
    return stream_id("payment", TENANT, key)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=8))
def test_what_is_linked_is_in_one_part_and_every_event_in_exactly_one(links: list[tuple[str, str]]) -> None:
    entries = history(links)
    feed = Memory(entries)
    parts = [
        PartFeed(feed, Part(number=number, count=3)).read(0, limit=100, topics=TOPICS).entries for number in range(3)
    ]
    of_name = {entry.stream: number for number, part in enumerate(parts) for entry in part}
    families = Families(feed)

    assert sorted(entry.position for part in parts for entry in part) == [entry.position for entry in entries]
    for one, other in links:
        assert of_name[named(one)] == of_name[named(other)]
        assert families.root(named(one)) == families.root(named(other))


def test_parts_made_one_are_what_is_built_at_once(tmp_path: Path) -> None:
    entries = history([("ref_3", "ref_1"), ("ref_1", "ref_0")])
    feed = Memory(entries)
    stores = []
    for number in range(3):
        store = PaymentStore(tmp_path / str(number))
        part = PartFeed(feed, Part(number=number, count=3))
        Projector(part, topics=TOPICS, store_of=lambda _, store=store: store).run_once()  # type: ignore[misc]  # bound now
        stores.append(store)
    alone = PaymentStore(tmp_path / "alone")
    alone.apply(entries, entries[-1].position)
    for number in (1, 2):
        stores[number].close()
        absorb(stores[0], tmp_path / str(number), entries[-1].position)

    assert stores[0].payments().payments == alone.payments().payments
    # Each of them was told of the same refund: the first mention in the log counts, in whatever part it was.
    assert stores[0].resolve("re_1") == alone.resolve("re_1") == "ref_0"
    assert stores[0].store.position() == entries[-1].position
    stores[0].close()
    alone.close()
