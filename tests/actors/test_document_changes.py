"""Nine years of a real documentation's changes end in its head, whatever is repeated, reordered or cut off."""

import random
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec
import pytest

from domain.document import PutDocument
from projections.chunking import chunks
from projections.retrieval import DocumentFound, GetDocument
from simulations.document_changes import Change, commands, disordered, oracle, read_changes, title_of
from tests.actors.index_worlds import Crash, IndexWorld
from tests.worlds import TENANT

pytestmark = pytest.mark.long

RECORDED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "btcpay_docs"
POINTS = ("before_append", "after_vectors", "after_words", "after_apply", "before_checkpoint")
BATCH_MAX = 40


class Head(msgspec.Struct, frozen=True):
    path: str
    text: str


@cache
def recorded() -> list[Change]:
    path = RECORDED / "changes.jsonl.gz"
    if not path.is_file():
        pytest.skip("the recorded changes are not here (shared/data/btcpay_docs beside the repository)")
    return read_changes(path)


def head() -> dict[str, str]:
    lines = (RECORDED / "docs_head.jsonl").read_bytes().splitlines()
    found = [msgspec.json.decode(line, type=Head) for line in lines]
    return {each.document_id: each.text for file in found for each in commands_of(file)}


def commands_of(file: Head) -> list[PutDocument]:
    made = commands(Change(seq=0, op="A", path=file.path, text=file.text))
    return [each for each in made if isinstance(each, PutDocument)]


def batches(changes: list[Change], rng: random.Random) -> Iterator[list[Change]]:
    start = 0
    while start < len(changes):
        size = rng.randint(1, BATCH_MAX)
        yield changes[start : start + size]
        start += size


def document(world: IndexWorld, document_id: str) -> str | None:
    found = world.ask(GetDocument(tenant=TENANT, document_id=document_id))
    assert isinstance(found, DocumentFound)
    return None if found.document is None else found.document.text


def passages(documents: Mapping[str, str]) -> set[tuple[str, str]]:
    """(document id, passage) of everything that may be quoted."""
    return {(each, part) for each, text in documents.items() for part in parts(text)}


@cache
def parts(text: str) -> frozenset[str]:
    return frozenset(each.text for each in chunks("any", 1, "", text))


def quotable(world: IndexWorld, **past: int) -> set[tuple[str, str]]:
    """Everything that a search finds when it may find everything."""
    return {(each.document_id, each.text) for each in world.search("payment server", top_k=20_000, **past)}


def check_head(world: IndexWorld) -> None:
    wanted = head()
    every = {command.document_id for change in recorded() for command in commands(change)}
    assert {each: document(world, each) for each in every} == {each: wanted.get(each) for each in every}
    assert quotable(world) == passages(wanted)


@pytest.mark.timeout(300)
def test_in_order_it_ends_in_the_head_and_every_position_in_between_is_known(tmp_path: Path) -> None:
    """Known-at is compared with the oracle at 100 positions, and a question now finds nothing but what is current."""
    rng = random.Random(7)
    world = IndexWorld(tmp_path)
    sampled = set(rng.sample(range(len(recorded())), 100))
    wanted: dict[int, set[tuple[str, str]]] = {}
    waiting = []
    for change, (_, documents) in zip(recorded(), oracle(recorded()), strict=True):
        waiting += commands(change)
        if change.seq in sampled or len(waiting) >= BATCH_MAX:
            world.submit(waiting)
            waiting = []
            current = passages(documents)
            position = world.project()
            if change.seq in sampled:
                wanted[position] = current
            newest = {(each.document_id, each.text) for each in world.search(change.path, top_k=10)}
            assert newest <= current
    world.submit(waiting)
    world.project()

    check_head(world)
    assert len(wanted) == 100
    for position, of_position in wanted.items():
        assert quotable(world, known_at=position) == of_position, position
    world.close()


@pytest.mark.timeout(300)
def test_repeated_reordered_and_cut_off_by_crashes_it_ends_in_the_same_head(tmp_path: Path) -> None:
    """Known-at is compared at 100 positions with what the newest of the changes that had come by then say."""
    rng = random.Random(1)
    delivered = disordered(recorded(), seed=1, duplicates=0.1, window=50)
    assert [each.seq for each in delivered] != sorted(each.seq for each in delivered)
    world = IndexWorld(tmp_path)
    crashes = dict.fromkeys(POINTS, 0)
    # What the newest change so far says of each document: nothing older may be quoted again once this was.
    newest: dict[str, tuple[int, str | None]] = {}
    wanted: dict[int, dict[str, str]] = {}
    for batch in batches(delivered, rng):
        point = rng.choice(POINTS) if rng.random() < 0.3 else ""

        def crash(reached: str, point: str = point) -> None:
            if reached == point:
                crashes[point] += 1
                raise Crash

        if point:
            world.start(crash)
        asked = [command for change in batch for command in commands(change)]
        try:
            world.submit(asked)
            world.project()
        except Crash:
            world.start()
            world.submit(asked)
        position = world.project()
        for change in batch:
            for command in commands(change):
                if change.seq >= newest.get(command.document_id, (-1, None))[0]:
                    text = command.text if isinstance(command, PutDocument) else None
                    newest[command.document_id] = (change.seq, text)
        wanted[position] = {each: text for each, (_, text) in newest.items() if text is not None}
        asked_about = title_of(batch[-1].path, batch[-1].text or "")
        for passage in world.search(asked_about, top_k=10):
            text = newest[passage.document_id][1]
            assert text is not None, f"{passage.document_id} is withdrawn"
            assert passage.text in text, f"{passage.document_id} has a newer version"

    check_head(world)
    assert all(crashes[point] for point in POINTS if point != "before_append"), crashes
    for position in rng.sample(sorted(wanted), 100):
        assert quotable(world, known_at=position) == passages(wanted[position]), position
    world.close()


def test_the_history_that_is_compared_with_is_the_recorded_head() -> None:
    *_, (_, documents) = oracle(recorded())

    assert documents == head()
