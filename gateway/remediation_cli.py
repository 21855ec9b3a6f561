"""`recount remediation`: what the node does about its own troubles, and what of it waits for a person."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from gateway.cli import GATEWAY, Gateway, data, one_line_errors, request

remediation = typer.Typer(name="remediation", help="What the node does about its own troubles.", no_args_is_help=True)

OperatorKey = Annotated[
    str, typer.Option("--operator-key", envvar="RECOUNT_OPERATOR_KEY", help="one of remediation.operator_keys")
]
By = Annotated[str, typer.Option("--by", help="who decides")]


@remediation.command("list")
def list_runbooks(
    operator_key: OperatorKey,
    gateway: Gateway = GATEWAY,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Every runbook: its steps, the run under way, how the last one ended."""
    with one_line_errors():
        found = request("GET", f"{gateway}/v1/remediation", operator_key)
    if as_json:
        data.print_json(data=found)
        return
    table = Table("runbook", "steps", "under way", "targets", "last ended", "outcome")
    for each in found["runbooks"]:
        run = each["run"] or {}
        under_way = f"{run['run_id']} {run['step']}: {run['stage']} {run['held_for']}" if run else ""
        outcome = "flapping" if each["is_flapping"] else each["outcome"]
        row = (each["runbook"], ", ".join(each["steps"]), under_way, ", ".join(run.get("targets", ())))
        table.add_row(*map(escape, row), each["ended_at"] or "", outcome or "")
    data.print(table)


@remediation.command("begin")
def begin(
    runbook: str,
    reason: Annotated[str, typer.Option("--reason", help="why; it is kept in the log")],
    operator_key: OperatorKey,
    targets: Annotated[list[str] | None, typer.Argument(help="e.g. acme/stripe; what its checks find, if none")] = None,
    gateway: Gateway = GATEWAY,
) -> None:
    """Begin a runbook now; its steps have the same limits as when the node begins it."""
    body = {"reason": reason, "targets": targets or []}
    with one_line_errors():
        _show(request("POST", f"{gateway}/v1/remediation/{runbook}/begin", operator_key, json=body), runbook)


@remediation.command("approve")
def approve(
    runbook: str, run_id: str, step: str, by: By, operator_key: OperatorKey, gateway: Gateway = GATEWAY
) -> None:
    """Let a step that waits for a person be taken."""
    body = {"run_id": run_id, "step": step, "by": by}
    with one_line_errors():
        _show(request("POST", f"{gateway}/v1/remediation/{runbook}/approve", operator_key, json=body), runbook)


@remediation.command("decline")
def decline(
    runbook: str, run_id: str, step: str, by: By, operator_key: OperatorKey, gateway: Gateway = GATEWAY
) -> None:
    """End a run whose step waits for a person."""
    body = {"run_id": run_id, "step": step, "by": by}
    with one_line_errors():
        _show(request("POST", f"{gateway}/v1/remediation/{runbook}/decline", operator_key, json=body), runbook)


def _show(found: dict[str, Any], runbook: str) -> None:
    data.print_json(data=next(each for each in found["runbooks"] if each["runbook"] == runbook))
