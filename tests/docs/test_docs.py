"""What the documents name is there: commands, targets, files, log lines, metrics, tests, settings."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import typer
import yaml
from typer.testing import CliRunner

from actors.builder import BuilderStats
from actors.shard import Stats
from domain.mapping_settings import (
    AmountSettings,
    DocumentSettings,
    FactSettings,
    FieldSettings,
    MappingSettings,
    TimeSettings,
)
from domain.settings import NodeSettings
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.bootstrap import load_settings
from simulations.cli import main
from tests.tidy.source import LAYERS, ROOT, Module, modules

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OPERATIONS = sorted(path for path in (ROOT / "ops").rglob("*.*") if path.suffix in {".yml", ".json"})
EXAMPLE = ROOT / "recount.example.toml"

CODE_RE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
METRIC_RE = re.compile(r"\brecount_[a-z_]+")
TEST_RE = re.compile(r"`(test_[a-z0-9_]+)`")
SNAKE_RE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
LINK_RE = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Ids of examples, and names of Ray's, Stripe's and PostgreSQL's interface.
FOREIGN_NAMES = {"re_1", "session_latest", "whsec_acme_dev"} | {
    *("pg_dump", "pg_snapshot_xmin", "synchronous_standby_names", "target_session_attrs")
}
# Where this was written is nobody's business; what matters is in the repository.
WORKPLACE_RE = re.compile(r"/work/|/root/|/home/\w|\.\./shared|shared/data")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code(document: Path) -> Iterator[str]:
    """The lines of code of a document: its blocks and what stands between backticks."""
    for block, span in CODE_RE.findall(document.read_text()):
        yield from (block or span).splitlines()


@cache
def everything() -> tuple[Module, ...]:
    return tuple(modules(ROOT))


@cache
def sources() -> str:
    """The whole program as text."""
    return "\n".join(module.text for module in everything() if module.folder != "tests")


@cache
def words() -> frozenset[str]:
    """Every name in the program, in what it requires, and of the files at the top and of the tests."""
    files = " ".join(path.stem for path in (*ROOT.iterdir(), *(ROOT / "tests").rglob("*.py")))
    return frozenset(re.findall(r"\w+", f"{sources()} {(ROOT / 'pyproject.toml').read_text()} {files}"))


@cache
def all_tests() -> frozenset[str]:
    """The names of all tests."""
    text = "\n".join(module.text for module in everything() if module.folder == "tests")
    return frozenset(re.findall(r"def (test_\w+)\(", text))


@cache
def commands() -> dict[str, Any]:
    """Every command of `recount`, a group with its own commands as `group command`."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(main).commands.items():  # type: ignore[attr-defined]  # it is a group
        found[name] = command
        found.update({f"{name} {inner}": each for inner, each in getattr(command, "commands", {}).items()})
    return found


@cache
def log_events() -> frozenset[str]:
    """The names of all log lines: first arguments of `log.<level>(...)` and of `on_event(...)`."""
    found = set()
    for module in everything():
        if module.folder in {"tests", "simulations"}:
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="log"), attr="debug" | "info" | "warning" | "error" | "exception"
                    ),
                    args=[ast.Constant(value=str(event)), *_],
                ):
                    found.add(event)
                case ast.Call(func=ast.Attribute(attr="_on_event"), args=[ast.Constant(value=str(event)), *_]):
                    found.add(event)
    return frozenset(found)


@cache
def metrics() -> frozenset[str]:
    """The names of all metrics. Those of hosts are made of the figures that the hosts report with their health."""
    gateway = [module.text for module in everything() if module.folder == "gateway"]
    made = re.compile(r'(?:Counter|Gauge|Histogram)(?:MetricFamily)?\(\s*"(recount_[a-z_]+[a-z])"')
    found = {name for each in gateway for name in made.findall(each)}
    assert any('f"recount_host_{name}"' in each for each in gateway)
    return frozenset(found | {f"recount_host_{figure}" for figure in host_figures()})


