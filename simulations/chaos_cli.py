"""`recount chaos`: experiments on a live node."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway.cli import data, one_line_errors, run, talk

chaos = typer.Typer(name="chaos", help="Faults on a live node, and what they are worth.", no_args_is_help=True)

Experiments = Annotated[list[str], typer.Argument(help="files, names in ops/chaos, or `all`")]


@chaos.command("run")
def run_chaos(
    experiments: Experiments,
    trials: Annotated[int, typer.Option("--trials", min=0, help="in the place of what each says itself")] = 0,
    json: Annotated[Path | None, typer.Option("--json", help="write everything that was seen to this file")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="write a report to this file")] = None,
    score_min: Annotated[float, typer.Option("--score-min", help="status 1 if the interval's low end is below")] = 0.0,
) -> None:
    """Run experiments; status 1 if an invariant broke, a trial failed, or the score is too low."""
    from simulations.chaos.live import Live
    from simulations.chaos.report import report, summary
    from simulations.chaos.runner import Runner, chosen, undo_forgotten

    with one_line_errors():
        wanted = chosen(experiments)
        for failure in undo_forgotten():
            talk.print(f"left behind by an earlier run: {failure}", style="red", markup=False)
        with Live(talk) if talk.is_terminal else nullcontext(Live(talk)) as live:
            runner = Runner(
                wanted,
                trials=trials,
                on_trial=live.on_trial,
                on_phase=live.on_phase,
                on_result=live.on_result,
                on_target=live.on_target,
            )
            result = run(runner.run)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    if html is not None:
        html.write_text(report(result))
        talk.print(f"report in {html}", style="dim", markup=False, highlight=False)
    data.print(summary(result), markup=False, highlight=False)
    is_kept = all(not each.measured.broken for one in result.experiments for each in one.trials if each.measured)
    low = result.suite.low if result.suite.low is not None else result.suite.score
    if not is_kept or result.suite.failures or low is None or low < score_min:
        raise typer.Exit(1)


@chaos.command("list")
def list_experiments() -> None:
    """The experiments of ops/chaos, and which faults this machine can inject."""
    from rich.table import Table

    from simulations.chaos.faults import FAULTS
    from simulations.chaos.runner import chosen

    with one_line_errors():
        table = Table("experiment", "kind", "weight", "what it asks")
        for each in chosen(["all"]):
            table.add_row(each.name, each.terms.kind, f"{each.terms.weight:g}", each.title)
    data.print(table)
    faults = Table("fault", "back-end here", "missing here")
    for name, fault in FAULTS.items():
        faults.add_row(name, fault.backend, fault.missing() or fault.weaker())
    data.print(faults)


@chaos.command("undo")
def undo() -> None:
    """Take back what runs left behind whose watchdogs did not survive either; a run does so first by itself."""
    from simulations.chaos.runner import undo_forgotten

    with one_line_errors():
        failures = undo_forgotten()
    for failure in failures:
        talk.print(failure, style="red", markup=False)
    if failures:
        raise typer.Exit(1)
    talk.print("nothing is left behind", highlight=False)
