"""A shard's process that was stopped and comes back after another has taken over writes nothing."""

import os
import signal
from pathlib import Path

import pytest

from domain.message import Accepted
from tests.actors.processes import go, outcome, pause_before_append, running
from tests.worlds import entries_in, facts_in, new_log, new_shard, record


@pytest.mark.long
def test_a_process_that_wakes_up_after_it_was_replaced_is_refused(tmp_path: Path) -> None:
    recorder = new_log(tmp_path)
    with running(pause_before_append, tmp_path) as zombie:
        go(zombie)
        _, status = os.waitpid(zombie.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it decided, and stopped before its commit"
        assert entries_in(recorder) == []

        successor = new_shard(recorder, owner="successor")
        assert successor.handle([record(7)]) == [Accepted(version=1, position=1)]
        os.kill(zombie.pid, signal.SIGCONT)

        fenced = outcome(zombie)

    assert isinstance(fenced, dict)
    assert (fenced["held"], fenced["current"]) == (1, 2)
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_7"]}
    recorder.datastore.close()
