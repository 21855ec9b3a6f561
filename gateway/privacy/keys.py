"""The keys that tokens are made with: one per tenant, derived from a secret that this node made for itself."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from domain.errors import TerminalError

KEY_FILE = "privacy.key"
_SECRET_BYTES = 32


def tenant_key(data: Path, tenant: str, configured: str = "") -> bytes:
    """The 32-byte key of a tenant: from `configured` if there is such, else from this node's secret.

    The secret is made on first use, readable by its owner alone. Whoever has only one tenant's key learns nothing about
    another's (HMAC as in RFC 5869, 2.3). Raises `TerminalError` if the secret is damaged.
    """
    root = hashlib.sha256(configured.encode()).digest() if configured else _node_secret(data / KEY_FILE)
    return hmac.digest(root, b"recount privacy\0" + tenant.encode(), "sha256")


def _node_secret(path: Path) -> bytes:
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise TerminalError(
            f"{path.name} under `data` has {len(secret)} bytes, not {_SECRET_BYTES}: restore it from a backup; "
            "without it the same person gets another token from now on"
        )
    return secret


def _make_secret(path: Path) -> None:
    """Several processes may come here at once: the first to link its whole file wins, and no one reads half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_SECRET_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
