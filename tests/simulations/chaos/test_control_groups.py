"""Control groups: what is written to them in either version, and that processes come home from them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from simulations.chaos import control_groups
from simulations.chaos.control_groups import (
    Controller,
    Group,
    Hierarchy,
    cpu_limits,
    dissolve,
    hierarchy,
    memory_limits,
    new_group,
)


@pytest.fixture
def victim() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "300"]) as started:
        yield started
        started.kill()


def placed(root: Path, version: Literal[1, 2]) -> Hierarchy:
    return Hierarchy(controller="cpu", version=version, root=root)


def test_the_same_limits_are_said_in_the_words_of_either_version(tmp_path: Path) -> None:
    first, second = placed(tmp_path, 1), placed(tmp_path, 2)

    assert cpu_limits(first, 0.25) == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "25000"}
    assert cpu_limits(second, 0.25) == {"cpu.max": "25000 100000"}
    assert cpu_limits(second, 0.0) == {"cpu.max": "1000 100000"}, "the kernel takes no less"
    assert memory_limits(first, 4_096)["memory.limit_in_bytes"] == memory_limits(second, 4_096)["memory.max"] == "4096"


@pytest.mark.parametrize(("version", "file"), [(1, "memory.oom_control"), (2, "memory.events")])
def test_the_killed_are_counted_where_either_version_says_so(version: Literal[1, 2], file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("low 0\noom 5\nunder_oom 1\noom_kill 2\n")

    assert Group(hierarchy=placed(tmp_path, version), directory=tmp_path).killed == 2


@pytest.mark.parametrize("controller", ["cpu", "memory"])
def test_a_process_is_taken_and_comes_home_and_the_group_is_gone(
    controller: Controller, victim: "subprocess.Popen[bytes]"
) -> None:
    if missing := control_groups.missing(controller):
        pytest.skip(missing)
    found = hierarchy(controller)
    assert found is not None
    home = found.of(victim.pid)
    group = new_group(found)
    group.make({})
    group.take(victim.pid)
    assert found.of(victim.pid) == group.directory

    dissolve(group.directory, home)
    assert found.of(victim.pid) == home
    assert not group.directory.exists()
    dissolve(group.directory, home)


def test_a_process_whose_home_is_gone_meanwhile_comes_to_the_system_s_own(victim: "subprocess.Popen[bytes]") -> None:
    if missing := control_groups.missing("cpu"):
        pytest.skip(missing)
    found = hierarchy("cpu")
    assert found is not None
    group = new_group(found)
    group.make({})
    group.take(victim.pid)

    dissolve(group.directory, found.root / "nowhere")
    assert found.of(victim.pid) == found.root


def test_where_no_group_can_be_made_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for found, words in ((None, "no control group can have"), (placed(tmp_path / "nowhere", 2), "not to be seen")):
        monkeypatch.setattr(control_groups, "hierarchy", lambda controller, found=found: found)
        control_groups.probed.cache_clear()
        assert words in control_groups.missing("cpu")
    monkeypatch.setattr(control_groups, "hierarchy", lambda controller: placed(tmp_path, 1))
    monkeypatch.setattr(Hierarchy, "of", lambda self, pid: tmp_path)
    control_groups.probed.cache_clear()
    assert "no control group of cpu can be made: No such file" in control_groups.missing("cpu")
    control_groups.probed.cache_clear()
