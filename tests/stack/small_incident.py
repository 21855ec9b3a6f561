"""A small incident in a process of its own: `python -m tests.stack.small_incident DIR`. Its report lies there."""

import sys
from pathlib import Path

from gateway.cli import progress, run
from simulations.incident_plan import Plan
from simulations.incident_report import run_and_report

SMALL = Plan(seed=5, speed=20.0, orders=36, sagas=2, damaged=3, lost_min=2, wrong_min=2, right_min=10, probes_min=2)

if __name__ == "__main__":
    run(lambda: run_and_report(SMALL, Path(sys.argv[1]), on_progress=progress))
