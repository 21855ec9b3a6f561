"""Stages are judged by their status, have a limit, and do not keep each other from running."""

import json
import sys
import time
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from simulations.bench_mixed import MixedReport
from simulations.capstone import CapstoneReport, Stage, run_capstone, stages
from simulations.capstone_report import page
from simulations.chaos.processes import process
from simulations.cli import main
from simulations.steady_load import Times

TIMES = Times(requests=30, failed=0, p50_ms=1.0, p95_ms=2.0, p99_ms=3.0, max_ms=4.0)
MIXED = MixedReport(
    messages_per_second=10.0,
    questions_per_second=10.0,
    messages=30,
    taken=TIMES,
    answers=TIMES,
    answers_p95_ms=[2.0, 7.0, 3.0],
    visible_p95_s=0.1,
    drained_s=0.2,
    checked=300,
    wrong=[],
    wrong_count=0,
    missed=[],
    meets_target=True,
)


def stage(program: str, name: str = "load", limit_s: float = 30.0) -> Stage:
    return Stage(name=name, title=f"stage {name}", command=(sys.executable, "-c", program, "{json}"), limit_s=limit_s)


def writes(figures: object, status: int = 0) -> str:
    return f"import sys, pathlib; pathlib.Path(sys.argv[1]).write_text({json.dumps(figures)!r}); sys.exit({status})"


async def test_all_stages_pass_and_their_figures_are_on_the_page(tmp_path: Path) -> None:
    report = await run_capstone([stage(writes(msgspec.to_builtins(MIXED)))], tmp_path)

    assert (report.meets_target, report.missed) == (True, [])
    shown = page(report)
    assert "all targets were met" in shown
    assert "10/s, 30 in all" in shown
    assert shown.count("<polyline") == 1


async def test_a_stage_that_fails_is_missed_with_its_reasons_and_the_next_one_runs(tmp_path: Path) -> None:
    spoilt = msgspec.to_builtins(msgspec.structs.replace(MIXED, missed=["an answer took 900 ms"]))

    report = await run_capstone([stage(writes(spoilt, status=1)), stage("print('all is <well>')", "machine")], tmp_path)

    assert report.missed == ["load: it ended with status 1; an answer took 900 ms"]
    assert [each.missed for each in report.stages][1] == ""
    shown = page(report)
    assert "an answer took 900 ms" in shown
    assert "all is &lt;well&gt;" in shown


async def test_a_stage_over_its_limit_is_ended_with_what_it_started(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time; child = subprocess.Popen(['sleep', '300']);"
        "print(child.pid, file=sys.stderr, flush=True); time.sleep(300)"
    )
    lines: list[str] = []

    report = await run_capstone([stage(program, limit_s=1.0)], tmp_path, on_line=lines.append)

    assert report.missed == ["load: it took more than 1 s"]
    deadline_s = time.monotonic() + 20
    while (child := process(int(lines[0]))) is not None and child.state != "Z":
        assert time.monotonic() < deadline_s, "what the stage started is still there"


async def test_what_a_stage_started_ends_with_it_though_the_stage_itself_was_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal, subprocess, sys; child = subprocess.Popen(['sleep', '300']);"
        "print(child.pid, file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    lines: list[str] = []

    report = await run_capstone([stage(program)], tmp_path, on_line=lines.append)

    assert report.missed == ["load: it ended with status -9"]
    deadline_s = time.monotonic() + 20
    while (child := process(int(lines[0]))) is not None and child.state != "Z":
        assert time.monotonic() < deadline_s, "what the stage started is still there"


@pytest.mark.parametrize(
    ("program", "missed"),
    [
        ("import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('{')", "its figures cannot be read"),
        (writes({"meets_target": False}), "its figures miss their target"),
        ("import sys; print('x' * 200_000, file=sys.stderr); sys.exit(3)", "it ended with status 3"),
    ],
)
async def test_a_stage_that_goes_wrong_in_any_way_is_missed_and_there_is_a_page(
    tmp_path: Path, program: str, missed: str
) -> None:
    report = await run_capstone([stage(program), stage("pass", "machine")], tmp_path)

    assert [each.missed[: len(missed)] for each in report.stages] == [missed, ""]
    assert missed in page(report)


async def test_a_run_that_takes_too_long_in_all_is_missed(tmp_path: Path) -> None:
    report: CapstoneReport = await run_capstone([stage("pass")], tmp_path, total_s=0.0)

    assert not report.meets_target
    assert "more than 0" in report.missed[0]


def test_every_stage_is_a_command_with_options_that_there_are() -> None:
    for each in stages(seed=1, rate=10, trials=1, score_min=90):
        arguments = [*each.command[3:], "--help"]

        result = CliRunner().invoke(main, arguments)

        assert result.exit_code == 0, f"{arguments}: {result.output}"


def test_a_directory_with_something_in_it_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()

    result = CliRunner().invoke(main, ["simulate", "capstone", "--out", str(tmp_path)])

    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
