"""Experiment files: the Chaos Toolkit's are read, ours are too, and what nobody would carry out is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import TerminalError
from simulations.chaos.experiment import HttpProvider, ProcessProvider, PythonProvider, read_experiment
from simulations.chaos.faults import FAULTS
from simulations.chaos.runner import DIRECTORY, chosen
from simulations.chaos.scoring import KINDS
from simulations.chaos.tolerance import is_within

# As the Chaos Toolkit's documentation has it.
THEIRS: dict[str, Any] = {
    "version": "1.0.0",
    "title": "What is the impact of an expired certificate on our application chain?",
    "description": "If a certificate expires, we should gracefully deal with the issue.",
    "tags": ["tls"],
    "steady-state-hypothesis": {
        "title": "Application responds",
        "probes": [
            {
                "type": "probe",
                "name": "the-astre-service-must-be-running",
                "tolerance": True,
                "provider": {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "/"}},
            },
            {
                "type": "probe",
                "name": "we-can-request-sunset",
                "tolerance": 200,
                "provider": {"type": "http", "timeout": [3, 5], "url": "https://localhost:8443/city/Paris"},
            },
        ],
    },
    "method": [
        {
            "type": "action",
            "name": "swap-to-expired-cert",
            "provider": {"type": "process", "path": "cp", "arguments": "expired-cert.pem cert.pem"},
            "pauses": {"after": 1},
        }
    ],
    "rollbacks": [
        {
            "type": "action",
            "name": "swap-to-valid-cert",
            "provider": {"type": "process", "path": "cp", "arguments": {"-f": "", "valid-cert.pem": "cert.pem"}},
        }
    ],
}


def written(directory: Path, **changes: Any) -> Path:
    path = directory / "experiment.json"
    path.write_text(json.dumps({**THEIRS, **changes}))
    return path


def test_an_experiment_of_the_chaos_toolkit_is_read_as_it_is(tmp_path: Path) -> None:
    read = read_experiment(written(tmp_path))

    assert [type(each.provider) for each in read.hypothesis.probes] == [PythonProvider, HttpProvider]
    assert isinstance(read.method[0].provider, ProcessProvider)
    assert read.method[0].pauses.after == 1
    assert not read.method[0].is_fault
    assert read.terms.target.kind == "none", "its activities know what they touch"


def test_what_the_chaos_toolkit_has_no_word_for_is_under_extensions(tmp_path: Path) -> None:
    ours = {"name": "recount", "kind": "partition", "trials": 3, "seed": 7, "target": {"links": ["bus"]}}
    read = read_experiment(written(tmp_path, extensions=[{"name": "another"}, ours]))

    assert (read.terms.trials, read.terms.seed, read.terms.kind) == (3, 7, "partition")
    assert read.terms.target.kind == "node"


@pytest.mark.parametrize(
    ("changes", "wish"),
    [
        ({"secrets": {"vault": {}}}, "secrets"),
        ({"configuration": {"x": 1}}, "configuration"),
        ({"method": []}, "nothing to do"),
        ({"extensions": [{"name": "recount", "trails": 3}]}, "trails"),
        ({"extensions": [{"name": "recount", "kind": "earthquake"}]}, "earthquake"),
        ({"extensions": [{"name": "recount", "weight": 11}]}, "weight"),
        ({"extensions": [{"name": "recount", "detected_by": ["intake-0"]}]}, "part:"),
        ({"extensions": [{"name": "recount", "invariants": ["all_well"]}]}, "all_well"),
        ({"steady-state-hypothesis": {"title": "", "probes": [THEIRS["rollbacks"][0]]}}, "tolerance"),
    ],
)
def test_what_nobody_would_carry_out_is_refused_in_words(changes: dict[str, Any], wish: str, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match=wish):
        read_experiment(written(tmp_path, **changes))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match=r"nowhere\.json"):
        read_experiment(tmp_path / "nowhere.json")


def test_the_experiments_that_we_ship_are_of_all_kinds_and_name_faults_that_exist() -> None:
    shipped = chosen(["all"])

    assert {each.terms.kind for each in shipped} == set(KINDS)
    assert len({(each.terms.seed) for each in shipped}) > 1
    for each in shipped:
        [fault] = [one.provider for one in each.method if one.is_fault]
        assert isinstance(fault, PythonProvider)
        assert fault.arguments["fault"] in FAULTS, each.name
        assert each.hypothesis.probes, each.name


def test_an_experiment_is_chosen_by_its_name_or_its_file() -> None:
    by_name, by_file = chosen(["bus-killed"]), chosen([str(DIRECTORY / "bus-killed.json"), "bus-killed"])

    assert by_name == by_file


@pytest.mark.parametrize(
    ("tolerance", "value", "is_met"),
    [
        (True, True, True),
        (True, False, False),
        ("OK", "OK", True),
        (200, {"status": 200}, True),
        (200, {"status": 503}, False),
        (8, 8, True),
        ([4, 9], 6.5, True),
        ([4, 9], 10, False),
        ([4, 9], None, False),
        ([200, 201, 204], {"status": 204}, True),
        (["a", "b", "c"], "b", True),
        ({"type": "regex", "pattern": "^al+ right$"}, "all right", True),
        ({"type": "regex", "pattern": "right", "target": "stdout"}, {"stdout": "wrong"}, False),
        ({"type": "range", "range": [0, 1], "target": "share"}, {"share": "0.5"}, True),
        ({"type": "range", "range": [0, 1]}, "none", False),
    ],
)
def test_tolerances_are_the_chaos_toolkits(tolerance: Any, value: Any, is_met: bool) -> None:  # noqa: FBT001 - a table
    assert is_within(tolerance, value) == is_met


def test_a_tolerance_that_is_not_understood_is_no_tolerance() -> None:
    with pytest.raises(TerminalError, match="jsonpath"):
        is_within({"type": "jsonpath", "path": "$.a"}, {"a": 1})
