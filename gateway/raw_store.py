"""Where raw messages are kept that could not be taken in: the one port, plain in SQLite or sealed with a key."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import TerminalError
from domain.settings import QuarantineSettings

KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_BYTES = 4
# No MessagePack value begins with this byte (its specification, "never used"), so that what is sealed can be told from
# what was kept before there was a key.
SEALED = b"\xc1"

_SCHEMA = "CREATE TABLE IF NOT EXISTS raw (key TEXT PRIMARY KEY, bytes BLOB NOT NULL)"


class RawStore(Protocol):
    """Keeps bytes by key, durably once the transaction of the entry that they belong to is."""

    def put(self, key: str, raw: bytes) -> None: ...

    def get(self, key: str) -> bytes | None:
        """The bytes, `None` if there are none. Raises `TerminalError` if they cannot be opened."""
        ...

    def delete(self, key: str) -> None: ...


# Makes the store of one quarantine file: beside its entries, in their transactions, or wherever else it likes.
MakeRawStore = Callable[[sqlite3.Connection], RawStore]


class SqliteRawStore:
    """Plain, in the file of the entries."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(_SCHEMA)

    def put(self, key: str, raw: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO raw VALUES (?,?)", (key, raw))

    def get(self, key: str) -> bytes | None:
        row = self._connection.execute("SELECT bytes FROM raw WHERE key=?", (key,)).fetchone()
        if row is None:
            return None
        raw: bytes = row[0]
        return raw

    def delete(self, key: str) -> None:
        self._connection.execute("DELETE FROM raw WHERE key=?", (key,))


class SealedRawStore:
    """Sealed with AES-256-GCM before another store keeps it, and bound to its key there: none can take another's place.

    Sealed bytes are `SEALED`, the id of the key, the nonce, and the ciphertext with its tag.

    Args:
        inner: keeps what is sealed.
        keys: by id; the first seals, all open.
    """

    def __init__(self, inner: RawStore, keys: Mapping[bytes, AESGCM]) -> None:
        self._inner = inner
        self._keys = keys

    def put(self, key: str, raw: bytes) -> None:
        key_id, cipher = next(iter(self._keys.items()))
        nonce = os.urandom(NONCE_BYTES)
        self._inner.put(key, SEALED + key_id + nonce + cipher.encrypt(nonce, raw, key.encode()))

    def get(self, key: str) -> bytes | None:
        kept = self._inner.get(key)
        if kept is None or not kept.startswith(SEALED):
            return kept  # From before there was a key.
        start = len(SEALED)
        key_id, nonce, sealed = (
            kept[start : start + KEY_ID_BYTES],
            kept[start + KEY_ID_BYTES : start + KEY_ID_BYTES + NONCE_BYTES],
            kept[start + KEY_ID_BYTES + NONCE_BYTES :],
        )
        if key_id not in self._keys:
            raise TerminalError(f"{key} is sealed with a key that is not in quarantine.key_file; add its line there")
        try:
            return self._keys[key_id].decrypt(nonce, sealed, key.encode())
        except InvalidTag as error:
            raise TerminalError(f"{key} was changed after it was sealed; take the file from a backup") from error

    def delete(self, key: str) -> None:
        self._inner.delete(key)


def raw_store_of(settings: QuarantineSettings) -> MakeRawStore:
    """The store that the settings ask for. Raises `TerminalError` if the key file cannot be used."""
    if not settings.key_file:
        return SqliteRawStore
    keys = read_keys(Path(settings.key_file))
    return lambda connection: SealedRawStore(SqliteRawStore(connection), keys)


def read_keys(file: Path) -> dict[bytes, AESGCM]:
    """The keys of a file by their ids (the start of their SHA-256), in its order. Raises `TerminalError`."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
        keys = [bytes.fromhex(line) for line in lines]
    except (OSError, ValueError) as error:
        raise TerminalError(f"quarantine.key_file {str(file)!r} cannot be read: {type(error).__name__}") from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise TerminalError(
            f"quarantine.key_file {str(file)!r}: lines of {2 * KEY_BYTES} hexadecimal digits; `openssl rand -hex 32`"
        )
    return {hashlib.sha256(key).digest()[:KEY_ID_BYTES]: AESGCM(key) for key in keys}
