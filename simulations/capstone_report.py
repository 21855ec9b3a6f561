"""The page of a capstone run: each stage with its figures and a picture, and what was missed at the top."""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from simulations.bench_mixed import MixedReport
from simulations.capstone import CapstoneReport, StageResult
from simulations.chaos.runner import ChaosResult, ExperimentResult
from simulations.chaos.scoring import KINDS

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h1,h2{font-weight:600}table{border-collapse:collapse;width:100%;margin:1rem 0}
td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}td.n{text-align:right}
.good{color:#176f2c}.bad{color:#b3261e}pre{background:#fafafa;padding:.6rem;overflow-x:auto;font-size:12px}
svg{width:100%;background:#fafafa}img{width:100%}small{color:#666}
"""
_WIDTH, _ROW = 900, 22
_POOR = 60.0
_Pair = tuple[str, str]
# What it is, how much, that in words, and whether it is bad.
_Bar = tuple[str, float, str, bool]


def page(report: CapstoneReport) -> str:
    """The page; it links what the stages wrote beside it."""
    verdict = "all targets were met" if report.meets_target else f"{len(report.missed)} missed"
    body = [
        f'<h1>Recount: everything once</h1><p class="{"good" if report.meets_target else "bad"}">',
        f"{len(report.stages)} stages in {report.took_s / 60:.1f} minutes: {verdict}.</p>",
        *(f'<p class="bad">{html.escape(each)}</p>' for each in report.missed),
        _bars([(each.title, each.took_s, f"{each.took_s:.0f} s", bool(each.missed)) for each in report.stages]),
    ]
    for stage in report.stages:
        body += _stage(stage)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Recount: everything once</title>'
        f"<style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def _stage(stage: StageResult) -> Iterator[str]:
    yield f'<h2 id="{stage.name}">{html.escape(stage.title)}</h2>'
    yield f"<p><small>{html.escape(stage.command)}, {stage.took_s:.0f} s, "
    yield f'<a href="{stage.name}.log">what it said</a></small></p>'
    if stage.missed:
        yield f'<p class="bad">{html.escape(stage.missed)}</p>'
    if bytes(stage.figures) != b"null":
        yield from _figures(stage)
    elif stage.said:
        yield f"<pre>{html.escape(stage.said)}</pre>"


def _figures(stage: StageResult) -> list[str]:
    try:
        return list(_FIGURES[stage.name](stage.figures))
    except msgspec.DecodeError as error:
        return [f'<p class="bad">its figures cannot be read: {html.escape(str(error))}</p>']


def _flows(figures: msgspec.Raw) -> Iterator[str]:
    from simulations.demo import DemoReport  # noqa: PLC0415 - the whole gateway comes with it

    found = msgspec.json.decode(figures, type=DemoReport)
    yield _table(
        [
            ("webhooks delivered", f"{found.delivered:,}"),
            ("duplicates absorbed", f"{found.duplicates_absorbed:,}"),
            ("a minute late or more", f"{found.late:,}"),
            ("answered before the late webhook", found.answer_before["answer"]),
            ("answered afterwards", found.answer_after["answer"]),
            ("corrections", str(found.corrections)),
        ]
    )
    wrong = [("Recount", found.wrong_final_states), *found.naive_wrong.items()]
    yield "<p>Payments that end in a wrong state, of the same deliveries:</p>"
    yield _bars([(name, float(count), str(count), count > 0) for name, count in wrong])


def _load(figures: msgspec.Raw) -> Iterator[str]:
    found = msgspec.json.decode(figures, type=MixedReport)
    yield _table(
        [
            ("webhooks in", f"{found.messages_per_second:,.0f}/s, {found.messages:,} in all"),
            ("durable after", f"p50 {found.taken.p50_ms:g} ms, p95 {found.taken.p95_ms:g} ms"),
            ("visible after", f"p95 {found.visible_p95_s * 1000:g} ms"),
            ("questions out", f"{found.questions_per_second:,.0f}/s, {found.answers.failed} failed"),
            ("answered after", f"p50 {found.answers.p50_ms:g} ms, p95 {found.answers.p95_ms:g} ms"),
            ("differences from the provider's books", f"{found.wrong_count} in {found.checked} payments"),
        ]
    )
    yield "<p>95 % of each second's questions were answered within (ms):</p>"
    yield _line(found.answers_p95_ms)


def _incident(figures: msgspec.Raw) -> Iterator[str]:
    from simulations.incident_report import IncidentReport, rows  # noqa: PLC0415 - as above

    found = msgspec.json.decode(figures, type=IncidentReport)
    yield '<p><a href="incident/">the postmortem, its pictures and its bundle</a></p>'
    yield _table(rows(found))
    yield _bars([(each.name, each.took_s, f"{each.took_s:.1f} s", False) for each in found.phases])


def _chaos(figures: msgspec.Raw) -> Iterator[str]:
    found = msgspec.json.decode(figures, type=ChaosResult)
    every = found.suite
    low, high = (f"{each:.1f}" if each is not None else "not known" for each in (every.low, every.high))
    score = f"{every.score:.1f} of 100, 95 % interval {low} to {high}" if every.score is not None else "none"
    yield '<p><a href="chaos/chaos.html">every trial, with its curve</a></p>'
    yield _table(
        [
            ("score", score),
            ("experiments done", f"{every.covered} of {every.experiments}"),
            ("kinds of fault", f"{len(every.kinds)} of {len(KINDS)}"),
            ("void, failed", f"{every.voids}, {every.failures}"),
        ]
    )
    yield _bars([bar for each in found.experiments for bar in _mean(each)])


def _mean(result: ExperimentResult) -> Iterator[_Bar]:
    if (mean := result.mean) is not None:
        yield result.title, mean, f"{mean:.1f}", mean < _POOR


_FIGURES: Mapping[str, Callable[[msgspec.Raw], Iterator[str]]] = {
    "flows": _flows,
    "load": _load,
    "incident": _incident,
    "chaos": _chaos,
}


def _table(pairs: Sequence[_Pair]) -> str:
    found = "".join(f"<tr><td>{html.escape(name)}<td>{html.escape(value)}</tr>" for name, value in pairs)
    return f"<table>{found}</table>"


def _bars(bars: Sequence[_Bar]) -> str:
    most = max((value for _, value, _, _ in bars), default=0.0) or 1.0
    half = _WIDTH / 2
    drawn = [
        f'<text x="0" y="{y + 15}" font-size="12">{html.escape(name[:68])}</text>'
        f'<rect x="{half}" y="{y + 4}" width="{value / most * (half - 60):.1f}" height="{_ROW - 8}"'
        f' fill="{"#b3261e" if is_bad else "#1a4fa3"}"/>'
        f'<text x="{half + value / most * (half - 60) + 4:.1f}" y="{y + 15}" font-size="12">{html.escape(words)}</text>'
        for y, (name, value, words, is_bad) in ((number * _ROW, bar) for number, bar in enumerate(bars))
    ]
    return f'<svg viewBox="0 0 {_WIDTH} {len(bars) * _ROW + 4}" role="img">{"".join(drawn)}</svg>'


def _line(values: Sequence[float]) -> str:
    """A curve of a value for each second."""
    height, most = 120, max(values, default=0.0) or 1.0
    step = _WIDTH / max(len(values) - 1, 1)
    points = " ".join(f"{number * step:.1f},{height - value / most * 100:.1f}" for number, value in enumerate(values))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img"><text x="4" y="14" font-size="12">{most:g}</text>'
        f'<polyline points="{points}" fill="none" stroke="#1a4fa3" stroke-width="2"/></svg>'
    )
