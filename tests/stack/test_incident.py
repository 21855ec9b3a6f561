"""The incident on the live stack, small: it comes to its end, and the provider's books agree with all that is said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.replaying.samples import FILE, read_samples
from tests.tidy.source import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TIMEOUT_S = 240


def test_a_small_incident_is_lived_through_and_written_down(tmp_path: Path) -> None:
    out = tmp_path / "report"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.stack.small_incident", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]

    report = json.loads((out / "figures.json").read_text())
    assert report["error"] == ""
    verified = report["verified"]
    assert {name: said for name, said in verified["checks"].items() if said} == {}
    assert (verified["wrong_after"], verified["missing"], verified["unfounded"]) == (0, [], [])
    assert verified["corrections"] >= 2
    assert report["times"]["recover_s"] < 120
    told = (out / "postmortem.md").read_text()
    assert "resolved: verified against the provider's books" in told
    assert {each.kind for each in read_samples(out / FILE)} >= {"answer", "freshness", "phase", "fault", "peer"}
