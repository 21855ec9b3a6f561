"""`recount replay` and `recount postmortem`: any past moment again, beside the node and without touching it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from domain.errors import TerminalError
from domain.settings import NodeSettings
from gateway.cli import Config, data, one_line_errors, run, talk
from gateway.replaying.history import Show

Data = Annotated[Path | None, typer.Option("--data", help="the node's directory, as `recount up` has it")]
AsJson = Annotated[bool, typer.Option("--json", help="as JSON")]
Into = Annotated[Path | None, typer.Option("--into", help="an empty directory to replay in; a new one by default")]

DIFFERS = 3


def replay(
    to: Annotated[
        str | None, typer.Option("--to", help="a log position, or a time of recording (RFC 3339); the end by default")
    ] = None,
    question: Annotated[str | None, typer.Option("--ask", help="what to ask then; needs --tenant")] = None,
    code: Annotated[
        str | None, typer.Option("--code", help="a git revision: fold the log under that version too, and compare")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="replay what `recount postmortem` wrote, and check it")
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="only this tenant's events")] = "",
    config: Config = None,
    data_dir: Data = None,
    into: Into = None,
    python: Annotated[
        Path | None, typer.Option("--python", help="with --code: an interpreter that has that version's packages")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Materialise a past moment in a directory of its own, ask it, or compare it with another version's.

    The node's log is only read, and no effect is performed. Status 3 says that the versions differ.
    """
    from gateway.bootstrap import load_settings
    from gateway.replaying.bundle import replay_bundle
    from gateway.replaying.history import Moment, live_feed, moment
    from gateway.replaying.replay import replay as replay_log

    with one_line_errors():
        if question is not None and not tenant:
            raise TerminalError("--ask needs --tenant: whose customers ask?")
        if bundle is not None and (to is not None or code is not None):
            raise TerminalError("a bundle is replayed to its end and under this code: leave out --to and --code")
        settings = load_settings(config, overrides={"data": str(data_dir) if data_dir else None})
        until = Moment() if to is None else moment(to)
        feed = live_feed(settings) if bundle is None else None
        directory = _directory(into)
        with _progress() as show:
            if bundle is not None:
                done = replay_bundle(bundle, directory, show=show)
            else:
                assert feed is not None, "without a bundle there is a log"
                done = replay_log(feed, directory, until, tenant=tenant, show=show)
    _say(
        f"{done.events} events up to position {done.position}, recorded until {done.recorded_at.isoformat()}; "
        f"state {done.state}"
    )
    report: dict[str, object] = {"replayed": msgspec.to_builtins(done)}
    if question is not None:
        report["answer"] = _ask(directory, until.at or done.recorded_at, settings, tenant, question, quiet=as_json)
    is_different = False
    if code is not None:
        report["comparison"], is_different = _compare(directory, code, python, quiet=as_json)
    if as_json:
        data.print_json(data=report)
    else:
        data.print(f"replayed in {directory}", markup=False, highlight=False)
    if is_different:
        raise typer.Exit(DIFFERS)


def _ask(directory: Path, at: datetime, settings: NodeSettings, tenant: str, question: str, *, quiet: bool) -> object:
    """Ask the past; returns the answer for the report."""
    from gateway.replaying.asking import Past

    with one_line_errors(), Past(directory, at, settings) as past:
        answer = run(lambda: past.ask(tenant, question))
    if not quiet:
        data.print(answer.answer, markup=False, highlight=False)
    return msgspec.to_builtins(answer)


def _compare(directory: Path, revision: str, python: Path | None, *, quiet: bool) -> tuple[object, bool]:
    """Fold the past under another version; returns what differs for the report, and whether anything does."""
    from gateway.replaying.other_code import compare_code

    with one_line_errors(), _progress() as show:
        comparison = compare_code(directory, revision, python=python, say=_say, show=show)
    if not quiet:
        data.print(comparison.in_words(), markup=False, highlight=False)
    return msgspec.to_builtins(comparison), comparison.is_different


def postmortem(
    out: Annotated[Path, typer.Option("--out", help="a file that ends in .zip, or an empty directory")],
    since: Annotated[
        str | None, typer.Option("--from", help="a log position, or a time of recording (RFC 3339)")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="the same, and not before it")] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="only this tenant's events")] = "",
    incident: Annotated[
        str, typer.Option("--incident", help="this incident of --tenant, from its first wrong answer to its end")
    ] = "",
    samples: Annotated[
        Path | None, typer.Option("--samples", help="with --incident: what was measured meanwhile (samples.jsonl)")
    ] = None,
    config: Config = None,
    data_dir: Data = None,
) -> None:
    """Write down what happened between two moments, or in an incident, scrubbed, to be read and replayed."""
    from gateway.bootstrap import load_settings
    from gateway.replaying.bundle import write_bundle
    from gateway.replaying.history import live_feed, moment
    from gateway.replaying.postmortem_files import Incidents, stretch
    from gateway.replaying.samples import read_samples

    with one_line_errors(), _progress() as show:
        settings = load_settings(config, overrides={"data": str(data_dir) if data_dir else None})
        feed = live_feed(settings)
        told = None
        if incident:
            if not tenant or since is not None or to is not None:
                raise TerminalError("--incident needs --tenant, and says itself from when to when: no --from, no --to")
            told = Incidents(
                tenant=tenant, incident_id=incident, samples=read_samples(samples) if samples is not None else ()
            )
            first, last = stretch(feed, told)
        elif since is None or to is None:
            raise TerminalError("say --from and --to, or --incident and --tenant")
        else:
            first, last = moment(since), moment(to)
        written = write_bundle(feed, settings, first, last, out, tenant=tenant, incident=told, show=show)
    data.print(
        f"{written.events} events, {written.told} of them between positions {written.first} and {written.last}; "
        f"state {written.state}",
        markup=False,
        highlight=False,
    )
    data.print(f"written to {out}", markup=False, highlight=False)


def _directory(into: Path | None) -> Path:
    if into is None:
        return Path(tempfile.mkdtemp(prefix="recount-replay-"))
    if into.exists() and any(into.iterdir()):
        raise TerminalError(f"{str(into)!r} is not empty; name another directory")
    return into


def _say(words: str) -> None:
    talk.print(words, style="dim", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress() -> Iterator[Show]:
    """A bar for each stage, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as bars:
        stages: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield show
