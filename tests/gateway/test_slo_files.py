"""OpenSLO files: what they promise is read in full, and what cannot be kept is refused by name."""

import shutil
from pathlib import Path

import pytest

from domain.errors import TerminalError
from gateway.slo_files import DIRECTORY, Selector, seconds, service_levels

NAMES = ["answer-accuracy", "answer-latency", "availability", "data-freshness", "ingestion-validity"]

BAD = "        bad:\n          metricSource:\n            type: Prometheus\n            spec: {query: m}\n"


def test_the_five_objectives_are_there_with_the_four_pairs_of_windows() -> None:
    levels = service_levels()

    assert [level.objective.name for level in levels] == NAMES
    for level in levels:
        windows = [(alert.burn_rate, alert.long_s / 3_600, alert.short_s / 60) for alert in level.objective.alerts]
        assert windows == [(14.4, 1, 5), (6, 6, 30), (3, 24, 120), (1, 72, 360)]
        assert level.objective.bad_min > 0
        assert len(level.objective.description) <= 1_050
    assert [level.objective.name for level in levels if level.objective.no_data] == [
        "answer-accuracy",
        "data-freshness",
    ]


@pytest.mark.parametrize(
    ("selector", "labels", "is_selected"),
    [
        ("m", {"a": "b"}, True),
        ('m{a="b"}', {"a": "b", "c": "d"}, True),
        ('m{a="b"}', {"a": "bb"}, False),
        ('m{a=""}', {}, True),
        ('m{a!="b"}', {}, True),
        ('m{a=~"b|c"}', {"a": "c"}, True),
        ('m{a=~"b|c"}', {"a": "cc"}, False),
        ('m{a!~"5.."}', {"a": "200"}, True),
        ('m{a!~"5..",b="c"}', {"a": "503", "b": "c"}, False),
        ('m{a="/v1/{tenant}/ask",le="0.5"}', {"a": "/v1/{tenant}/ask", "le": "0.5"}, True),
    ],
)
def test_a_selector_selects_as_prometheus_does(selector: str, labels: dict[str, str], *, is_selected: bool) -> None:
    parsed = Selector.parse(selector)

    assert parsed.selects("m", labels) is is_selected
    assert not parsed.selects("n", labels)


@pytest.mark.parametrize("text", ["", "rate(m[5m])", "m{a=b}", 'm{a="b"', 'm{a="b"} + n', 'm{a~"b"}'])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no selector"):
        Selector.parse(text)


@pytest.mark.parametrize(("text", "expected"), [("5m", 300), ("6h", 21_600), ("30d", 2_592_000), ("4w", 2_419_200)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("old", "new", "wish"),
    [
        ("target: 0.999", "target: 1.5", "below 1"),
        ("target: 0.999", "targetPercent: 99.9", "targetPercent"),
        ("duration: 30d", "duration: 1M", "'1M'"),
        ("isRolling: true", "isRolling: false", "isRolling"),
        ("budgetingMethod: Occurrences", "budgetingMethod: Timeslices", "Timeslices"),
        ("alertPolicyRef: page-quick", "alertPolicyRef: page-never", "page-never"),
        ("query: 'recount", "query: 'sum(recount", "no selector"),
        ("        good:", f"{BAD}        good:", "either `good` or `bad`"),
        ('route=~"/v1/.*"', 'route=~"/v1/.*("', "unterminated"),
        ("kind: SLO", "kind: SLO\nkinds: SLO", "kinds"),
        ("spec:\n  description", "spec: [\n  description", "while scanning"),
    ],
)
def test_a_file_that_cannot_be_kept_is_refused_with_its_name(tmp_path: Path, old: str, new: str, wish: str) -> None:
    shutil.copytree(DIRECTORY, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "availability.yml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))

    with pytest.raises(TerminalError) as refused:
        service_levels(tmp_path)

    assert "availability" in refused.value.reason
    assert wish in refused.value.reason
