"""Undo: planned before the fault, applied by whoever is left, and never to another process of the same number."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from domain.errors import TerminalError
from simulations.chaos import control_groups, tunnel
from simulations.chaos.inject import inject
from simulations.chaos.processes import is_same, process
from simulations.chaos.runner import undo_forgotten
from simulations.chaos.undo import End, Limit, Remove, Resume, UndoJournal, Zero, clean_up, journals, watched
from simulations.chaos.watchdog import Watchdog

pytestmark = pytest.mark.long

# A runner that injects a fault into a process and is then killed in the middle of it.
RUNNER = """
import asyncio, json, pathlib, sys
from simulations.chaos.faults import inject
from simulations.chaos.injection import Place
from simulations.chaos.undo import UndoJournal
from simulations.chaos.watchdog import Watchdog

async def main():
    path = pathlib.Path(sys.argv[1])
    path.touch()
    watchdog = Watchdog(path)
    injection = await inject(sys.argv[2], Place(journal=UndoJournal(path)), json.loads(sys.argv[3]))
    while not await injection.has_bitten():
        await asyncio.sleep(0.01)
    print(watchdog.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


# A runner with a wire, a server at its end, and packets under way; it is killed when it says so.
WIRED = """
import asyncio, os, pathlib, sys
from simulations.chaos.links import Weather
from simulations.chaos.processes import descendants
from simulations.chaos.undo import End, UndoJournal
from simulations.chaos.watchdog import Watchdog
from simulations.chaos.wire import Wire
from tests.simulations.chaos.echo import Client, server_at

async def main():
    path = pathlib.Path(sys.argv[1])
    path.touch()
    watchdog = Watchdog(path)
    wire = Wire()
    await wire.start()
    with server_at(wire.host, wire.entering) as port:
        client = await Client.of(wire.host, port)
        [server] = [each for each in descendants(os.getpid()) if wire.host in each.command]
        UndoJournal(path).plan(End(pid=server.pid, started=server.started))
        wire.turn(Weather(delay_s=0.1))
        client.writer.write(b"hello")
        print(wire.host, server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def victim() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "300"]) as started:
        yield started
        started.send_signal(signal.SIGCONT)
        started.kill()


@pytest.fixture
def own_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return journals()


def started(victim: "subprocess.Popen[bytes]") -> int:
    found = process(victim.pid)
    assert found is not None
    return found.started


def state(victim: "subprocess.Popen[bytes]") -> str:
    found = process(victim.pid)
    return found.state if found is not None else "gone"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def test_a_runner_that_is_killed_in_mid_fault_leaves_the_machine_as_it_was(
    tmp_path: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    journal = tmp_path / "journal.jsonl"
    command = [sys.executable, "-c", RUNNER, str(journal), "pause", json.dumps({"pid": victim.pid})]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        watchdog = int(runner.stdout.readline())
        assert state(victim) == "T", "the fault bites"
        assert journal.exists()
        runner.kill()

    until(lambda: state(victim) == "S", "the process goes on")
    until(lambda: not journal.exists(), "nothing is left to be done")
    until(lambda: process(watchdog) is None or state(victim) == "S", "the watchdog ends")


def test_a_runner_that_is_killed_leaves_nobody_in_a_control_group(tmp_path: Path) -> None:
    if missing := control_groups.missing("cpu"):
        pytest.skip(missing)
    hierarchy = control_groups.hierarchy("cpu")
    assert hierarchy is not None
    journal = tmp_path / "journal.jsonl"
    with subprocess.Popen([sys.executable, "-S", "-E", "-c", "while True: pass"]) as busy:
        home = hierarchy.of(busy.pid)
        fault = json.dumps({"pid": busy.pid, "share": 0.1})
        command = [sys.executable, "-c", RUNNER, str(journal), "starve_cpu", fault]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as runner:
            assert runner.stdout is not None
            assert runner.stdout.readline()
            group = hierarchy.of(busy.pid)
            assert group != home, "the fault bites"
            runner.kill()

        until(lambda: not journal.exists(), "nothing is left to be done")
        assert hierarchy.of(busy.pid) == home
        assert not group.exists()
        busy.kill()


def test_a_runner_that_is_killed_leaves_neither_end_of_its_wire(tmp_path: Path) -> None:
    if missing := tunnel.missing():
        pytest.skip(f"packets cannot be had here: {missing}")
    journal = tmp_path / "journal.jsonl"
    with subprocess.Popen([sys.executable, "-c", WIRED, str(journal)], stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        host, server = runner.stdout.readline().decode().split()
        network = IPv4Network(f"{host}/30", strict=False)
        assert network in set(tunnel.routes())
        runner.kill()

    until(lambda: not journal.exists(), "nothing is left to be done")
    found = process(int(server))
    assert found is None or not found.is_running
    assert network not in set(tunnel.routes()), "the device is gone, and with it the way there"


def test_signals_for_the_runners_group_do_not_end_its_watchdog(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.touch()
    watchdog = Watchdog(path)
    assert os.getsid(watchdog.pid) != os.getsid(0)
    os.kill(watchdog.pid, signal.SIGINT)
    os.kill(watchdog.pid, signal.SIGTERM)

    assert watched(path) is None, "it answers for the journal"
    assert watchdog.stop() == 0


def test_what_both_left_behind_is_taken_back_at_the_next_start(
    own_journals: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    journal = UndoJournal(own_journals / "1.jsonl")
    journal.plan(Resume(pid=victim.pid, started=started(victim)))
    victim.send_signal(signal.SIGSTOP)
    journal.close()

    assert undo_forgotten() == []
    until(lambda: state(victim) == "S", "the process goes on")
    assert list(own_journals.glob("*.jsonl")) == []


def test_a_journal_that_somebody_answers_for_is_left_alone(own_journals: Path) -> None:
    path = own_journals / "1.jsonl"
    path.touch()
    lock = watched(path)
    assert lock is not None
    assert undo_forgotten() == []
    assert path.exists()
    lock.close()


def test_a_directory_of_journals_that_others_may_write_to_is_refused(own_journals: Path) -> None:
    own_journals.chmod(0o777)

    with pytest.raises(TerminalError, match="open to others"):
        journals()


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path, victim: "subprocess.Popen[bytes]") -> None:
    journal = UndoJournal(tmp_path / "journal.jsonl")
    journal.plan(End(pid=victim.pid, started=started(victim) - 1))

    assert journal.apply_all() == []
    assert is_same(victim.pid, started(victim))
    journal.close()


def test_everything_is_taken_back_last_first_and_once(tmp_path: Path) -> None:
    path, tree, page = tmp_path / "journal.jsonl", tmp_path / "tree", tmp_path / "page"
    tree.mkdir()
    page.write_bytes(b"\1" * 64)
    journal = UndoJournal(path)
    first = journal.plan(Remove(path=str(tree)))
    journal.plan(Remove(path=str(tree / "file")))
    journal.plan(Zero(path=str(page)))
    (tree / "file").write_text("x")
    assert [type(each) for each in journal.outstanding] == [Remove, Remove, Zero]

    assert journal.apply_all() == []
    journal.apply(first)
    assert not tree.exists()
    assert page.read_bytes() == bytes(64)
    journal.close()
    again = UndoJournal(path)
    assert again.outstanding == []
    again.close()


def test_a_line_that_was_not_written_whole_was_never_acted_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = UndoJournal(path)
    journal.plan(Remove(path="/nowhere"))
    journal.close()
    path.write_bytes(path.read_bytes() + b'{"type":"planned","number":2,"undo":{"type":"remo')

    again = UndoJournal(path)
    assert len(again.outstanding) == 1
    again.close()
    assert clean_up(path) == []


def test_a_limit_is_given_back(tmp_path: Path, victim: "subprocess.Popen[bytes]") -> None:
    soft, hard = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    journal = UndoJournal(tmp_path / "journal.jsonl")
    number = journal.plan(Limit(pid=victim.pid, started=started(victim), what="nofile", soft=soft, hard=hard))
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (3, hard))

    journal.apply(number)
    assert resource.prlimit(victim.pid, resource.RLIMIT_NOFILE) == (soft, hard)
    journal.close()


def test_an_end_takes_what_is_below_with_it(tmp_path: Path) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 300 & echo $!; wait"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        journal = UndoJournal(tmp_path / "journal.jsonl")
        journal.plan(End(pid=parent.pid, started=started(parent)))

        assert journal.apply_all() == []
        assert parent.wait() == -signal.SIGKILL
        found = process(child)
        assert found is None or not found.is_running
        journal.close()


def test_the_function_of_the_files_injects_into_a_process_and_takes_it_back(
    own_journals: Path, victim: "subprocess.Popen[bytes]"
) -> None:
    assert inject("pause", pid=victim.pid) == "SIGSTOP"

    assert state(victim) == "S"
    assert list(own_journals.glob("*.jsonl")) == []
    with pytest.raises(TerminalError, match="no link"):
        inject("partition", link="bus")
    with pytest.raises(TerminalError, match="no fault"):
        inject("meteorite")
