"""The `recount` command: the gateway's commands, and those that need a simulated world."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from gateway.cli import app, data, one_line_errors, run, talk
from gateway.remediation_cli import remediation
from gateway.replay_cli import postmortem, replay
from simulations.chaos_cli import chaos
from simulations.simulate_cli import simulate

main = app
app.command()(replay)
app.command()(postmortem)


@app.command()
def demo(
    json: Annotated[Path | None, typer.Option("--json", help="write the figures and both answers to this file")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="another stream of webhooks")] = None,
    payments: Annotated[int, typer.Option("--payments", min=100, max=5_000, help="how many payments")] = 400,
) -> None:
    """Start everything, feed it disordered webhooks, ask before and after a late one, check every payment."""
    from simulations.demo import SEED, run_demo

    with one_line_errors():
        report = run(lambda: run_demo(talk, data, seed=SEED if seed is None else seed, payments=payments))
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        talk.print(f"figures in {json}", style="dim", markup=False, highlight=False)


app.add_typer(simulate)
app.add_typer(chaos)
app.add_typer(remediation)
bench = typer.Typer(name="bench", help="Measure, each in one run with its own limit.", no_args_is_help=True)
app.add_typer(bench)

Json = Annotated[Path | None, typer.Option("--json", help="write the figures to this file as well")]


def _report(figures: msgspec.Struct, target: str, json: Path | None) -> None:
    """The figures on standard output as JSON; status 1 if the target is missed."""
    text = msgspec.json.format(msgspec.json.encode(figures), indent=2).decode()
    data.print(text, markup=False, highlight=False)
    if json is not None:
        json.write_text(text + "\n")
    is_met = getattr(figures, "meets_target")  # noqa: B009 - every report has it
    talk.print(f"target {'met' if is_met else 'MISSED'}: {target}", style="green" if is_met else "red", markup=False)
    if not is_met:
        raise typer.Exit(1)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Figures for a person: the first column is words, the others are numbers."""
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    talk.print(table)


def _say(words: str) -> None:
    talk.print(words, style="dim", markup=False, highlight=False)


@bench.command("ingest")
def bench_ingest(
    webhooks: Annotated[int, typer.Option(min=1_000, help="how many wait in the stream")] = 20_000,
    steady_s: Annotated[float, typer.Option("--steady", min=1, help="seconds of the steady stream")] = 20,
    intakes: Annotated[int, typer.Option(min=1, help="how many take messages from the stream")] = 1,
    chats: Annotated[int, typer.Option(min=0, help="how many chat messages are taken in afterwards")] = 0,
    json: Json = None,
) -> None:
    """From JetStream to visible in the payments view, beside plain fetch and acknowledge in the same run."""
    from simulations.bench_ingest import bench_ingest

    with one_line_errors(), tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        figures = run(lambda: bench_ingest(directory, webhooks, steady_s, _say, intakes=intakes, chats=chats))
    _report(
        figures,
        "3,000 webhooks/s and a third of fetch-and-acknowledge; at 500/s recorded to visible below 250 ms at p95",
        json,
    )


@bench.command("ask")
def bench_ask(
    seconds: Annotated[float, typer.Option(min=1, help="seconds of each part")] = 10,
    precision: Annotated[str, typer.Option(help="of the embedding model: mixed, int8 or fp32")] = "mixed",
    plot: Annotated[Path | None, typer.Option("--plot", help="draw latency against load (PNG)")] = None,
    json: Json = None,
) -> None:
    """Questions over HTTP, cached and not, beside a bare handler of the same framework in the same run."""
    from simulations.bench_ask import bench_ask

    with one_line_errors():
        figures = run(lambda: bench_ask(seconds, precision, plot, _say))
    _report(
        figures,
        "2,000 cached questions/s with p95 below 50 ms, 200 new ones/s below 100 ms, none stale while webhooks arrive",
        json,
    )


