"""`recount simulate capstone`: everything once, on one machine, each stage by the command that a person would type.

A stage runs in a process group of its own, has a limit, and is judged by its status and its figures. One that fails
does not keep the others from running.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

TOTAL_S = 20 * 60
STOP_S = 60
LOOK_EVERY_S = 0.2
_SAID_LINES = 40
# How a line of figures begins, which are written to a file as well.
_OF_FIGURES = frozenset({"{", "}", " "})
_COMMAND = (sys.executable, "-m", "simulations")


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage.

    Args:
        name: names its files.
        title: what it shows, in words.
        command: the program and its arguments; `{json}` and `{dir}` stand for a file and a directory of its own.
        limit_s: it is ended after that.
    """

    name: str
    title: str
    command: tuple[str, ...]
    limit_s: float


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a stage. `figures` is the JSON that it wrote, `said` the end of what it printed.

    `missed` says why it did not pass, empty if it did.
    """

    name: str
    title: str
    command: str
    took_s: float
    missed: str
    figures: msgspec.Raw
    said: str


class CapstoneReport(msgspec.Struct, frozen=True, kw_only=True):
    """All stages."""

    stages: list[StageResult]
    took_s: float
    missed: list[str]
    meets_target: bool


def stages(*, seed: int, rate: float, trials: int, score_min: float) -> list[Stage]:
    """The stages of a run: machine, flows, load, incident, chaos.

    Args:
        seed: of the incident.
        rate: webhooks and questions per second under load.
        trials: of each chaos experiment.
        score_min: what the chaos suite must come to, of 100.
    """
    return [
        Stage(name="machine", title="This machine can run a node", command=(*_COMMAND, "doctor"), limit_s=60),
        Stage(
            name="flows",
            title="Disordered webhooks come to true answers, and a wrong one is corrected",
            command=(*_COMMAND, "demo", "--json", "{json}"),
            limit_s=180,
        ),
        Stage(
            name="load",
            title="Webhooks in and questions out at the same time",
            command=(*_COMMAND, "bench", "mixed", "--rate", f"{rate:g}", "--json", "{json}"),
            limit_s=240,
        ),
        Stage(
            name="incident",
            title="A payment incident is found, repaired and written up",
            command=(*_COMMAND, "simulate", "incident", "--seed", str(seed), "--report", "{dir}", "--json", "{json}"),
            limit_s=360,
        ),
        Stage(
            name="chaos",
            title="Each part is killed, paused, starved, cut off and filled up",
            command=(
                *_COMMAND,
                *("chaos", "run", "all", "--trials", str(trials), "--score-min", f"{score_min:g}"),
                *("--json", "{json}", "--html", "{dir}/chaos.html"),
            ),
            limit_s=900,
        ),
    ]


async def run_capstone(
    wanted: Sequence[Stage],
    out: Path,
    *,
    total_s: float = TOTAL_S,
    on_stage: Callable[[Stage], None] = lambda stage: None,
    on_line: Callable[[str], None] = lambda line: None,
    on_result: Callable[[StageResult], None] = lambda result: None,
) -> CapstoneReport:
    """Run the stages one after the other; what they write lies in `out`, an empty directory, beside their logs."""
    began_s = time.monotonic()
    results = []
    for stage in wanted:
        on_stage(stage)
        result = await _run(stage, out, on_line)
        on_result(result)
        results.append(result)
    took_s = time.monotonic() - began_s
    missed = [f"{each.name}: {each.missed}" for each in results if each.missed]
    if took_s > total_s:
        missed.append(f"it took {took_s:.0f} s, more than {total_s:.0f}")
    return CapstoneReport(stages=results, took_s=round(took_s, 1), missed=missed, meets_target=not missed)


async def _run(stage: Stage, out: Path, on_line: Callable[[str], None]) -> StageResult:
    json, directory, log = out / f"{stage.name}.json", out / stage.name, out / f"{stage.name}.log"
    command = [part.replace("{json}", str(json)).replace("{dir}", str(directory)) for part in stage.command]
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    began_s = time.monotonic()
    missed = ""
    # Results and progress go to one file, and not through a pipe: who inherits that may keep it open for ever.
    with log.open("ab", buffering=0) as written:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )
        is_over = asyncio.Event()
        telling = asyncio.create_task(_tell(log, on_line, is_over))
        try:
            async with asyncio.timeout(stage.limit_s):
                if await process.wait():
                    missed = f"it ended with status {process.returncode}"
        except TimeoutError:
            missed = f"it took more than {stage.limit_s:.0f} s"
        finally:
            await _end(process)
            is_over.set()
            await telling
    figures, of_figures = await asyncio.to_thread(_judged, json)
    said = await asyncio.to_thread(log.read_text, errors="replace")
    return StageResult(
        name=stage.name,
        title=stage.title,
        command=_written(command),
        took_s=round(time.monotonic() - began_s, 1),
        missed="; ".join(each for each in (missed, *of_figures) if each),
        figures=msgspec.Raw(figures),
        said="\n".join(said.splitlines()[-_SAID_LINES:]),
    )


async def _tell(log: Path, on_line: Callable[[str], None], is_over: asyncio.Event) -> None:
    """Tell what a stage says, as it is written, without the figures that it prints."""
    rest = ""
    with log.open(errors="replace") as written:
        is_last = False
        while not is_last:
            is_last = is_over.is_set()
            *lines, rest = (rest + written.read()).split("\n")
            for line in lines:
                if line[:1] not in _OF_FIGURES:
                    on_line(line.rstrip())
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await is_over.wait()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a stage with all that it started: first asking, if it is still there."""
    if process.returncode is None:
        with suppress(ProcessLookupError, TimeoutError):
            os.killpg(process.pid, signal.SIGTERM)
            async with asyncio.timeout(STOP_S):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _written(command: Sequence[str]) -> str:
    """The command as a person types it."""
    is_own = tuple(command[: len(_COMMAND)]) == _COMMAND
    return " ".join(["recount", *command[len(_COMMAND) :]] if is_own else command)


def _judged(json: Path) -> tuple[bytes, list[str]]:
    """What a stage wrote, `null` without anything that can be read, and what that says was missed."""
    if not json.exists():
        return b"null", []
    figures = json.read_bytes()
    try:
        found = msgspec.json.decode(figures)
    except msgspec.DecodeError as error:
        return b"null", [f"its figures cannot be read: {error}"]
    if not isinstance(found, dict):
        return figures, []
    missed = [str(each) for each in found.get("missed", [])]
    return figures, missed or (["its figures miss their target"] if found.get("meets_target") is False else [])
