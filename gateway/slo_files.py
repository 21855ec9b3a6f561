"""Objectives from OpenSLO v1 files (https://github.com/OpenSLO/OpenSLO), and which of our metrics count for them.

Of OpenSLO those parts are read that the objectives here need: ratio metrics of counters, one rolling window, one
objective each, alert policies on burn rates. Whatever else a file says is refused, so that nothing in it goes unheard.
A metric source is a selector in the notation of Prometheus, `name{label="value",label=~"a|b"}`; what is counted is the
sum of its series.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from domain.errors import TerminalError
from domain.slo import BurnAlert, NoDataAlert, Objective, Severity

DIRECTORY = Path(__file__).resolve().parents[1] / "ops" / "slo"
BAD_MIN = "recount/bad-events-min"

_SELECTOR_RE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*(?:=~|!~|!=|=)"[^"\\]*",?)*)\})?')
_MATCHER_RE = re.compile(r'([a-zA-Z_]\w*)(=~|!~|!=|=)"([^"\\]*)"')
_DURATION_RE = re.compile(r"([0-9]+)([mhdw])")
_UNIT_S = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """Series of one metric: `(label, operator, value)` has to hold for each of the matchers."""

    text: str
    metric: str
    matchers: tuple[tuple[str, str, str], ...]

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """Raises `ValueError` for what is no selector."""
        found = _SELECTOR_RE.fullmatch(text)
        if found is None:
            raise ValueError(f'{text!r} is no selector; write name{{label="value",label=~"a|b"}}')
        matchers = tuple(_MATCHER_RE.findall(found[2] or ""))
        for _, operator, value in matchers:
            if operator.endswith("~"):
                re.compile(value)
        return cls(text=text, metric=found[1], matchers=matchers)

    def selects(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is one of these. A label that is not there is empty, and a pattern fits all of a value."""
        return metric == self.metric and all(
            _fits(labels.get(label, ""), operator, value) for label, operator, value in self.matchers
        )


def _fits(found: str, operator: str, value: str) -> bool:
    is_same = re.fullmatch(value, found) is not None if operator.endswith("~") else found == value
    return is_same != operator.startswith("!")


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """All events, and either the good or the bad ones of them."""

    part: Selector
    total: Selector
    is_part_good: bool


class ServiceLevel(msgspec.Struct, frozen=True, kw_only=True):
    """An objective and its indicator."""

    objective: Objective
    indicator: Indicator


class _Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pass


class _Metadata(_Read, frozen=True):
    name: str
    display_name: str = ""
    annotations: dict[str, str] = {}


class _Query(_Read, frozen=True):
    query: str


class _Source(_Read, frozen=True):
    type: Literal["Prometheus"]
    spec: _Query


class _Metric(_Read, frozen=True):
    metric_source: _Source


class _Ratio(_Read, frozen=True):
    counter: Literal[True]
    total: _Metric
    good: _Metric | None = None
    bad: _Metric | None = None


class _IndicatorSpec(_Read, frozen=True):
    ratio_metric: _Ratio


class _Indicator(_Read, frozen=True):
    metadata: _Metadata
    spec: _IndicatorSpec


class _Window(_Read, frozen=True):
    duration: str
    is_rolling: Literal[True]


class _Target(_Read, frozen=True):
    target: float
    display_name: str = ""


class _PolicyRef(_Read, frozen=True):
    alert_policy_ref: str


class _SloSpec(_Read, frozen=True):
    service: str
    indicator: _Indicator
    time_window: tuple[_Window]
    budgeting_method: Literal["Occurrences"]
    objectives: tuple[_Target]
    alert_policies: tuple[_PolicyRef, ...] = ()
    description: str = ""


class _Condition(_Read, frozen=True):
    kind: Literal["burnrate"]
    threshold: float
    lookback_window: str
    alert_after: str


class _ConditionSpec(_Read, frozen=True):
    severity: Severity
    condition: _Condition


class _AlertCondition(_Read, frozen=True):
    kind: Literal["AlertCondition"]
    metadata: _Metadata
    spec: _ConditionSpec


class _PolicySpec(_Read, frozen=True):
    conditions: tuple[_AlertCondition]
    notification_targets: tuple[dict[str, str], ...]
    alert_when_breaching: bool
    alert_when_resolved: bool
    alert_when_no_data: bool
    description: str = ""