@bench.command("mixed")
def bench_mixed(
    per_second: Annotated[float, typer.Option("--rate", min=1, help="webhooks and questions per second")] = 1_000,
    seconds: Annotated[float, typer.Option(min=3, help="how long")] = 30,
    json: Json = None,
) -> None:
    """Webhooks in and questions out at the same time, and the provider's books when all is visible."""
    from simulations.bench_mixed import bench_mixed

    with one_line_errors():
        figures = run(lambda: bench_mixed(per_second, seconds, _say))
    for sentence in figures.missed:
        talk.print(f"missed: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    _report(
        figures, "1,000 webhooks/s durable in 250 ms at p95, 1,000 answers/s within 500 ms at p99, none wrong", json
    )


@bench.command("promotion")
def bench_promotion(
    documents: Annotated[int, typer.Option(min=100, help="how many documents the generation has")] = 2_000,
    per_second: Annotated[float, typer.Option("--rate", min=1, help="questions per second")] = 200,
    seconds: Annotated[float, typer.Option(min=3, help="seconds before the build, and after its switch")] = 10,
    json: Json = None,
) -> None:
    """A generation is built and promoted under a steady rate of questions that no cache knows."""
    from simulations.bench_promotion import bench_promotion

    with one_line_errors():
        figures = run(lambda: bench_promotion(documents, per_second, seconds, _say))
    _report(figures, "no failed question, none of two generations, p99 at the switch at most twice as before", json)


@bench.command("rebuild")
def bench_rebuild(
    passages: Annotated[int, typer.Option(min=100, help="how many passages the generation has")] = 100_000,
    json: Json = None,
) -> None:
    """A large generation is built again: how long each stage takes, and what is embedded again."""
    from simulations.bench_rebuild import bench_rebuild

    with one_line_errors(), tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        figures = bench_rebuild(Path(directory), passages, _say)
    _report(figures, "active, with every passage found, and nothing embedded again", json)


@bench.command("tenants")
def bench_tenants(
    tenants: Annotated[int, typer.Option(min=100, help="how many tenants")] = 2_000,
    seconds: Annotated[
        float, typer.Option(min=3, help="seconds with and without a tenant that asks without pause")
    ] = 10,
    json: Json = None,
) -> None:
    """Thousands of small tenants on one node: memory, open files, first answers, and one beside which others ask."""
    from simulations.bench_tenants import bench_tenants

    with one_line_errors():
        figures = run(lambda: bench_tenants(tenants, seconds, _say))
    _report(figures, "a tenant's first answer below 300 ms at p95, none wrong, none starved by a hot one", json)


@bench.command("past")
def bench_past(
    passages: Annotated[int, typer.Option(min=250, help="how many passages are current")] = 5_000,
    json: Json = None,
) -> None:
    """A payment, a list and an answer at past positions, beside the same of the present in the same run."""
    from simulations.bench_past import bench_past

    with one_line_errors():
        figures = run(lambda: bench_past(passages, _say))
    _report(figures, "a payment with 50 facts below 50 ms at p95; an answer with its documents below 2 s", json)


@bench.command("replay")
def bench_replay(
    webhooks: Annotated[int, typer.Option(min=1_000, help="how many webhooks the log is made of")] = 60_000,
    replayed: Annotated[int, typer.Option(min=1_000, help="how many events are replayed")] = 1_000_000,
    json: Json = None,
) -> None:
    """Reading the log again: folding it, rebuilding the payments view, and replaying a log of a million events."""
    from simulations.bench_replay import bench_replay

    with one_line_errors(), tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        figures = bench_replay(Path(directory), webhooks, replayed, _say)
    _report(figures, "50,000 events/s folded, and a million events replayed in a minute", json)


