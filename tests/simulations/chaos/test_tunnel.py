"""Where packets cannot be had that is said, and what is made on the way there is gone again."""

import os
import shutil
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from simulations.chaos import tunnel
from simulations.chaos.processes import open_files


@pytest.fixture(autouse=True)
def unprobed() -> Iterator[None]:
    """What the tests find out of a machine that is not so is forgotten."""
    tunnel.probed.cache_clear()
    yield
    tunnel.probed.cache_clear()


def test_a_program_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nsenter" else f"/bin/{name}")

    assert tunnel.missing() == "nsenter (util-linux) not here"


def test_a_machine_without_devices_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "DEVICES", "/nowhere/tun")

    assert "No such file" in tunnel.missing()


def test_packets_that_are_not_let_through_are_not_had(monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := tunnel.missing():
        pytest.skip(f"packets cannot be had here: {missing}")
    tunnel.probed.cache_clear()
    monkeypatch.setattr(tunnel, "PROBE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(os, "write", lambda device, packet: len(packet))
    before = open_files(os.getpid())

    assert "not let through" in tunnel.missing()
    assert open_files(os.getpid()) == before, "both devices and the namespace are closed"


def test_a_network_that_this_machine_uses_already_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "routes", lambda: iter([IPv4Network("0.0.0.0/0"), IPv4Network("198.18.0.0/16")]))
    assert tunnel.free_network(0) == IPv4Network("10.213.0.0/30")
    assert tunnel.free_network(70_000 // 4) == IPv4Network("198.19.17.112/30")

    monkeypatch.setattr(tunnel, "routes", lambda: iter([IPv4Network("128.0.0.0/1"), IPv4Network("0.0.0.0/1")]))
    with pytest.raises(OSError, match="is free"):
        tunnel.free_network(0)
