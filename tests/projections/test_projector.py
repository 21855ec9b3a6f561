"""Every event is applied once, whatever fails in between; a poison event waits aside and everything else goes on."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RetryableError
from projections.feed import LogEntry, Page
from projections.projector import Projector, Step, TenantStore
from projections.store import Store
from tests.worlds import Entries, numbered

TENANTS = ("acme", "globex")
TOPICS = ("payment.fact_recorded",)


class Memory:
    """A log in memory."""

    def __init__(self, entries: Sequence[LogEntry]) -> None:
        self.entries = list(entries)

    def head(self) -> int:
        return self.entries[-1].position if self.entries else 0

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        found = [entry for entry in self.entries if entry.position > after and entry.topic in topics][:limit]
        return Page(entries=found, position=found[-1].position if len(found) == limit else max(after, self.head()))

    def stream(self, stream: str) -> list[LogEntry]:
        return [entry for entry in self.entries if entry.stream == stream]


class Journal:
    """Keeps which positions were applied, and counts how often each was. `poison` cannot be applied."""

    def __init__(self, directory: Path, poison: frozenset[int] = frozenset()) -> None:
        self.store = Store(directory / "applied.sqlite", "CREATE TABLE IF NOT EXISTS applied (position INTEGER)")
        self._poison = poison
        self.failures: list[Exception] = []

    def apply(self, entries: Sequence[LogEntry], position: int) -> set[str]:
        with self.store.writing(position) as connection:
            connection.executemany("INSERT INTO applied VALUES (?)", [(entry.position,) for entry in entries])
            if self.failures:
                raise self.failures.pop(0)
            if poisoned := self._poison & {entry.position for entry in entries}:
                raise ValueError(f"{min(poisoned)} is poison")
        return {entry.key for entry in entries}

    def applied(self) -> list[int]:
        with self.store.reading() as connection:
            return [row[0] for row in connection.execute("SELECT position FROM applied ORDER BY rowid")]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Callable[[str], Journal]]:
    opened: dict[str, Journal] = {}

    def open_journal(tenant: str, poison: frozenset[int] = frozenset()) -> Journal:
        if tenant not in opened:
            opened[tenant] = Journal(tmp_path / tenant, poison)
        return opened[tenant]

    yield open_journal
    for journal in opened.values():
        journal.store.close()


def log(*keys: str, tenant: str = "acme") -> Memory:
    """A log with a fact for each payment named, at positions 1, 2, 3 ..."""
    entries = Entries()
    return Memory([entries.fact(numbered(number, key), tenant=tenant) for number, key in enumerate(keys, start=1)])


def mixed(*keys: str) -> Memory:
    """As `log`, of two tenants in turn."""
    entries = Entries()
    return Memory([entries.fact(numbered(number, key), tenant=TENANTS[number % 2]) for number, key in enumerate(keys)])


def run(projector: Projector) -> list[Step]:
    """The steps until one moves nowhere."""
    steps: list[Step] = []
    at = -1
    while projector.position > at:
        at = projector.position
        steps.append(projector.run_once())
    return steps


def changed(steps: Sequence[Step]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for step in steps:
        for tenant, keys in step.changed.items():
            found.setdefault(tenant, set()).update(keys)
    return found


def test_events_are_applied_in_order_batch_by_batch(directory: Callable[[str], Journal]) -> None:
    projector = Projector(log(*"abcde"), topics=TOPICS, store_of=directory, batch_max=2)

    steps = run(projector)

    assert [(step.applied, step.position) for step in steps] == [(2, 2), (2, 4), (1, 5), (0, 5)]
    assert directory("acme").applied() == [1, 2, 3, 4, 5]
    assert directory("acme").store.position() == 5
    assert changed(steps) == {"acme": set("abcde")}


def test_each_tenant_has_its_own_events_and_those_of_tenants_elsewhere_are_passed_over(
    directory: Callable[[str], Journal],
) -> None:
    def here(tenant: str) -> TenantStore | None:
        return directory(tenant) if tenant == "acme" else None

    projector = Projector(mixed(*"abcdef"), topics=TOPICS, store_of=here)

    (step, _) = run(projector)

    assert (step.applied, step.position) == (3, 6)
    assert step.changed == {"acme": frozenset("ace")}
    assert directory("acme").applied() == [1, 3, 5]


def test_other_topics_are_not_read(directory: Callable[[str], Journal]) -> None:
    entries = Entries()
    feed = Memory([entries.fact(numbered(1)), entries.link("ch_1", "pi_1"), entries.fact(numbered(2))])

    run(Projector(feed, topics=TOPICS, store_of=directory))

    assert directory("acme").applied() == [1, 3]


@pytest.mark.parametrize("batch_max", [1, 2, 100])
def test_after_a_crash_before_the_projectors_own_checkpoint_nothing_is_applied_twice(
    batch_max: int, directory: Callable[[str], Journal]
) -> None:
    def crash(point: str) -> None:
        assert point == "after_apply"
        raise KeyboardInterrupt

    feed = mixed(*"abcde")
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            Projector(feed, topics=TOPICS, store_of=directory, batch_max=batch_max, at_point=crash).run_once()

    run(Projector(feed, topics=TOPICS, store_of=directory, batch_max=batch_max))

    assert {tenant: directory(tenant).applied() for tenant in TENANTS} == {"acme": [1, 3, 5], "globex": [2, 4]}


@pytest.mark.parametrize("failure", [sqlite3.OperationalError("database is locked"), RetryableError("busy")])
def test_a_store_that_fails_for_now_parks_nothing_and_is_tried_again(
    failure: Exception, directory: Callable[[str], Journal]
) -> None:
    projector = Projector(log(*"abcd"), topics=TOPICS, store_of=directory)
    directory("acme").failures = [failure]

    with pytest.raises(type(failure)):
        projector.run_once()
    assert (projector.position, directory("acme").applied()) == (0, [])

    assert changed(run(projector)) == {"acme": set("abcd")}
    assert directory("acme").applied() == [1, 2, 3, 4]
    assert directory("acme").store.parked() == []


def test_what_a_failed_turn_changed_is_told_by_the_turn_that_succeeds(directory: Callable[[str], Journal]) -> None:
    """Whoever evicts by these keys would serve the past for good if they were lost."""
    projector = Projector(mixed(*"abcd"), topics=TOPICS, store_of=directory)
    directory("globex").failures = [sqlite3.OperationalError("disk I/O error")]

    with pytest.raises(sqlite3.OperationalError):
        projector.run_once()
    assert directory("acme").applied() == [1, 3]

    steps = run(projector)
    assert changed(steps) == {"acme": {"a", "c"}, "globex": {"b", "d"}}
    assert sorted(entry.position for step in steps for entry in step.visible) == [1, 2, 3, 4]
    last = projector.run_once()
    assert (last.changed, last.visible) == ({}, ())


def test_a_poison_event_waits_aside_with_its_stream_and_all_others_go_on(
    directory: Callable[..., Journal], tmp_path: Path
) -> None:
    told: list[tuple[int, str]] = []
    keys = "abababcab"
    directory("acme", poison=frozenset({3}))
    projector = Projector(
        log(*keys),
        topics=TOPICS,
        store_of=directory,
        batch_max=5,
        on_parked=lambda entry, error: told.append((entry.position, error)),
    )

    steps = run(projector)

    assert directory("acme").applied() == [1, 2, 4, 6, 7, 9]
    assert told == [
        (3, "ValueError: 3 is poison"),
        (5, "waits behind an event of its stream that is parked"),
        (8, "waits behind an event of its stream that is parked"),
    ]
    assert [(position, error) for position, _, error in directory("acme").store.parked()] == told
    assert sum(step.parked for step in steps) == 3
    # Of a payment that waits in part, nothing is said to be visible from then on.
    assert [entry.position for step in steps for entry in step.visible] == [2, 4, 6, 7, 9]
    assert changed(steps) == {"acme": {"a", "b", "c"}}
    assert projector.position == len(keys)


def test_a_parked_stream_waits_over_a_restart(tmp_path: Path) -> None:
    before = Journal(tmp_path, poison=frozenset({1}))
    run(Projector(log(*"ab"), topics=TOPICS, store_of=lambda tenant: before))
    before.store.close()
    after = Journal(tmp_path)

    run(Projector(log(*"abab"), topics=TOPICS, store_of=lambda tenant: after))

    assert after.applied() == [2, 4]
    assert [position for position, _, _ in after.store.parked()] == [1, 3]
    after.store.close()


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=20),
    st.sets(st.integers(1, 20), max_size=3),
    st.integers(1, 8),
    st.lists(st.booleans(), max_size=8),
)
@settings(max_examples=20)
def test_what_is_applied_does_not_depend_on_batches_or_crashes(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], poison: set[int], batch_max: int, crashes: list[bool]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("store"), frozenset(poison))
    remaining = iter(crashes)

    def may_crash(point: str) -> None:
        if next(remaining, False):
            raise KeyboardInterrupt

    feed = log(*keys)

    def restarted() -> Projector:
        return Projector(feed, topics=TOPICS, store_of=lambda tenant: journal, batch_max=batch_max, at_point=may_crash)

    projector = restarted()
    while projector.position < feed.head():
        try:
            projector.run_once()
        except KeyboardInterrupt:
            projector = restarted()

    blocked: dict[str, bool] = {}
    expected: list[int] = []
    parked: list[int] = []
    for position, key in enumerate(keys, start=1):
        blocked[key] = blocked.get(key, False) or position in poison
        (parked if blocked[key] else expected).append(position)
    assert journal.applied() == expected
    assert [position for position, _, _ in journal.store.parked()] == parked
    journal.store.close()
