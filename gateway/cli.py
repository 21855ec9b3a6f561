"""The command line. Data goes to standard output, talk to standard error; an error is one clear line and a status."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from domain.errors import RetryableError, TerminalError

app = typer.Typer(
    name="recount",
    help="Answers about money that stay true, although webhooks arrive late, twice, out of order or not at all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
talk = Console(stderr=True)
data = Console(soft_wrap=True)

Config = Annotated[Path | None, typer.Option("--config", help="configuration file; recount.toml here by default")]
Gateway = Annotated[
    str, typer.Option("--gateway", envvar="RECOUNT_GATEWAY", help="URL of a running gateway", show_default=True)
]
ApiKey = Annotated[
    str, typer.Option("--api-key", envvar="RECOUNT_API_KEY", help="the tenant's API key", show_default=True)
]
AsOf = Annotated[str | None, typer.Option("--as-of", help="as of this time in the world (RFC 3339, with its zone)")]
KnownAt = Annotated[int | None, typer.Option("--known-at", min=0, help="as known at this log position")]
GATEWAY = "http://127.0.0.1:8080"
API_KEY = "acme-dev-key"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the caller can do something about ends the command with status 1 and one line; the rest is our mistake."""
    try:
        yield
    except (TerminalError, RetryableError) as error:
        talk.print(f"recount: {error.reason}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def progress(words: str) -> None:
    """Say what is being started, on a terminal and in a log alike."""
    talk.print(f"starting {words}", style="dim", markup=False, highlight=False)


@app.command()
def up(
    config: Config = None,
    data_dir: Annotated[Path | None, typer.Option("--data", help="everything this node writes")] = None,
    http: Annotated[str | None, typer.Option("--http", help="HOST:PORT to listen on; port 0 takes a free one")] = None,
) -> None:
    """Run the whole stack until SIGTERM or Ctrl-C."""
    from gateway.bootstrap import load_settings
    from gateway.listening import bind

    def ready(http_url: str, nats_url: str) -> None:
        sys.stdout.write(f"ready http={http_url} nats={nats_url}\n")
        sys.stdout.flush()

    with one_line_errors():
        overrides: dict[str, Any] = {"data": str(data_dir) if data_dir else None, "http": {"listen": http}}
        settings = load_settings(config, overrides=overrides)
        # From here on whoever calls waits for an answer, instead of being refused.
        bound = bind(settings.http.listen)
        from gateway.serve import serve

        run(lambda: serve(settings, bound, on_ready=ready, on_progress=progress))


def run(main: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the coroutine gives
    """Run a coroutine on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


@app.command()
def ask(
    tenant: str,
    question: str,
    customer: Annotated[str | None, typer.Option("--customer", help="only this customer's payments")] = None,
    payment: Annotated[str | None, typer.Option("--payment", help="the payment that is meant")] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    as_json: Annotated[bool, typer.Option("--json", help="the whole answer as JSON")] = False,
    gateway: Gateway = GATEWAY,
    api_key: ApiKey = API_KEY,
) -> None:
    """Ask a running gateway; prints the answer and what it cites."""
    body = {
        "question": question,
        "customer_id": customer,
        "payment_id": payment,
        "as_of": as_of,
        "known_at": known_at,
    }
    with one_line_errors():
        answer = request(
            "POST",
            f"{gateway}/v1/{tenant}/ask",
            api_key,
            json={name: value for name, value in body.items() if value is not None},
        )
    if as_json:
        data.print_json(data=answer)
        return
    data.print(answer["answer"], markup=False, highlight=False)
    for citation in answer["citations"]:
        what = citation.get("fact_id") or f"{citation['document_id']} version {citation['version']}"
        talk.print(f"  [{citation['kind']}] {what}", markup=False, highlight=False, style="dim")
    talk.print(f"  position {answer['position']}, generation {answer['generation']}", style="dim", highlight=False)


def request(method: str, url: str, api_key: str, **options: Any) -> Any:  # noqa: ANN401 - the gateway's JSON
    """A request to the gateway. Raises `RetryableError` or `TerminalError` with what the problem says to do."""
    import httpx

    try:
        response = httpx.request(method, url, headers={"Authorization": f"Bearer {api_key}"}, timeout=30, **options)
    except httpx.HTTPError as error:
        raise RetryableError(f"no gateway answers at {url}: {error}; start one with `recount up`") from error
    try:
        body = response.json()
    except ValueError:
        raise TerminalError(f"{url} answered {response.status_code} and not JSON; is this a gateway?") from None
    if response.is_success:
        return body
    raise TerminalError(f"{body.get('code', response.status_code)}: {body.get('detail', '')}")


@app.command()
def submit(
    tenant: str,
    source: str,
    files: Annotated[list[Path], typer.Argument(help="JSON, or JSON lines (.jsonl)")],
    nats: Annotated[str, typer.Option("--nats", help="URL of the NATS server")] = "nats://127.0.0.1:4222",
) -> None:
    """Publish files to NATS as they are, durably: a .jsonl file by line, any other whole."""
    from gateway.submitting import submit_files

    with one_line_errors():
        count = run(lambda: submit_files(nats, tenant, source, files, talk))
    data.print(f"{count} messages published", highlight=False)


@app.command("import")
def import_(
    tenant: str,
    source: str,
    file: Annotated[Path, typer.Argument(help="a CSV file with a header")],
    nats: Annotated[str, typer.Option("--nats", help="URL of the NATS server")] = "nats://127.0.0.1:4222",
    config: Config = None,
    data_dir: Annotated[Path | None, typer.Option("--data", help="where it is kept how far it has come")] = None,
    encoding: Annotated[str, typer.Option("--encoding", help="utf-8, utf-8-sig, latin-1 or cp1252")] = "utf-8-sig",
    delimiter: Annotated[str, typer.Option("--delimiter", help="between fields; a tab is \\t")] = ",",
) -> None:
    """Publish an export's rows to NATS, each durable; run again, it goes on where it was ended."""
    from gateway.bootstrap import load_settings
    from gateway.importing import Import, import_file
    from gateway.importing_rows import Dialect
    from gateway.sources import Sources

    with one_line_errors():
        settings = load_settings(config, overrides={"data": str(data_dir) if data_dir else None})
        dialect = Dialect(encoding=encoding, delimiter=delimiter.replace("\\t", "\t"))
        job = Import(tenant=tenant, source=source, file=file, dialect=dialect)
        folder = Path(settings.data) / "imports"
        sources = Sources(settings.tenants)
        summary = run(lambda: import_file(job, url=nats, sources=sources, folder=folder, talk=talk))
    data.print_json(data=msgspec.to_builtins(summary))


documents = typer.Typer(name="documents", help="Knowledge documents.", no_args_is_help=True)
app.add_typer(documents)


@documents.command("load")
def load(
    tenant: str,
    path: Annotated[Path, typer.Argument(help="a folder (text, Markdown, HTML, PDF), or a .jsonl file")],
    prune: Annotated[
        bool, typer.Option("--prune", help="take back what an earlier run published and what is gone from the path")
    ] = False,
    config: Config = None,
    data_dir: Annotated[Path | None, typer.Option("--data", help="where it is kept how far it has come")] = None,
    gateway: Gateway = GATEWAY,
    api_key: ApiKey = API_KEY,
) -> None:
    """Publish documents; run again, it goes on where it was ended and sends what has changed."""
    from gateway.bootstrap import load_settings
    from gateway.loading import Load, load_documents

    with one_line_errors():
        settings = load_settings(config, overrides={"data": str(data_dir) if data_dir else None})
        job = Load(gateway=gateway, api_key=api_key, tenant=tenant, path=path, is_pruning=prune)
        folder = Path(settings.data) / "imports"
        summary = run(lambda: load_documents(job, folder=folder, talk=talk))
    data.print_json(data=msgspec.to_builtins(summary))
    if summary.refused:
        raise typer.Exit(1)


@app.command()
def rebuild(
    tenant: str,
    rollback: Annotated[bool, typer.Option("--rollback", help="go back to the generation before instead")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="until it is active; status 1 if it was given up")] = False,
    reason: Annotated[str, typer.Option("--reason", help="kept in the log")] = "operator",
    gateway: Gateway = GATEWAY,
    api_key: ApiKey = API_KEY,
) -> None:
    """Build the tenant's index anew beside the one that answers, check it, and let it take its place."""
    from gateway.rebuilding import follow

    place = f"{gateway}/v1/{tenant}/generations"
    with one_line_errors():
        found = request("POST", f"{place}/rollback" if rollback else place, api_key, json={"reason": reason})
        if wait:
            found = follow(found, look=lambda: request("GET", place, api_key), talk=talk)
    data.print_json(data=found)


quarantine = typer.Typer(name="quarantine", help="What could not be taken in, why, and again.", no_args_is_help=True)
app.add_typer(quarantine)

Code = Annotated[str | None, typer.Option("--code", help="only this reason")]
Source = Annotated[str | None, typer.Option("--source", help="only of this source")]
Since = Annotated[str | None, typer.Option("--since", help="only what came first at or after this time (RFC 3339)")]
Until = Annotated[str | None, typer.Option("--until", help="only what came first before this time (RFC 3339)")]


@quarantine.command("list")
def list_quarantine(
    tenant: str,
    code: Code = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[str, typer.Option("--state", help="open, requeued, applied or all")] = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000)] = 100,
    gateway: Gateway = GATEWAY,
    api_key: ApiKey = API_KEY,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What could not be taken in, oldest first, and how many are open by reason."""
    given = {"code": code, "source": source, "since": since, "until": until, "state": state, "limit": limit}
    with one_line_errors():
        found = request("GET", f"{gateway}/v1/{tenant}/quarantine", api_key, params=_given(given))
    if as_json:
        data.print_json(data=found)
        return
    table = Table("id", "source", "code", "detail", "state", "deliveries", "first seen at")
    for entry in found["entries"]:
        row = (entry[name] for name in ("id", "source", "code", "detail", "state", "deliveries"))
        table.add_row(*map(escape, map(str, row)), _short(entry["first_seen_at"]))
    data.print(table)
    for name, count in sorted(found["open"].items()):
        talk.print(f"  {count} open: {name}", markup=False, highlight=False, style="dim")


@quarantine.command("show")
def show_quarantined(tenant: str, entry: str, gateway: Gateway = GATEWAY, api_key: ApiKey = API_KEY) -> None:
    """One entry with its message as it came, as JSON; the body is in base64."""
    with one_line_errors():
        data.print_json(data=request("GET", f"{gateway}/v1/{tenant}/quarantine/{entry}", api_key))


@quarantine.command("requeue")
def requeue(
    tenant: str,
    entries: Annotated[list[str] | None, typer.Argument(help="ids; without any, all open ones that fit")] = None,
    code: Code = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    gateway: Gateway = GATEWAY,
    api_key: ApiKey = API_KEY,
) -> None:
    """Send messages in again: some by their ids, or up to 1,000 by reason, source and time."""
    place = f"{gateway}/v1/{tenant}/quarantine"
    given = _given({"code": code, "source": source, "since": since, "until": until})
    with one_line_errors():
        if entries and given:
            raise TerminalError("give ids, or what to choose them by, not both")
        if entries:
            for entry in entries:
                request("POST", f"{place}/{entry}/requeue", api_key)
            count, remaining = len(entries), 0
        else:
            answer = request("POST", f"{place}/requeue", api_key, params=given)
            count, remaining = len(answer["requeued"]), answer["remaining"]
    data.print(f"{count} messages sent in again", highlight=False)
    if remaining:
        talk.print(f"{remaining} more fit; run it again", highlight=False)


store = typer.Typer(name="store", help="Where the log lies.", no_args_is_help=True)
app.add_typer(store)
PLACE = "a log.sqlite, or postgresql://USER@HOST:PORT/DATABASE"


@store.command("copy")
def copy_store(
    from_: Annotated[str, typer.Argument(metavar="FROM", help=PLACE)],
    to: Annotated[str, typer.Argument(metavar="TO", help=PLACE)],
) -> None:
    """Copy a log into another store, every event at its position, and compare both; run again, it goes on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gateway.store_copy import copy_log

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with one_line_errors(), Progress(*columns, console=talk) as bar:
        tasks = {words: bar.add_task(words, total=None, start=False) for words in ("compare", "copy", "read back")}

        def on_progress(words: str, position: int, head: int) -> None:
            bar.start_task(tasks[words])
            bar.update(tasks[words], completed=position, total=head)

        copied = copy_log(from_, to, on_progress=on_progress)
    data.print_json(data=msgspec.to_builtins(copied))
    if copied.behind:
        talk.print(f"{copied.behind} more events came meanwhile: stop the node, and run this again", highlight=False)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@app.command()
