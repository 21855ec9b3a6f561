"""The pictures of a postmortem (SVG): freshness, wrong answers and budgets over time. Same samples, same bytes."""

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

from gateway.replaying.postmortem import of_kind
from gateway.replaying.samples import Sample

# matplotlib makes ids of elements from this instead of a random number.
_SALT = "recount"
_WIDTH, _HEIGHT = 9.0, 3.2


def pictures(samples: Sequence[Sample], began_at: datetime) -> dict[str, bytes]:
    """SVG by name; none of what was not measured. Times are seconds from `began_at`."""
    drawn = {
        "freshness": _picture(lambda axes: _freshness(axes, samples, began_at)),
        "wrong-answers": _picture(lambda axes: _answers(axes, samples, began_at)),
        "budget": _picture(lambda axes: _budget(axes, samples, began_at)),
    }
    return {name: svg for name, svg in drawn.items() if svg}


def _picture(draw: Callable[[Any], bool]) -> bytes:
    import matplotlib as mpl  # noqa: PLC0415 - half a second that nothing else here needs
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    with mpl.rc_context({"svg.hashsalt": _SALT, "svg.fonttype": "path", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        if not draw(axes):
            return b""
        axes.grid(visible=True, alpha=0.3)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _series(samples: Sequence[Sample], began_at: datetime) -> dict[str, tuple[list[float], list[float]]]:
    found: dict[str, tuple[list[float], list[float]]] = {}
    for each in samples:
        at_s, values = found.setdefault(each.name, ([], []))
        at_s.append(round((each.at - began_at).total_seconds(), 2))
        values.append(each.value)
    return dict(sorted(found.items()))


def _freshness(axes: Any, samples: Sequence[Sample], began_at: datetime) -> bool:  # noqa: ANN401 - matplotlib's
    series = _series(of_kind(samples, "freshness"), began_at)
    for name, (at_s, values) in series.items():
        axes.plot(at_s, values, label=name, drawstyle="steps-post")
    return _labelled(axes, "seconds behind the log", samples, began_at) if series else False


def _budget(axes: Any, samples: Sequence[Sample], began_at: datetime) -> bool:  # noqa: ANN401 - matplotlib's
    series = _series(of_kind(samples, "budget"), began_at)
    for name, (at_s, values) in series.items():
        axes.plot(at_s, [max(value, -1.0) for value in values], label=name)
    return _labelled(axes, "error budget left (cut at -1)", samples, began_at) if series else False


def _answers(axes: Any, samples: Sequence[Sample], began_at: datetime) -> bool:  # noqa: ANN401 - matplotlib's
    asked = sorted(of_kind(samples, "answer"), key=lambda each: (each.at, each.number))
    if not asked:
        return False
    times = [round((each.at - began_at).total_seconds(), 2) for each in asked]
    wrongs = list(accumulate(int(each.value > 0) for each in asked))
    totals = range(1, len(asked) + 1)
    axes.plot(times, wrongs, color="tab:red", label="wrong answers, in all")
    beside = axes.twinx()
    beside.plot(times, totals, color="tab:gray", alpha=0.5)
    beside.set_ylabel("questions, in all")
    return _labelled(axes, "wrong answers", samples, began_at)


def _labelled(axes: Any, label: str, samples: Sequence[Sample], began_at: datetime) -> bool:  # noqa: ANN401 - matplotlib's
    """Axes, legend, and a line where each phase of a drill begins."""
    axes.set_xlabel("seconds from the first wrong answer")
    axes.set_ylabel(label)
    for each in of_kind(samples, "phase"):
        if each.text == "entered":
            axes.axvline((each.at - began_at).total_seconds(), color="black", alpha=0.25, linestyle=":")
    axes.legend(loc="upper left", fontsize=8)
    return True