class _Document(_Read, frozen=True):
    api_version: Literal["openslo/v1"]
    kind: Literal["SLO", "AlertPolicy", "AlertNotificationTarget", "Service"]
    metadata: _Metadata
    spec: dict[str, Any]


def service_levels(directory: Path = DIRECTORY) -> list[ServiceLevel]:
    """The objectives of all files `*.yml` of a directory, by name.

    Raises `TerminalError` with the file and what is wrong in it.
    """
    documents = [(file, each) for file in sorted(directory.glob("*.yml")) for each in _documents(file)]
    policies: dict[str, _PolicySpec] = {}
    for file, each in documents:
        if each.kind == "AlertPolicy":
            policies[each.metadata.name] = _convert(file, each.spec, _PolicySpec)
    levels = [_level(file, each, policies) for file, each in documents if each.kind == "SLO"]
    return sorted(levels, key=lambda level: level.objective.name)


def _documents(file: Path) -> Iterator[_Document]:
    try:
        trees = list(yaml.safe_load_all(file.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TerminalError(f"{file}: {' '.join(str(error).split())}") from error
    for tree in trees:
        yield _convert(file, tree, _Document)


def _convert(file: Path, tree: object, shape: type[Any]) -> Any:  # noqa: ANN401 - an instance of `shape`
    try:
        return msgspec.convert(tree, shape)
    except msgspec.ValidationError as error:
        raise TerminalError(f"{file}: {error}") from error


def _level(file: Path, document: _Document, policies: Mapping[str, _PolicySpec]) -> ServiceLevel:
    spec: _SloSpec = _convert(file, document.spec, _SloSpec)
    try:
        return ServiceLevel(
            objective=_objective(document.metadata, spec, policies), indicator=_indicator(spec.indicator)
        )
    except (ValueError, re.error) as error:
        raise TerminalError(f"{file}: {document.metadata.name}: {error}") from error


def _objective(metadata: _Metadata, spec: _SloSpec, policies: Mapping[str, _PolicySpec]) -> Objective:
    if not 0 <= spec.objectives[0].target < 1:
        raise ValueError("a target is at least 0 and below 1")
    refs = [each.alert_policy_ref for each in spec.alert_policies]
    if unknown := [ref for ref in refs if ref not in policies]:
        raise ValueError(f"no file has the alert policy {unknown[0]!r}")
    chosen = {ref: policies[ref] for ref in refs}
    missing = [_no_data(ref, policy) for ref, policy in chosen.items() if policy.alert_when_no_data]
    return Objective(
        name=metadata.name,
        title=metadata.display_name or metadata.name,
        description=spec.description,
        target=spec.objectives[0].target,
        window_s=seconds(spec.time_window[0].duration),
        bad_min=float(metadata.annotations.get(BAD_MIN, 0)),
        alerts=tuple(_burn(ref, policy) for ref, policy in chosen.items() if policy.alert_when_breaching),
        no_data=missing[0] if missing else None,
    )


def _indicator(indicator: _Indicator) -> Indicator:
    ratio = indicator.spec.ratio_metric
    part = ratio.good or ratio.bad
    if part is None or (ratio.good and ratio.bad):
        raise ValueError("a ratio has either `good` or `bad` beside `total`")
    return Indicator(
        part=Selector.parse(part.metric_source.spec.query),
        total=Selector.parse(ratio.total.metric_source.spec.query),
        is_part_good=ratio.good is not None,
    )


def _burn(name: str, policy: _PolicySpec) -> BurnAlert:
    spec = policy.conditions[0].spec
    return BurnAlert(
        name=name,
        severity=spec.severity,
        burn_rate=spec.condition.threshold,
        long_s=seconds(spec.condition.lookback_window),
        short_s=seconds(spec.condition.alert_after),
    )


def _no_data(name: str, policy: _PolicySpec) -> NoDataAlert:
    spec = policy.conditions[0].spec
    return NoDataAlert(name=name, severity=spec.severity, window_s=seconds(spec.condition.lookback_window))


def seconds(duration: str) -> float:
    """`5m`, `6h`, `30d` and `4w` in seconds. Raises `ValueError` for anything else."""
    found = _DURATION_RE.fullmatch(duration)
    if found is None:
        raise ValueError(f"{duration!r}: write a number and one of m, h, d, w")
    return float(int(found[1]) * _UNIT_S[found[2]])
