"""What came of a run: a summary for the terminal, and a page that needs nothing else."""

import html
from collections.abc import Iterator

from simulations.chaos.load import BIN_S
from simulations.chaos.noticing import Noticed
from simulations.chaos.runner import ChaosResult, ExperimentResult
from simulations.chaos.scoring import KINDS, Parts, parts
from simulations.chaos.trial import TrialResult

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h1,h2{font-weight:600}table{border-collapse:collapse;width:100%;margin:1rem 0}
td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}td.n{text-align:right}
.big{font-size:2.6rem;font-weight:600}.done{color:#176f2c}.void,.aborted{color:#8a6100}.failed,.broken{color:#b3261e}
svg{width:100%;height:90px;background:#fafafa}small{color:#666}
"""
_WIDTH, _HEIGHT = 900, 90


def summary(result: ChaosResult) -> str:
    """A line per experiment, and the score of all."""
    lines = [_line(each) for each in result.experiments]
    every = result.suite
    lines += ["", f"score {_number(every.score)}, 95 % interval {_interval(result)}"]
    lines.append(
        f"{every.covered} of {every.experiments} experiments done, {len(every.kinds)} of {len(KINDS)} kinds of fault, "
        f"{every.voids} void trials, {every.failures} failed"
    )
    return "\n".join(lines)


def _line(result: ExperimentResult) -> str:
    statuses = ", ".join(each.status for each in result.trials)
    backends = ", ".join(dict.fromkeys(each.backend for each in result.trials if each.backend))
    return f"{result.name:28} {result.kind:15} {_number(result.mean):>5}  {statuses}  {backends}"


def report(result: ChaosResult) -> str:
    """The page."""
    every = result.suite
    kinds = _text(", ".join(every.kinds))
    body = [
        "<h1>Chaos</h1>",
        f'<p class="big">{_number(every.score)}</p>',
        (
            f"<p>of 100, 95 % interval over trials {_interval(result)}. {every.covered} of {every.experiments} "
            f"experiments were done, with {len(every.kinds)} of {len(KINDS)} kinds of fault ({kinds}); "
            f"{every.voids} trials are void, because their fault did not bite; {every.failures} failed. "
            f"Faults were injected as {_text(result.who)}.</p>"
        ),
        *_missing(result),
        *_overview(result),
    ]
    for each in result.experiments:
        body += _experiment(each)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Chaos</title><style>{_STYLE}</style>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def _missing(result: ChaosResult) -> Iterator[str]:
    for name, why in result.missing.items():
        yield f"<p>{_text(name)} cannot be injected here: {_text(why)}</p>"
    for name, why in result.weaker.items():
        yield f"<p>{_text(name)} is injected by {_text(why)}</p>"


def _overview(result: ChaosResult) -> Iterator[str]:
    yield "<table><tr><th>experiment<th>kind<th>weight<th>trials<th>score</tr>"
    for each in result.experiments:
        yield (
            f'<tr><td><a href="#{_text(each.name)}">{_text(each.title)}</a><td>{each.kind}<td class="n">{each.weight:g}'
            f'<td>{", ".join(trial.status for trial in each.trials)}<td class="n">{_number(each.mean)}</tr>'
        )
    yield "</table>"


def _experiment(result: ExperimentResult) -> Iterator[str]:
    yield f'<h2 id="{_text(result.name)}">{_text(result.title)}</h2><p>{_text(result.description)}</p>'
    for trial in result.trials:
        yield f'<p><b class="{trial.status}">{trial.status}</b>, seed {trial.seed}'
        yield f", by {_text(trial.backend)}" if trial.backend else ""
        yield f": {_number(trial.score)} of 100" if trial.score is not None else ""
        yield f'<br><span class="broken">{_text(trial.reason)}</span>' if trial.reason else ""
        yield "</p>"
        yield _curve(trial)
        if trial.measured is not None:
            yield from _figures(trial, parts(trial.measured))


def _figures(trial: TrialResult, each: Parts) -> Iterator[str]:
    measured = trial.measured
    assert measured is not None
    recovery = "never" if measured.recovery_s is None else f"{measured.recovery_s:.1f} s"
    yield "<table><tr><th>part<th>measured<th>allowed<th>worth</tr>"
    yield _row("objective kept", f"{measured.bad_share:.1%} bad", f"{measured.bad_share_max:.0%}", each.slo_kept)
    yield _row("recovery", recovery, f"{measured.recovery_target_s:g} s", each.recovery)
    yield _row("graceful", f"{measured.dip:.1%} not done", "", each.graceful)
    yield _row("detection", ", ".join(f"{seen.what} at {seen.at_s:.1f} s" for seen in _told(trial)), "", each.detection)
    yield "</table>"


def _told(trial: TrialResult) -> list[Noticed]:
    """What noticed it after it struck: alerts and runbooks all, of the rest the first few."""
    since = [each for each in trial.noticed if trial.struck_at_s is not None and each.at_s >= trial.struck_at_s]
    important = [each for each in since if each.what.startswith(("alert:", "runbook:"))]
    others = [each for each in since if each.what.startswith("part:")][:5]
    return sorted({(each.at_s, each.what): each for each in [*important, *others]}.values(), key=lambda each: each.at_s)


def _row(name: str, measured: str, allowed: str, worth: float) -> str:
    return f'<tr><td>{name}<td>{_text(measured)}<td>{allowed}<td class="n">{worth:.2f}</tr>'


def _curve(trial: TrialResult) -> str:
    """The share of work that was well done, with when the fault struck, was taken back, and all was well."""
    if not trial.performance:
        return ""
    last = max(trial.performance) + 1
    step = _WIDTH / last
    points = [
        (number * step, _HEIGHT - (good / total if total else 0.0) * (_HEIGHT - 10))
        for number, (good, total) in sorted(trial.performance.items())
    ]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = [
        (trial.struck_at_s, "#b3261e", "struck"),
        (trial.healed_at_s, "#8a6100", "taken back"),
        (trial.recovered_at_s, "#176f2c", "well"),
    ]
    lines = [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}" stroke="{colour}"/>'
        f'<text x="{x + 3:.1f}" y="{12 + 12 * row}" font-size="11" fill="{colour}">{word} {at_s:.1f} s</text>'
        for row, (at_s, colour, word) in enumerate(marks)
        if at_s is not None and (x := at_s / BIN_S * step) >= 0
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="share of work well done over time">'
        f'<polyline points="{drawn}" fill="none" stroke="#1a4fa3" stroke-width="2"/>{"".join(lines)}</svg>'
    )


def _interval(result: ChaosResult) -> str:
    every = result.suite
    if every.low is None or every.high is None:
        return "not known (no experiment has two trials)"
    return f"{every.low:.1f} to {every.high:.1f}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


def _text(words: str) -> str:
    return html.escape(words)
