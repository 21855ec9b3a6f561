"""The `recount` command: the gateway's commands, and those that need a simulated world."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import app, data, one_line_errors, run, talk

main = app


@app.command()
def demo(
    json: Annotated[Path | None, typer.Option("--json", help="write the figures and both answers to this file")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="another stream of webhooks")] = None,
    payments: Annotated[int, typer.Option("--payments", min=100, max=5_000, help="how many payments")] = 400,
) -> None:
    """Start everything, feed it disordered webhooks, ask before and after a late one, check every payment."""
    import msgspec

    from simulations.demo import SEED, run_demo

    with one_line_errors():
        report = run(lambda: run_demo(talk, data, seed=SEED if seed is None else seed, payments=payments))
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        talk.print(f"figures in {json}", style="dim", markup=False, highlight=False)
