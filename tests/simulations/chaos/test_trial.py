"""Trials without a node: what did not bite is void, what was never well says nothing, and all of it is taken back."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulations.chaos import injection, trial
from simulations.chaos.experiment import AbortIf, read_experiment
from simulations.chaos.injection import Place
from simulations.chaos.processes import process
from simulations.chaos.trial import Trial, TrialResult, too_far
from simulations.chaos.undo import UndoJournal

pytestmark = pytest.mark.long

TRUE = {"type": "process", "path": "true"}
FALSE = {"type": "process", "path": "false"}


@pytest.fixture
def victim() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "300"]) as started:
        yield started
        started.kill()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[UndoJournal]:
    made = UndoJournal(tmp_path / "journal.jsonl")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection, "BITE_WITHIN_S", 0.3)
    monkeypatch.setattr(trial, "SETTLE_MAX_S", 0.5)
    monkeypatch.setattr(trial, "STEADY_S", 0.1)


def fault(victim: "subprocess.Popen[bytes]", name: str, **arguments: Any) -> dict[str, Any]:
    given = {"fault": name, "pid": victim.pid, **arguments}
    provider = {"type": "python", "module": "simulations.chaos.inject", "func": "inject", "arguments": given}
    return {"type": "action", "name": name, "provider": provider}


async def run(
    tmp_path: Path, journal: UndoJournal, *method: dict[str, Any], steady: dict[str, Any] = TRUE, **terms: Any
) -> TrialResult:
    probe = {"type": "probe", "name": "steady", "tolerance": 0, "provider": steady}
    ours = {"name": "recount", "target": {"kind": "none"}, "settle_s": 0, "recovery_max_s": 1, **terms}
    file = tmp_path / "experiment.json"
    file.write_text(
        json.dumps(
            {
                "title": "t",
                "description": "d",
                "steady-state-hypothesis": {"title": "s", "probes": [probe]},
                "method": list(method),
                "rollbacks": [
                    {
                        "type": "action",
                        "name": "back",
                        "provider": {"type": "process", "path": "touch", "arguments": [str(tmp_path / "rolled-back")]},
                    }
                ],
                "extensions": [ours],
            }
        )
    )
    return await Trial(read_experiment(file), Place(journal=journal), 1, accepted={}).run()


def state(victim: "subprocess.Popen[bytes]") -> str:
    found = process(victim.pid)
    assert found is not None
    return found.state


async def test_a_fault_that_bites_is_held_and_taken_back(
    tmp_path: Path, journal: UndoJournal, victim: "subprocess.Popen[bytes]"
) -> None:
    result = await run(tmp_path, journal, fault(victim, "pause", hold_s=0.3))

    assert (result.status, result.backend) == ("done", "SIGSTOP")
    assert result.score == pytest.approx(100.0)
    assert result.struck_at_s is not None
    assert result.healed_at_s is not None
    assert result.healed_at_s - result.struck_at_s >= 0.3
    assert state(victim) != "T"
    assert journal.outstanding == []
    assert (tmp_path / "rolled-back").exists()


async def test_a_fault_that_does_not_bite_makes_the_trial_void(
    tmp_path: Path, journal: UndoJournal, victim: "subprocess.Popen[bytes]"
) -> None:
    result = await run(tmp_path, journal, fault(victim, "exhaust_memory", room_bytes=1024**3))

    assert (result.status, result.score) == ("void", None)
    assert "did not bite" in result.reason
    assert journal.outstanding == [], "what was done is taken back all the same"


async def test_what_was_never_well_says_nothing_of_a_fault(
    tmp_path: Path, journal: UndoJournal, victim: "subprocess.Popen[bytes]"
) -> None:
    result = await run(tmp_path, journal, fault(victim, "kill"), steady=FALSE)

    assert (result.status, result.score) == ("failed", None)
    assert "before anything was done" in result.reason
    assert victim.poll() is None


async def test_a_fault_that_cannot_be_injected_fails_in_words(
    tmp_path: Path, journal: UndoJournal, victim: "subprocess.Popen[bytes]"
) -> None:
    for wrong, words in (({"fault": "fill_disk", "pid": 1}, "fill_disk"), ({"fault": "pause", "pid": 0}, "no process")):
        action = fault(victim, "pause")
        action["provider"]["arguments"] = wrong
        result = await run(tmp_path, journal, action)
        assert (result.status, words in result.reason) == ("failed", True), result.reason


async def test_a_trial_that_goes_too_far_is_aborted_and_taken_back(
    tmp_path: Path, journal: UndoJournal, victim: "subprocess.Popen[bytes]"
) -> None:
    result = await run(tmp_path, journal, fault(victim, "pause", hold_s=30), abort_if={"lasts_s_above": 0.2})

    assert result.status == "aborted"
    assert state(victim) != "T"


async def test_files_are_exhausted_only_where_the_next_one_would_be_refused(
    tmp_path: Path, journal: UndoJournal, victim: "subprocess.Popen[bytes]"
) -> None:
    result = await run(tmp_path, journal, fault(victim, "exhaust_files"))

    assert (result.status, result.backend) == ("done", "prlimit RLIMIT_NOFILE")


def test_the_limits_of_a_machine_are_said_in_words() -> None:
    assert too_far(AbortIf(free_disk_bytes_below=0, free_memory_bytes_below=0), 1.0) == ""
    assert "disk" in too_far(AbortIf(free_disk_bytes_below=2**62), 1.0)
    assert "memory" in too_far(AbortIf(free_disk_bytes_below=0, free_memory_bytes_below=2**62), 1.0)
    assert "lasted" in too_far(AbortIf(), 1_000.0)
    assert os.getloadavg()[0] < 0.001 or "load" in too_far(
        AbortIf(free_disk_bytes_below=0, free_memory_bytes_below=0, load_above=0.0001), 1.0
    )
