"""What could not be taken in is kept as it came, once, with its reason and its fate."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gateway.quarantine import UNCLAIMED, Aside, Quarantine, RawMessage, State, quarantine_id
from tests.spec import NOON

RAW = b"\x00\xffnot json"
TENANTS = ("acme", "globex")


@pytest.fixture
def quarantine(tmp_path: Path) -> Iterator[Quarantine]:
    opened = Quarantine(tmp_path, tenants=TENANTS)
    yield opened
    opened.close()


def put(quarantine: Quarantine, raw: bytes = RAW, *, tenant: str = "acme", minutes: int = 0, **fields: str) -> str:
    given = {"code": "body.not_json", "detail": "this is no JSON", "source": "stripe", **fields}
    source = given.pop("source")
    at = NOON + timedelta(minutes=minutes)
    return quarantine.put(tenant, source, raw=raw, headers={"X-Try": str(minutes)}, at=at, **given)


def state(quarantine: Quarantine, name: str) -> State:
    return next(each.state for each in quarantine.listed("acme", state=None) if each.id == name)


def test_a_message_is_kept_as_it_came_with_its_reason(quarantine: Quarantine, tmp_path: Path) -> None:
    name = put(quarantine)
    quarantine.close()
    again = Quarantine(tmp_path, tenants=TENANTS)

    (entry,) = again.listed("acme")

    assert (entry.id, entry.source, entry.code, entry.detail) == (name, "stripe", "body.not_json", "this is no JSON")
    assert (entry.state, entry.deliveries, entry.bytes) == ("open", 1, len(RAW))
    assert (entry.first_seen_at, entry.last_seen_at) == (NOON, NOON)
    assert again.message("acme", name) == RawMessage(source="stripe", raw=RAW, headers={"X-Try": "0"})
    assert again.message("acme", "unknown") is None
    again.close()


def test_the_same_bytes_are_one_entry_that_is_counted(quarantine: Quarantine) -> None:
    first = put(quarantine)
    second = put(quarantine, minutes=5, code="event.contradiction", detail="x" * 900)

    (entry,) = quarantine.listed("acme")

    assert first == second == entry.id
    assert (entry.deliveries, entry.code, entry.detail) == (2, "event.contradiction", "x" * 500)
    assert (entry.first_seen_at, entry.last_seen_at) == (NOON, NOON + timedelta(minutes=5))


def test_the_same_bytes_from_another_source_are_another_entry(quarantine: Quarantine) -> None:
    assert put(quarantine) != put(quarantine, source="paypal")
    assert quarantine_id("a", b"bc") != quarantine_id("ab", b"c")
    assert len(quarantine.listed("acme")) == 2


def test_what_is_sent_in_again_is_applied_or_open_again(quarantine: Quarantine) -> None:
    cured, sick = put(quarantine, b"1"), put(quarantine, b"2")
    quarantine.mark("acme", [cured, sick], "requeued")
    assert (state(quarantine, cured), state(quarantine, sick)) == ("requeued", "requeued")
    assert quarantine.listed("acme") == []

    quarantine.mark("acme", [cured], "applied")
    put(quarantine, b"2", minutes=1)

    assert (state(quarantine, cured), state(quarantine, sick)) == ("applied", "open")
    assert [entry.id for entry in quarantine.listed("acme", state="applied")] == [cured]
    put(quarantine, b"1", minutes=2)
    assert state(quarantine, cured) == "open"


def test_entries_are_listed_oldest_first_and_by_code(quarantine: Quarantine) -> None:
    late, early = put(quarantine, b"1", minutes=2), put(quarantine, b"2", minutes=1)
    other = put(quarantine, b"3", minutes=3, code="event.contradiction")

    assert [entry.id for entry in quarantine.listed("acme")] == [early, late, other]
    assert [entry.id for entry in quarantine.listed("acme", limit=1)] == [early]
    assert [entry.id for entry in quarantine.listed("acme", code="event.contradiction")] == [other]
    assert quarantine.counts("acme") == {"body.not_json": 2, "event.contradiction": 1}
    quarantine.mark("acme", [late], "applied")
    assert quarantine.counts("acme") == {"body.not_json": 1, "event.contradiction": 1}


def test_tenants_have_files_of_their_own_and_all_that_are_unknown_share_one(
    quarantine: Quarantine, tmp_path: Path
) -> None:
    put(quarantine, tenant="acme")
    put(quarantine, tenant="globex")
    for stranger in ("../../etc", "initech", *(f"stranger-{number}" for number in range(30))):
        put(quarantine, tenant=stranger)

    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("quarantine.sqlite")) == [
        f"{UNCLAIMED}/quarantine.sqlite",
        "tenants/acme/quarantine.sqlite",
        "tenants/globex/quarantine.sqlite",
    ]
    assert len(quarantine.listed("globex")) == 1
    assert len(quarantine.listed("initech")) == 1


def test_what_came_for_a_tenant_before_it_was_configured_is_found_when_it_is(
    quarantine: Quarantine, tmp_path: Path
) -> None:
    name = put(quarantine, tenant="initech", code="tenant.unknown")
    put(quarantine, tenant="stranger", code="tenant.unknown")
    quarantine.close()

    for _ in range(2):
        later = Quarantine(tmp_path, tenants=[*TENANTS, "initech"])
        assert [entry.id for entry in later.listed("initech")] == [name]
        assert later.message("initech", name) == RawMessage(source="stripe", raw=RAW, headers={"X-Try": "0"})
        assert len(later.listed("stranger")) == 1
        later.close()
    with closing(sqlite3.connect(tmp_path / UNCLAIMED / "quarantine.sqlite")) as unclaimed:
        assert unclaimed.execute("SELECT tenant FROM quarantine").fetchall() == [("stranger",)]
        assert unclaimed.execute("SELECT count(*) FROM raw").fetchone() == (1,)


def test_entries_are_chosen_by_source_and_by_the_time_they_first_came(quarantine: Quarantine) -> None:
    names = [put(quarantine, b"%d" % number, minutes=number) for number in range(4)]
    other = put(quarantine, b"9", minutes=9, source="paypal")
    put(quarantine, b"0", minutes=30)
    at = [NOON + timedelta(minutes=number) for number in range(4)]

    def chosen(**given: Any) -> list[str]:
        ids = [entry.id for entry in quarantine.listed("acme", **given)]
        assert quarantine.count("acme", **given) == len(ids)
        return ids

    assert chosen(source="paypal") == [other]
    assert chosen(since=at[1], until=at[3]) == names[1:3]
    assert chosen(until=at[1].astimezone(timezone(timedelta(hours=7)))) == names[:1]
    assert chosen(since=at[3]) == [names[3], other]
    last_tried_last = [entry.id for entry in quarantine.listed("acme", order="last_seen_at")]
    assert last_tried_last == [*names[1:], other, names[0]]


def test_a_batch_is_kept_whole_each_message_with_its_tenant(quarantine: Quarantine) -> None:
    asides = [
        Aside(tenant=tenant, source="stripe", raw=raw, headers={}, code="body.not_json", detail="", at=NOON)
        for tenant in ("acme", "globex", "stranger")
        for raw in (b"1", b"2", b"2")
    ]

    names = quarantine.put_all(asides)

    assert names == [quarantine_id("stripe", raw) for raw in (b"1", b"2", b"2")] * 3
    for tenant in ("acme", "globex", "stranger"):
        assert {entry.id: entry.deliveries for entry in quarantine.listed(tenant)} == {names[0]: 1, names[1]: 2}


def test_more_tenants_than_files_may_be_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.quarantine.FILES_OPEN_MAX", 3)
    tenants = [f"t{number}" for number in range(8)]
    opened = Quarantine(tmp_path, tenants=tenants)
    for _ in range(2):
        for tenant in tenants:
            put(opened, tenant=tenant)
    assert [[entry.deliveries for entry in opened.listed(tenant)] for tenant in tenants] == [[2]] * 8
    opened.close()


def test_two_may_use_the_same_files_at_once(quarantine: Quarantine, tmp_path: Path) -> None:
    """The gateway and the intakes are processes of their own; each has connections of its own."""
    other = Quarantine(tmp_path, tenants=TENANTS)
    put(quarantine, b"first")

    def fill(mine: Quarantine, prefix: str) -> None:
        for number in range(20):
            put(mine, f"{prefix}{number}".encode())
            put(mine, b"both")

    threads = [threading.Thread(target=fill, args=pair) for pair in ((quarantine, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    entries = {entry.id: entry.deliveries for entry in other.listed("acme", limit=1_000)}
    assert len(entries) == 42
    assert entries[quarantine_id("stripe", b"both")] == 40
    other.close()
