"""What is sealed is read with its key alone, in its place, unchanged; what was kept before there was a key, too."""

import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import TerminalError
from domain.settings import QuarantineSettings
from gateway.quarantine import Quarantine
from gateway.raw_store import RawStore, SqliteRawStore, raw_store_of
from tests.spec import NOON

RAW = b"the card of Grace Hopper"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:")
    yield opened
    opened.close()


def key_file(directory: Path, *keys: str) -> str:
    file = directory / "keys"
    file.write_text("\n".join(keys) + "\n")
    return str(file)


def new_key() -> str:
    return secrets.token_hex(32)


@pytest.fixture(params=["plain", "sealed"])
def store(request: pytest.FixtureRequest, connection: sqlite3.Connection, tmp_path: Path) -> RawStore:
    file = key_file(tmp_path, new_key()) if request.param == "sealed" else ""
    return raw_store_of(QuarantineSettings(key_file=file))(connection)


def test_bytes_come_back_until_they_are_deleted(store: RawStore) -> None:
    for raw in (RAW, b"", b"\xc1", b"x" * 1_000_000):
        store.put("acme/1", raw)
        assert store.get("acme/1") == raw
    store.delete("acme/1")
    store.delete("acme/1")
    assert store.get("acme/1") is None


def test_sealed_bytes_say_nothing_and_are_never_the_same_twice(connection: sqlite3.Connection, tmp_path: Path) -> None:
    store = raw_store_of(QuarantineSettings(key_file=key_file(tmp_path, new_key())))(connection)
    store.put("acme/1", RAW)
    store.put("acme/2", RAW)

    kept = [row[0] for row in connection.execute("SELECT bytes FROM raw")]

    assert len(set(kept)) == 2
    assert not any(b"Hopper" in each for each in kept)


def test_a_key_is_replaced_by_a_line_before_it(connection: sqlite3.Connection, tmp_path: Path) -> None:
    SqliteRawStore(connection).put("acme/0", b"\x80before there was a key")
    old, new = new_key(), new_key()
    raw_store_of(QuarantineSettings(key_file=key_file(tmp_path, old)))(connection).put("acme/1", RAW)

    both = raw_store_of(QuarantineSettings(key_file=key_file(tmp_path, new, old)))(connection)
    both.put("acme/2", RAW)
    assert [both.get(f"acme/{number}") for number in range(3)] == [b"\x80before there was a key", RAW, RAW]

    only_new = raw_store_of(QuarantineSettings(key_file=key_file(tmp_path, new)))(connection)
    assert only_new.get("acme/2") == RAW
    with pytest.raises(TerminalError, match="key_file"):
        only_new.get("acme/1")


@pytest.mark.parametrize("harm", ["swapped", "flipped"])
def test_sealed_bytes_that_were_changed_or_moved_are_refused(
    harm: str, connection: sqlite3.Connection, tmp_path: Path
) -> None:
    store = raw_store_of(QuarantineSettings(key_file=key_file(tmp_path, new_key())))(connection)
    store.put("acme/1", RAW)
    plain = SqliteRawStore(connection)
    kept = plain.get("acme/1")
    assert kept is not None
    place = "globex/1" if harm == "swapped" else "acme/1"
    plain.put(place, kept if harm == "swapped" else kept[:-1] + bytes([kept[-1] ^ 1]))

    with pytest.raises(TerminalError, match="changed"):
        store.get(place)


@pytest.mark.parametrize("text", ["", "abc", "00" * 31, "zz" * 32, "\xff"])
def test_a_key_file_that_holds_no_keys_is_refused_before_anything_starts(text: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(text.encode("latin-1"))
    for name in (str(file), str(tmp_path / "gone")):
        with pytest.raises(TerminalError, match="key_file"):
            raw_store_of(QuarantineSettings(key_file=name))


def test_a_quarantine_with_a_key_keeps_no_message_in_the_open(tmp_path: Path) -> None:
    sealing = raw_store_of(QuarantineSettings(key_file=key_file(tmp_path, new_key())))
    quarantine = Quarantine(tmp_path, tenants=["acme"], raw_store=sealing)
    for tenant in ("acme", "stranger"):
        name = quarantine.put(
            tenant, "stripe", raw=RAW, headers={"X-Name": "Grace Hopper"}, code="body.not_json", detail="", at=NOON
        )
        message = quarantine.message(tenant, name)
        assert message is not None
        assert (message.raw, message.headers) == (RAW, {"X-Name": "Grace Hopper"})
    quarantine.close()

    assert not any(b"Hopper" in file.read_bytes() for file in tmp_path.rglob("quarantine.sqlite*"))
    without_key = Quarantine(tmp_path, tenants=["acme"])
    with pytest.raises(TerminalError, match="key_file"):
        without_key.message("acme", name)
    without_key.close()
