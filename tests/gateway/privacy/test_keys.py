"""Keys of tokens: made once, readable by their owner alone, different for each tenant."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.errors import TerminalError
from gateway.privacy import tenant_key
from gateway.privacy.keys import KEY_FILE


def test_a_tenants_key_is_the_same_after_a_restart_and_no_other_tenants(tmp_path: Path) -> None:
    first = tenant_key(tmp_path, "acme")

    assert tenant_key(tmp_path, "acme") == first
    assert tenant_key(tmp_path, "globex") != first
    assert len(first) == 32


def test_only_the_owner_can_read_the_nodes_secret(tmp_path: Path) -> None:
    tenant_key(tmp_path, "acme")

    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]


def test_processes_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: tenant_key(tmp_path, "acme"), range(32)))

    assert len(keys) == 1
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]


def test_a_configured_key_needs_no_file_and_differs_by_tenant(tmp_path: Path) -> None:
    keys = {tenant_key(tmp_path, tenant, "0123456789" * 4) for tenant in ("acme", "globex")}

    assert len(keys) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_secret_is_no_new_one(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"half")

    with pytest.raises(TerminalError, match="restore it from a backup"):
        tenant_key(tmp_path, "acme")
