"""Following a build from outside until it is active or given up, for `recount rebuild --wait`."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from domain.errors import TerminalError
from domain.index_generation import UNDER_WAY

LOOK_EVERY_S = 0.2


def follow(found: dict[str, Any], *, look: Callable[[], dict[str, Any]], talk: Console) -> dict[str, Any]:
    """Wait for the generation that is under way; returns the last look.

    Args:
        found: the generations as they were when it was asked for.
        look: asks for them again.
        talk: where progress is shown.

    Raises:
        TerminalError: the build was given up; the sentence says why.
    """
    wanted = next((each["generation"] for each in found["generations"] if each["stage"] in UNDER_WAY), found["active"])
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=talk, transient=True) as progress:
        bar = progress.add_task(f"generation {wanted}", total=None)
        while True:
            of_wanted = next(each for each in found["generations"] if each["generation"] == wanted)
            progress.update(
                bar,
                description=f"generation {wanted} {of_wanted['stage'].replace('_', ' ')}",
                completed=found["position"],
                total=found["target"] or None,
            )
            if of_wanted["stage"] not in UNDER_WAY:
                break
            time.sleep(LOOK_EVERY_S)
            found = look()
    if found["active"] != wanted:
        raise TerminalError(f"generation {wanted} was given up: {of_wanted['abandoned_for'] or of_wanted['stage']}")
    return found