def timeline(
    tenant: str,
    payment: str,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    gateway: Gateway = GATEWAY,
    api_key: ApiKey = API_KEY,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Both clocks of a payment: every fact, when it occurred, when we knew, what it changed."""
    given = _given({"as_of": as_of, "known_at": known_at})
    with one_line_errors():
        found = request("GET", f"{gateway}/v1/{tenant}/payments/{payment}/timeline", api_key, params=given)
    if as_json:
        data.print_json(data=found)
        return
    # As the payment came to be known: what a link brought stands where it came, so that one change follows another.
    for entry in sorted(found["entries"], key=lambda each: (each["joined_position"], each["position"])):
        is_linked = entry["joined_position"] > entry["position"]
        parts = (
            f"{entry['position']}, linked at {entry['joined_position']}" if is_linked else str(entry["position"]),
            f"occurred {_short(entry['occurred_at'])}, recorded {_short(entry['recorded_at'])}",
            f"{entry['object']} {entry['status']}",
            entry["effect"],
            entry["fact_id"],
        )
        data.print("  ".join(parts), markup=False, highlight=False)
        for change in entry["changed"]:
            data.print(f"    {_change(change)}", style="dim", markup=False, highlight=False)


def _change(change: dict[str, Any]) -> str:
    before, after = ("none" if change[name] is None else change[name] for name in ("before", "after"))
    return f"{change['field']}: {before} -> {after}"


def _short(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S")


@app.command()
def slo(
    gateway: Gateway = GATEWAY,
    api_key: ApiKey = API_KEY,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """How the objectives stand: what is left of each budget, how fast it burns, which alerts fire."""
    with one_line_errors():
        found = request("GET", f"{gateway}/v1/slo", api_key)
    if as_json:
        data.print_json(data=found)
        return
    for each in found["slos"]:
        counted = f"{each['bad']:.0f} of {each['total']:.0f} bad, {each['target']:.2%} promised good"
        data.print(f"{each['slo']}: {each['budget_left']:.1%} of the budget left ({counted})", highlight=False)
        for burn in each["burns"]:
            rate = "nothing counted" if burn["long_rate"] is None else f"burns at {burn['long_rate']:.1f}"
            fires = "[red]fires[/]" if burn["is_firing"] else "quiet"
            data.print(
                f"  {burn['alert']}: {rate}, threshold {burn['threshold']:g}, {fires}", style="dim", highlight=False
            )
        if each["is_without_data"]:
            data.print("  [red]nothing is measured[/]")


@app.command()
def doctor(config: Config = None, data_dir: Annotated[Path | None, typer.Option("--data")] = None) -> None:
    """Check this machine and the configuration, and say what to do about what is wrong."""
    from gateway.doctor import examine

    with one_line_errors():
        findings = examine(config, data_dir)
    table = Table("check", "", "found", "what to do")
    for finding in findings:
        mark = {"ok": "[green]ok[/]", "warning": "[yellow]warn[/]", "error": "[red]error[/]"}[finding.level]
        table.add_row(finding.check, mark, finding.found, finding.advice)
    data.print(table)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
