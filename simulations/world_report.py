"""What a simulation found, for a terminal: one failing seed made short, a sweep, the table of removals."""

import subprocess
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from simulations.choices import seeded
from simulations.faults import Options, drawn
from simulations.removals import REMOVALS
from simulations.sweep import Checked, Sweep, check_seed, wiring_of

STORY_LINES_MAX = 80


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """How long the simulator takes to notice that a mechanism is missing.

    `seeds` is how many seeds each of the searches went through, `virtual_s` and `real_s` what they took in all.
    """

    mechanism: str
    without: str
    seeds: list[int]
    median_seeds: int
    virtual_s: float
    real_s: float
    violation: str


def detect(mechanism: str, *, first: int = 0, searches: int = 1, seeds_max: int = 1_000) -> Detection:
    """Search the seeds from `first` on for a violation without the mechanism.

    It is searched for `searches` times, each from where the last one ended. A search that goes through `seeds_max`
    seeds in vain counts as that many. Seeds in whose world there is no such mechanism count, and are not run.
    """
    [removal] = [each for each in REMOVALS if each.mechanism == mechanism]
    started_s = time.monotonic()
    seed, counts, virtual_s, violation = first, list[int](), 0.0, ""
    for _ in range(searches):
        begun = seed
        while seed - begun < seeds_max:
            seed += 1
            if not removal.is_in(drawn(seeded(seed - 1).told)):
                continue
            checked = check_seed(seed - 1, without=mechanism)
            virtual_s += checked.virtual_s
            if checked.violations:
                violation = violation or checked.violations[0]
                break
        counts.append(seed - begun)
    return Detection(
        mechanism=mechanism,
        without=removal.without,
        seeds=counts,
        median_seeds=sorted(counts)[len(counts) // 2],
        virtual_s=round(virtual_s, 1),
        real_s=round(time.monotonic() - started_s, 1),
        violation=violation,
    )


def commit() -> str:
    """The commit of this program, `unknown` where it is not run from a clone."""
    found = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],  # noqa: S607 - whichever git there is
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def show_failure(show: Console, failed: Checked, *, without: str = "", within_s: float = 60.0) -> None:
    """The seed, the options, the commit, and the shortest run that was found in `within_s` seconds."""
    from simulations.shrinking import shrink  # noqa: PLC0415 - Hypothesis is for failures only

    show.print(f"\nseed {failed.seed}, schedule {failed.schedule}, commit {commit()}", style="bold red")
    for violation in failed.violations:
        show.print(f"  {violation}", markup=False, highlight=False)
    show.print(f"  options {_json(failed.options)}", markup=False, highlight=False)
    if failed.violations[0].startswith(("determinism", "permutation")):
        return
    show.print(f"  shrinking for up to {within_s:.0f} s ...", style="dim")
    short = shrink(failed.seed, failed.schedule, failed.options, wiring_of(without), within_s=within_s)
    show.print(f"  shortest: options {_json(short.options)}", markup=False, highlight=False)
    show.print(f"  choices {short.choices}", markup=False, highlight=False, style="dim")
    for line in short.outcome.story[-STORY_LINES_MAX:]:
        show.print(f"  {line}", markup=False, highlight=False)
    for violation in short.outcome.violations[:3]:
        show.print(f"  {violation}", markup=False, highlight=False, style="red")


def show_sweep(show: Console, swept: Sweep) -> None:
    """The figures of a sweep and what it met."""
    table = Table(title=f"\nseeds {swept.first} to {swept.last}", title_justify="left", show_header=False)
    table.add_row("seeds", str(swept.seeds))
    table.add_row("runs", f"{swept.runs} ({swept.runs_per_second}/s)")
    table.add_row("scheduler steps", str(swept.steps))
    table.add_row("events recorded", str(swept.events))
    table.add_row("virtual hours", f"{swept.virtual_s / 3600:.1f}")
    table.add_row("fault and point pairs met", str(len(swept.coverage)))
    table.add_row("never met", ", ".join(swept.never_met) or "none")
    table.add_row("seeds that failed", str(len(swept.failures)), style="bold")
    show.print(table)


def show_removals(show: Console, found: list[Detection]) -> None:
    table = Table(title="\nwithout each mechanism", title_justify="left")
    for column in ("mechanism", "what goes wrong", "seeds to detect", "virtual", "real"):
        table.add_column(column)
    for each in found:
        table.add_row(
            each.mechanism, each.without, str(each.median_seeds), f"{each.virtual_s:.0f} s", f"{each.real_s:.1f} s"
        )
    show.print(table)


def _json(options: Options) -> str:
    return msgspec.json.encode(options).decode()