@bench.command("store")
def bench_store(
    url: Annotated[str, typer.Option(help="an empty PostgreSQL database; without it a server from the wheel")] = "",
    seconds: Annotated[float, typer.Option(min=0.2, help="for each figure")] = 2,
    json: Json = None,
) -> None:
    """Appends in group commits of 1, 100 and 500 to both stores, beside the library's own recorders in the same run."""
    from simulations.bench_store import bench_store

    with one_line_errors(), tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        figures = bench_store(Path(directory), url, seconds, _say)
    _report(figures, "10,000 events/s in group commits of 500 in either store", json)


@bench.command("saga")
def bench_saga(
    sagas: Annotated[int, typer.Option(min=100, help="how many of ours in each round")] = 3_000,
    peer_sagas: Annotated[int, typer.Option(min=50, help="how many of each configuration of DBOS")] = 150,
    json: Json = None,
) -> None:
    """Sagas per second, beside DBOS Transact running the same saga on the same kind of store in the same run."""
    from simulations.bench_saga import bench_saga, rows

    with one_line_errors(), tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        figures = bench_saga(Path(directory), sagas, peer_sagas, _say)
    _table(["", "sagas", "sagas/s", "of ours"], rows(figures))
    _report(figures, "10 times the rate of DBOS in its quickest configuration", json)


@bench.command("corrections")
def bench_corrections(
    answers: Annotated[int, typer.Option(min=10_000, help="how many are in the ledger")] = 100_000, json: Json = None
) -> None:
    """From a late fact to exactly the corrections that it leads to, with all the answers and with a tenth of them."""
    from simulations.bench_corrections import bench_corrections, rows

    with one_line_errors(), tempfile.TemporaryDirectory(prefix="recount-bench-") as directory:
        figures = run(lambda: bench_corrections(Path(directory), answers, _say))
    _table(["", "corrections", "p50", "p95", "max", "missing / unfounded"], rows(figures))
    _report(figures, "corrections out within 1 s, exactly the right ones, at most 1.5 times a tenth's time", json)


@bench.command("understanding")
def bench_understanding(
    questions: Annotated[Path | None, typer.Option(help="the train.csv of banking77")] = None,
    json: Json = None,
) -> None:
    """Precision and recall of each intent, on questions that nothing was developed on."""
    from simulations.bench_understanding import bench_understanding

    with one_line_errors():
        figures = bench_understanding(questions, _say)
    _report(figures, "recall of 0.90; precision of 0.90 for refunds, 0.95 for charged twice, 0.70 for declines", json)


@bench.command("retrieval")
def bench_retrieval(
    corpora: Annotated[Path, typer.Option("--data", help="a folder with btcpay_docs and tau3_banking_knowledge")],
    rounds: Annotated[int, typer.Option(min=10, help="how many documents are changed and deleted")] = 100,
    plot: Annotated[Path | None, typer.Option("--plot", help="draw hits and freshness (PNG)")] = None,
    json: Json = None,
) -> None:
    """What is found, how soon and how fast, beside Chroma and sentence-transformers in a plain loop in the same run."""
    from simulations.bench_retrieval import bench_retrieval

    with one_line_errors():
        figures = run(lambda: bench_retrieval(corpora, rounds, plot, _say))
    _report(
        figures,
        "hit@1 of 0.60 and hit@5 of 0.95 on the published documentation; a change seen within 60 ms and a deletion "
        "within 30 ms at the median, 100 ms at p99; three times the plain loop's passages/s",
        json,
    )


@bench.command("privacy")
def bench_privacy(
    texts: Annotated[Path | None, typer.Option(help="labelled texts in the format of presidio-research")] = None,
    messages: Annotated[int, typer.Option(min=1_000, help="how many messages of chat are generated")] = 20_000,
    json: Json = None,
) -> None:
    """Personal data found by type, and texts per second beside Presidio without a language model in the same run."""
    from simulations.bench_privacy import bench_privacy

    with one_line_errors():
        figures = bench_privacy(texts, messages, _say)
    _report(
        figures,
        "recall of 0.99 for deterministic types and known names, at most 2 % false, 10 times Presidio's texts/s",
        json,
    )
