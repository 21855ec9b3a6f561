"""An experiment from its file to its report, on a node of its own: it bites, all is well again, nothing is left."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.processes import processes
from tests.tidy.source import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]


@pytest.fixture
def made() -> Iterator[Path]:
    """Where everything is made for a run, so that what is left of it shows. A long path is none for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        yield Path(directory)


def test_a_killed_payment_shard_is_scored_and_the_machine_is_as_it_was(made: Path, tmp_path: Path) -> None:
    experiment = json.loads((ROOT / "ops" / "chaos" / "payments-killed.json").read_text())
    experiment["extensions"][0] |= {"settle_s": 1, "trials": 1}
    file = tmp_path / "killed.json"
    file.write_text(json.dumps(experiment))
    before = set(processes())
    command = [sys.executable, "-m", "simulations", "chaos", "run", str(file)]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "run.json"), "--html", str(tmp_path / "run.html")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(made), "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "run.json").read_text())
    [trial] = result["experiments"][0]["trials"]
    assert trial["status"] == "done"
    assert trial["measured"]["broken"] == []
    assert trial["backend"] == "SIGKILL"
    assert trial["recovered_at_s"] > trial["struck_at_s"]
    assert any(each["what"] == "part:payments-0" for each in trial["noticed"])
    assert result["suite"]["kinds"] == ["process"]
    assert "<svg" in (tmp_path / "run.html").read_text()
    assert list(made.glob("recount-chaos-node-*")) == [], "the node's files are gone"
    assert list(made.glob("recount-chaos-*/*.jsonl")) == [], "and there is nothing to be undone"
    ours = [each.name for pid, each in processes().items() if pid not in before and str(made) in each.name]
    assert ours == [], "nor does any of its processes run"
