"""`recount simulate`: worlds under faults, one seed or many, here or on a Ray cluster."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from domain.errors import TerminalError
from gateway.cli import data, one_line_errors, run, talk
from simulations.faults import Options

simulate = typer.Typer(name="simulate", help="Prove a change safe on virtual time.", no_args_is_help=True)

STEPS = Options().steps
Json = Annotated[Path | None, typer.Option("--json", help="write the figures to this file as well")]


@simulate.command("world")
def world(
    seed: Annotated[int | None, typer.Option("--seed", help="one seed, with its story")] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="many: FIRST..LAST, both included")] = "",
    steps: Annotated[int, typer.Option("--steps", min=1, help="how many steps of the scheduler have faults")] = STEPS,
    ray: Annotated[str, typer.Option("--ray", help="spread the seeds over a Ray cluster: local, auto, ray://...")] = "",
    without: Annotated[str, typer.Option("--without", help="take a mechanism out, e.g. fencing")] = "",
    removals: Annotated[bool, typer.Option("--removals", help="take each mechanism out and search for it")] = False,
    json: Json = None,
) -> None:
    """Run a node's production parts on virtual time under seeded faults and check what must always hold.

    Exits 1 if an invariant broke; the failing seed is printed with its options and shrunk.
    """
    with one_line_errors():
        if removals:
            _removals(json)
        elif seeds:
            _many(*_range(seeds), steps=steps, ray=ray, json=json)
        else:
            _one(0 if seed is None else seed, steps=steps, without=_known(without), json=json)


@simulate.command("provider")
def provider(
    scenario: Annotated[Path | None, typer.Option("--scenario", help="what it has and what goes wrong (TOML)")] = None,
    http: Annotated[str, typer.Option("--http", help="HOST:PORT; port 0 takes a free one")] = "127.0.0.1:8090",
    webhooks: Annotated[str, typer.Option("--webhooks", help="URL that its webhooks go to")] = "",
    secret: Annotated[str, typer.Option("--secret", help="what its webhooks are signed with")] = "",
) -> None:
    """Run a simulated payment provider and chat with a virtual clock and faults until SIGTERM or SIGINT."""
    from simulations.provider_scenario import Scenario, load_scenario
    from simulations.provider_server import serve

    with one_line_errors():
        chosen = Scenario() if scenario is None else load_scenario(scenario)
        if webhooks:
            chosen = msgspec.structs.replace(chosen, webhook_url=webhooks)
        if secret:
            chosen = msgspec.structs.replace(chosen, webhook_secret=secret)
        run(lambda: serve(chosen, http, on_ready=lambda url: data.print(f"ready http={url}", highlight=False)))


@simulate.command("sagas")
def sagas(
    sagas: Annotated[int, typer.Option("--sagas", min=10, help="how many payments are started")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="what happens, and what goes wrong")] = 7,
    faulty: Annotated[float, typer.Option("--faulty", min=0, max=0.5, help="share of calls that go wrong")] = 0.10,
    json: Json = None,
) -> None:
    """Run sagas against a simulated provider over HTTP that keeps failing, and compare with its books.

    Exits 1 if money was made, lost or refunded twice, if a saga is stuck, or if a payment view differs from the books.
    """
    from actors.telemetry import configure_logging
    from simulations.sagas import PHASES
    from simulations.sagas_checks import complaints, rows
    from simulations.sagas_run import run_sagas

    # Attempts that fail are what is simulated.
    configure_logging("critical")
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with one_line_errors(), Progress(*columns, console=talk, transient=True) as progress:
        task = progress.add_task("", total=sum(phase.turns for phase in PHASES))

        def on_turn(phase: str) -> None:
            progress.update(task, advance=1, description=phase)

        figures = run(lambda: run_sagas(sagas=sagas, seed=seed, faulty=faulty, on_turn=on_turn))
    table = Table(show_header=False)
    for name, figure in rows(figures):
        table.add_row(name, figure)
    talk.print(table)
    for sentence in complaints(figures):
        talk.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    _out(figures, json)
    if not figures.meets_target:
        raise typer.Exit(1)


@simulate.command("incident")
def incident(
    seed: Annotated[int | None, typer.Option("--seed", help="what happens, to whom, and what goes wrong")] = None,
    speed: Annotated[float, typer.Option("--speed", help="how much faster the story passes")] = 12.0,
    report: Annotated[Path | None, typer.Option("--report", help="an empty directory for the postmortem")] = None,
    without: Annotated[str, typer.Option("--without", help='take a fix out, e.g. "tie rank"')] = "",
    json: Json = None,
) -> None:
    """Live through a payment incident on the whole stack: disorder, failed refunds, a corrupted view, and recovery.

    Exits 1 if a target was missed: a phase not left in time, an answer wrong afterwards, corrections not exact.
    """
    from simulations.incident_plan import SEED, Plan, fix_named
    from simulations.incident_report import rows, run_and_report

    with one_line_errors():
        if report is not None and report.exists() and any(report.iterdir()):
            raise TerminalError(f"--report {str(report)!r} is not empty; name another directory")
        fixes = frozenset({fix_named(without)}) if without else frozenset()
        plan = Plan(seed=SEED if seed is None else seed, speed=speed, without=fixes)

        def say(words: str) -> None:
            talk.print(words, style="dim", markup=False, highlight=False)

        figures = run(lambda: run_and_report(plan, report, on_progress=say))
    table = Table(show_header=False)
    for name, figure in rows(figures):
        table.add_row(name, figure)
    talk.print(table)
    for sentence in figures.missed:
        talk.print(f"missed: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    for sentence in figures.beyond_aim:
        talk.print(sentence, style="dim", markup=False, highlight=False, soft_wrap=True)
    if report is not None:
        talk.print(f"postmortem in {report}", markup=False, highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    if not figures.meets_target:
        raise typer.Exit(1)


@simulate.command("capstone")
def capstone(
    out: Annotated[Path, typer.Option("--out", help="an empty directory for the report")] = Path("capstone"),
    seed: Annotated[int | None, typer.Option("--seed", help="of the incident")] = None,
    rate: Annotated[float, typer.Option("--rate", min=1, help="webhooks and questions per second")] = 1_000,
    trials: Annotated[int, typer.Option("--trials", min=1, help="of each chaos experiment")] = 1,
    score_min: Annotated[float, typer.Option("--score-min", help="what the chaos suite must come to")] = 90.0,
) -> None:
    """Everything once: this machine, the flows, load, an incident and every fault, with a report; about 15 minutes.

    Exits 1 if a target was missed.
    """
    from simulations.capstone import StageResult, run_capstone, stages
    from simulations.capstone_report import page
    from simulations.incident_plan import SEED

    with one_line_errors():
        if out.exists() and any(out.iterdir()):
            raise TerminalError(f"--out {str(out)!r} is not empty; name another directory")
        out.mkdir(parents=True, exist_ok=True)
        wanted = stages(seed=SEED if seed is None else seed, rate=rate, trials=trials, score_min=score_min)
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        with Progress(*columns, console=talk, transient=True) as progress:
            task = progress.add_task("", total=len(wanted))

            def tell(result: StageResult) -> None:
                progress.advance(task)
                found, style = (f"missed: {result.missed}", "red") if result.missed else ("passed", "green")
                said = f"{result.name}: {found}, {result.took_s:.0f} s"
                talk.print(said, style=style, markup=False, soft_wrap=True)

            report = run(
                lambda: run_capstone(
                    wanted,
                    out.resolve(),
                    on_stage=lambda stage: progress.update(task, description=stage.title),
                    on_line=lambda line: progress.console.print(line, style="dim", markup=False, highlight=False),
                    on_result=tell,
                )
            )
        (out / "index.html").write_text(page(report))
        (out / "figures.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    talk.print(f"report in {out / 'index.html'}, {report.took_s / 60:.1f} minutes", markup=False, highlight=False)
    if not report.meets_target:
        raise typer.Exit(1)


def _known(mechanism: str) -> str:
    from simulations.removals import REMOVALS

    known = [removal.mechanism for removal in REMOVALS]
    if mechanism and mechanism not in known:
        raise TerminalError(f"--without {mechanism!r}: there is {', '.join(known)}")
    return mechanism


def _range(text: str) -> tuple[int, int]:
    first, separator, last = text.partition("..")
    if not (separator and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise TerminalError(f"--seeds {text!r}: write FIRST..LAST, e.g. 0..9999")
    return int(first), int(last)


def _one(seed: int, *, steps: int, without: str, json: Path | None) -> None:
    from simulations.choices import seeded
    from simulations.faults import drawn
    from simulations.sweep import check_seed, wiring_of
    from simulations.world import simulate as run
    from simulations.world_report import show_failure

    checked = check_seed(seed, steps=steps, without=without)
    if checked.violations:
        show_failure(talk, checked, without=without)
    else:
        stream = seeded(seed)
        outcome = run(drawn(stream.told, steps=steps), stream, wiring_of(without))
        for line in outcome.story:
            talk.print(line, markup=False, highlight=False, style="dim")
    _out(msgspec.structs.replace(checked, story=[]), json)
    if checked.violations:
        raise typer.Exit(1)


def _many(first: int, last: int, *, steps: int, ray: str, json: Path | None) -> None:
    from simulations.sweep import on_ray, on_this_machine, sweep
    from simulations.world_report import show_failure, show_sweep

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=talk, transient=True) as progress:
        task = progress.add_task("seeds", total=last - first + 1)

        def on_progress(done: int, failed: int) -> None:
            progress.update(task, completed=done, description=f"seeds, {failed} failed" if failed else "seeds")

        swept = sweep(first, last, steps=steps, spread=on_ray(ray) if ray else on_this_machine, on_progress=on_progress)
    show_sweep(talk, swept)
    for failed in swept.failures[:1]:
        show_failure(talk, failed)
    _out(swept, json)
    if swept.failures:
        raise typer.Exit(1)


def _removals(json: Path | None) -> None:
    from simulations.removals import REMOVALS
    from simulations.world_report import detect, show_removals

    found = []
    for number, removal in enumerate(REMOVALS):
        found.append(detect(removal.mechanism, first=number * 10_000, searches=5))
        talk.print(f"without {removal.mechanism}: {found[-1].seeds} seeds", style="dim", markup=False, highlight=False)
    show_removals(talk, found)
    _out(found, json)
    if any(not each.violation for each in found):
        raise typer.Exit(1)


def _out(figures: object, json: Path | None) -> None:
    text = msgspec.json.format(msgspec.json.encode(figures), indent=2).decode()
    data.print(text, markup=False, highlight=False)
    if json is not None:
        json.write_text(text + "\n")
