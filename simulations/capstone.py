"""`recount simulate capstone`: everything once, on one machine, each stage by the command that a person would type.

A stage runs in a process group of its own, has a limit, and is judged by its status and its figures. One that fails
does not keep the others from running.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

TOTAL_S = 20 * 60
STOP_S = 60
_SAID_LINES = 40
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
    own = (*_COMMAND,)
    return [
        Stage(name="machine", title="This machine can run a node", command=(*own, "doctor"), limit_s=60),
        Stage(
            name="flows",
            title="Disordered webhooks come to true answers, and a wrong one is corrected",
            command=(*own, "demo", "--json", "{json}"),
            limit_s=180,
        ),
        Stage(
            name="load",
            title="Webhooks in and questions out at the same time",
            command=(*own, "bench", "mixed", "--rate", f"{rate:g}", "--json", "{json}"),
            limit_s=240,
        ),
        Stage(
            name="incident",
            title="A payment incident is found, repaired and written up",
            command=(*own, "simulate", "incident", "--seed", str(seed), "--report", "{dir}", "--json", "{json}"),
            limit_s=360,
        ),
        Stage(
            name="chaos",
            title="Each part is killed, paused, starved, cut off and filled up",
            command=(
                *own,
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
    # Results go to standard output and progress beside it; both append to one file.
    with log.open("ab", buffering=0) as written:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=written, stderr=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            async with asyncio.timeout(stage.limit_s):
                assert process.stderr is not None
                async for line in process.stderr:
                    written.write(line)
                    on_line(line.decode(errors="replace").rstrip())
                if await process.wait():
                    missed = f"it ended with status {process.returncode}"
        except TimeoutError:
            missed = f"it took more than {stage.limit_s:.0f} s"
        finally:
            await _end(process)
    figures = await asyncio.to_thread(_figures, json)
    said = await asyncio.to_thread(log.read_text, errors="replace")
    return StageResult(
        name=stage.name,
        title=stage.title,
        command=_written(command),
        took_s=round(time.monotonic() - began_s, 1),
        missed=missed + _reasons(figures) if missed else "",
        figures=msgspec.Raw(figures),
        said="\n".join(said.splitlines()[-_SAID_LINES:]),
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a stage that is still there with all that it started, first asking."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except ProcessLookupError:
            return
        except TimeoutError:
            continue
        return


def _written(command: Sequence[str]) -> str:
    """The command as a person types it."""
    is_own = tuple(command[: len(_COMMAND)]) == _COMMAND
    return " ".join(["recount", *command[len(_COMMAND) :]] if is_own else command)


def _figures(json: Path) -> bytes:
    return json.read_bytes() if json.exists() else b"null"


def _reasons(figures: bytes) -> str:
    """What the figures themselves say was missed."""
    found = msgspec.json.decode(figures)
    missed = found.get("missed", []) if isinstance(found, dict) else []
    return "".join(f"; {each}" for each in missed)
