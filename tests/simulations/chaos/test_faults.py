"""Faults by the strongest back-end that a machine has, and by the next one where it has not."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulations.chaos import control_groups, faults_process
from simulations.chaos.faults import FAULTS, Backend, Fault, inject
from simulations.chaos.faults_resource import ADDRESS_SPACE, OUT_OF_MEMORY, QUOTA, TURNS
from simulations.chaos.injection import Place, bites
from simulations.chaos.processes import process
from simulations.chaos.undo import UndoJournal

pytestmark = pytest.mark.long

BUSY = "while True: pass"
# It grows without end from the moment at which it is told to.
GROWS = """
import sys
sys.stdin.readline()
taken = []
while True:
    taken.append(bytearray(65_536))
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    journal = UndoJournal(tmp_path / "journal.jsonl")
    yield Place(journal=journal)
    journal.close()


@pytest.fixture
def busy() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-S", "-E", "-c", BUSY]) as started:
        yield started
        started.send_signal(signal.SIGCONT)
        started.kill()


@pytest.fixture
def grows() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", GROWS], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as started:
        yield started
        started.kill()


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no control groups can be made."""
    monkeypatch.setattr(control_groups, "missing", lambda controller: f"no {controller} here")


def tell(grows: "subprocess.Popen[bytes]") -> None:
    assert grows.stdin is not None
    grows.stdin.write(b"grow\n")
    grows.stdin.flush()


def test_the_strongest_that_is_here_injects_and_why_it_is_not_a_stronger_one_is_said() -> None:
    strong, weak = Backend(name="strong", missing=lambda: "no strength"), Backend(name="weak", missing=lambda: "")
    nothing = Backend(name="nothing", missing=lambda: "nothing here")
    inject_it = faults_process.kill

    fault = Fault(inject=inject_it, backends=(strong, weak))
    assert (fault.backend, fault.missing(), fault.weaker()) == ("weak", "", "no strength")
    fault = Fault(inject=inject_it, backends=(weak, strong))
    assert (fault.backend, fault.missing(), fault.weaker()) == ("weak", "", "")
    fault = Fault(inject=inject_it, backends=(strong, nothing))
    assert (fault.backend, fault.missing(), fault.weaker()) == ("", "no strength; nothing here", "")


async def test_a_quota_starves_and_gives_back(place: Place, busy: "subprocess.Popen[bytes]") -> None:
    if missing := control_groups.missing("cpu"):
        pytest.skip(missing)
    hierarchy = control_groups.hierarchy("cpu")
    assert hierarchy is not None
    home = hierarchy.of(busy.pid)
    injection = await inject("starve_cpu", place, {"pid": busy.pid, "share": 0.1})

    assert injection.backend == FAULTS["starve_cpu"].backend == QUOTA
    assert await bites(injection)
    group = hierarchy.of(busy.pid)
    assert group != home
    assert injection.undo is not None
    place.journal.apply(injection.undo)
    assert hierarchy.of(busy.pid) == home
    assert not group.exists()


async def test_a_process_that_wants_no_time_is_not_starved_by_a_quota(
    place: Place, grows: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := control_groups.missing("cpu"):
        pytest.skip(missing)
    monkeypatch.setattr("simulations.chaos.injection.BITE_WITHIN_S", 0.3)
    injection = await inject("starve_cpu", place, {"pid": grows.pid, "share": 0.5})

    assert not await bites(injection)
    assert place.journal.apply_all() == []


async def test_where_there_is_no_quota_it_is_stopped_and_let_go_on(
    place: Place, busy: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    injection = await inject("starve_cpu", place, {"pid": busy.pid, "share": 0.1})

    assert injection.backend == TURNS
    assert await bites(injection)
    assert injection.heal is not None
    await injection.heal()
    assert place.journal.apply_all() == []
    found = process(busy.pid)
    assert found is not None
    assert not found.is_stopped


async def test_what_wants_more_memory_than_its_group_has_is_killed_by_the_kernel(
    place: Place, grows: "subprocess.Popen[bytes]"
) -> None:
    if missing := control_groups.missing("memory"):
        pytest.skip(missing)
    hierarchy = control_groups.hierarchy("memory")
    assert hierarchy is not None
    injection = await inject("exhaust_memory", place, {"pid": grows.pid})
    assert injection.backend == FAULTS["exhaust_memory"].backend == OUT_OF_MEMORY
    assert not await injection.has_bitten()
    group = hierarchy.of(grows.pid)
    tell(grows)

    assert await bites(injection)
    assert grows.wait() == -signal.SIGKILL
    assert place.journal.apply_all() == []
    assert not group.exists()


async def test_who_is_killed_by_somebody_else_was_not_out_of_memory(
    place: Place, grows: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := control_groups.missing("memory"):
        pytest.skip(missing)
    monkeypatch.setattr("simulations.chaos.injection.BITE_WITHIN_S", 0.3)
    injection = await inject("exhaust_memory", place, {"pid": grows.pid})
    grows.kill()

    assert not await bites(injection)
    assert place.journal.apply_all() == []


async def test_where_there_is_no_group_its_address_space_is_limited(
    place: Place, grows: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)
    injection = await inject("exhaust_memory", place, {"pid": grows.pid})
    assert injection.backend == ADDRESS_SPACE
    tell(grows)

    assert await bites(injection)
    assert place.journal.apply_all() == []