def host_figures() -> set[str]:
    figures = {*Stats.__struct_fields__, *BuilderStats.__struct_fields__}
    for node in ast.walk(ast.parse((ROOT / "gateway/intake_host.py").read_text())):
        if isinstance(node, ast.ClassDef) and node.name == "IntakeStats":
            figures |= {
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            }
    for node in ast.walk(ast.parse((ROOT / "actors/index_shard.py").read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "ping":
            figures |= {
                key.value
                for inner in ast.walk(node)
                if isinstance(inner, ast.Dict)
                for key in inner.keys
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
    return figures


def table(document: Path, heading: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    _, _, rest = document.read_text().partition(f"\n## {heading}\n")
    section = rest.partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_command_that_is_named_exists(document: Path) -> None:
    for line in code(document):
        for named in re.findall(r"(?:^|[\s(|/])recount ([a-z]+(?: [a-z]+)?)", line):
            first = named.partition(" ")[0]
            # After a command come its arguments; after a group comes one of its commands.
            name = named if hasattr(commands().get(first), "commands") else first
            assert name in commands(), f"{name_of(document)}: recount {named}"


def test_every_command_is_told_of() -> None:
    told = " ".join(line for document in DOCUMENTS for line in code(document))

    missing = [
        name
        for name, command in commands().items()
        if not hasattr(command, "commands") and f"recount {name}" not in told
    ]

    assert missing == []


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [*name.split(), "--help"])

    assert result.exit_code == 0
    assert commands()[name].help


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_option_of_a_command_that_is_shown_exists(document: Path) -> None:
    for line in code(document):
        match = re.search(r"(?:^|[\s$])recount ([a-z]+(?: [a-z]+)?)(.*)", line)
        names = [match[1], match[1].split()[0]] if match is not None else []
        name = next((each for each in names if each in commands()), None)
        if match is None or name is None:
            continue
        known = {option for parameter in commands()[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--[a-z][a-z-]*", match[2])) <= known | {"--help"}, f"{name_of(document)}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    named = {target for line in code(document) for target in re.findall(r"(?:^|[\s(])make ([a-z]+)", line)}

    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_resolves(document: Path) -> None:
    for target in LINK_RE.findall(document.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target.partition("#")[0]).exists(), f"{name_of(document)}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_file_of_ours_that_is_named_exists(document: Path) -> None:
    folders = "|".join([*LAYERS, "docs", "ops", "scripts", "requirements"])
    for line in code(document):
        for path in re.findall(rf"(?<![\w/])((?:{folders})/[\w./-]*\w)(?![\w<*])", line):
            assert (ROOT / path).exists(), f"{name_of(document)}: {path}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_name_between_backticks_is_in_the_program(document: Path) -> None:
    named = {name for _, span in CODE_RE.findall(document.read_text()) for name in SNAKE_RE.findall(span)}

    assert named - words() - metrics() - all_tests() - FOREIGN_NAMES == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_test_that_is_named_exists(document: Path) -> None:
    assert set(TEST_RE.findall(document.read_text())) <= all_tests()


@pytest.mark.parametrize("document", [*DOCUMENTS, *OPERATIONS], ids=name_of)
def test_every_metric_that_is_named_exists(document: Path) -> None:
    for name in METRIC_RE.findall(document.read_text()):
        assert re.sub(r"_(bucket|sum|count)$", "", name) in metrics() or name in metrics(), (
            f"{name_of(document)}: {name}"
        )


def test_the_operations_page_has_every_log_line_and_every_metric() -> None:
    page = ROOT / "docs" / "operations.md"

    assert sorted(table(page, "Log lines")) == sorted(log_events())
    assert sorted(table(page, "Metrics")) == sorted(metrics())


def test_every_problem_that_is_told_of_is_in_the_program() -> None:
    missing = [problem for problem in table(ROOT / "docs" / "http.md", "Problems") if f'"{problem}"' not in sources()]

    assert missing == []


def test_every_problem_of_the_gateway_is_told_of() -> None:
    raised = set(re.findall(r'ProblemError\(\s*\d+,\s*"([a-z_.]+)"', sources()))

    assert raised
    assert raised <= set(table(ROOT / "docs" / "http.md", "Problems"))


@pytest.mark.parametrize("runbook", sorted((ROOT / "docs" / "runbooks").glob("*.md")), ids=name_of)
def test_a_runbook_says_what_is_seen_what_it_means_and_what_to_do(runbook: Path) -> None:
    headings = re.findall(r"^## (.+)$", runbook.read_text(), re.MULTILINE)

    assert headings[0] in {"What you see", "When"}
    assert headings[1:] == ["What it means", "What to do"]
    assert runbook.name in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("file", sorted((ROOT / "ops" / "prometheus").glob("*.rules.yml")), ids=name_of)
def test_every_alert_has_a_summary_and_a_document(file: Path) -> None:
    groups = yaml.safe_load(file.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]

    assert rules
    for rule in rules:
        assert rule["annotations"]["summary"]
        assert (ROOT / rule["annotations"]["runbook"]).is_file(), rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_every_route_in_an_expression_is_one_of_the_gateways() -> None:
    for document in OPERATIONS:
        for route in re.findall(r'route=\\?"([^"\\]+)', document.read_text()):
            assert f'"{route.replace("}", ":str}")}"' in sources(), f"{name_of(document)}: {route}"


@pytest.mark.parametrize("file", sorted((ROOT / "ops" / "grafana").glob("*.json")), ids=name_of)
def test_the_dashboard_is_one(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    panels = dashboard["panels"]

    assert dashboard["uid"] == file.stem
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "instance"}
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(
        target["expr"].count("(") == target["expr"].count(")") for panel in panels for target in panel["targets"]
    )


def writer() -> ModuleType:
    spec = spec_from_file_location("write_configuration_reference", ROOT / "scripts/write_configuration_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_reference_is_current() -> None:
    page = writer()

    assert page.FILE.read_text() == page.reference(), "run scripts/write_configuration_reference.py"


@pytest.mark.parametrize(
    "settings",
    [
        NodeSettings,
        TenantSettings,
        SourceSettings,
        MappingSettings,
        FactSettings,
        DocumentSettings,
        FieldSettings,
        AmountSettings,
        TimeSettings,
        *(f.type for f in msgspec.structs.fields(NodeSettings) if isinstance(f.type, type)),
    ],
    ids=lambda each: each.__name__,
)
def test_every_setting_says_what_it_means(settings: type[msgspec.Struct]) -> None:
    if issubclass(settings, msgspec.Struct):
        assert writer().meanings(settings).keys() == set(settings.__struct_fields__)


def test_the_example_configuration_is_complete_and_loads() -> None:
    settings = load_settings(EXAMPLE, environment={})
    written = tomllib.loads(EXAMPLE.read_text())

    assert settings == load_settings(environment={}), "the example shows the defaults and the development tenant"
    assert written == msgspec.json.decode(msgspec.json.encode(settings)) | {"tenants": written["tenants"]}
    assert msgspec.convert(written["tenants"], dict[str, TenantSettings]) == settings.tenants


def test_the_changelog_has_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    entries = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert entries[0] == version


@pytest.mark.parametrize("document", [*DOCUMENTS, *OPERATIONS, EXAMPLE], ids=name_of)
def test_no_document_names_the_place_where_it_was_written(document: Path) -> None:
    assert WORKPLACE_RE.findall(document.read_text()) == []
