"""The live view: how the node is while it suffers, in the terminal; a line per phase where there is none."""

import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from simulations.chaos.experiment import Experiment
from simulations.chaos.load import BIN_S, bins
from simulations.chaos.trial import Phase, Trial, TrialResult

WIDTH = 80
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLOURS = {"done": "green", "void": "yellow", "aborted": "yellow", "failed": "red"}


class Live:
    """Shows what is going on.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._experiment: Experiment | None = None
        self._trial: Trial | None = None
        self._phase: str = ""
        self._begun_s = time.monotonic()
        self._live = RichLive(console=console, get_renderable=self.__rich__, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_target(self, words: str) -> None:
        self._phase = words
        self._console.print(words, style="dim", highlight=False)

    def on_trial(self, experiment: Experiment, trial: Trial) -> None:
        self._experiment, self._trial, self._begun_s = experiment, trial, time.monotonic()

    def on_phase(self, phase: Phase) -> None:
        self._phase = phase
        if not self._live.is_started and phase != "over":
            name = self._experiment.name if self._experiment is not None else ""
            self._console.print(f"{name}: {phase}", style="dim", highlight=False)

    def on_result(self, experiment: Experiment, result: TrialResult) -> None:
        worth = "" if result.score is None else f" {result.score:.0f}"
        words = f"{experiment.name} (seed {result.seed}): {result.status}{worth}"
        reason = f"  {result.reason[:300]}" if result.reason else ""
        self._console.print(words + reason, style=_COLOURS[result.status], markup=False, highlight=False)

    def __rich__(self) -> RenderableType:
        trial = self._trial
        if trial is None or self._experiment is None:
            return Text(self._phase, style="dim")
        heading = Text(f"{self._experiment.title}\n", style="bold")
        heading.append(f"{self._phase}, {time.monotonic() - self._begun_s:.0f} s", style="cyan")
        lines: list[RenderableType] = [heading]
        if trial.load is not None and trial.load.done:
            lines.append(_performance(trial))
        if trial.notices is not None:
            unready = ", ".join(trial.notices.unready)
            lines.append(Text(f"not ready: {unready}" if unready else "ready", style="red" if unready else "green"))
            table = Table.grid(padding=(0, 2))
            for each in trial.notices.noticed[-6:]:
                table.add_row(f"{each.at_s:.1f} s", each.what)
            lines.append(table)
        return Group(*lines)


def _performance(trial: Trial) -> Text:
    """The share that is well done, half second by half second."""
    assert trial.load is not None
    # The loop's clock, read from the thread that draws.
    now_s = time.monotonic()
    stretches = bins(trial.load.done, now_s - WIDTH * BIN_S, now_s)
    text = Text("well done  ")
    for number in range(WIDTH):
        good, total = stretches.get(number, (0, 0))
        share = good / total if total else 0.0
        style = "dim" if not total else "green" if share > 0.95 else "yellow" if share > 0.5 else "red"
        text.append(_BLOCKS[round(share * (len(_BLOCKS) - 1))] if total else " ", style=style)
    return text
