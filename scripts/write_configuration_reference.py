"""Writes docs/configuration.md from `domain.settings`: types and defaults from the code, meanings from the docstrings.

`.venv/bin/python scripts/write_configuration_reference.py`; a test fails while the file says something else.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec

from domain.mapping_settings import AmountSettings, FieldSettings, TimeSettings
from domain.settings import ACTORS_MAX, API_KEY_CHARS_MIN, BATCH_MAX, NodeSettings
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.bootstrap import DEFAULT_FILE, NOT_SETTINGS, PREFIX
from gateway.sources import MADE, SOURCES

FILE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"

# Variables that are read before there are settings, or outside of them.
VARIABLES: Mapping[str, str] = {
    "RECOUNT_CONFIG": f"the configuration file, if it is not `{DEFAULT_FILE}` in the working directory",
    "RECOUNT_GATEWAY": "the gateway that `recount ask` and `recount timeline` speak to",
    "RECOUNT_API_KEY": "the API key that they show",
    "RECOUNT_OPERATOR_KEY": "the operator's key that `recount remediation` shows",
    "RECOUNT_EXTRA": "for `make setup`: `drift` installs alibi-detect too",
}

_INTRO = f"""\
# Configuration

This page is written by `scripts/write_configuration_reference.py` from the structs behind `domain/settings.py`.

Later ones win: the default, the file, the environment, the command line (`--data`, `--http`).
The file is the one that `--config` names, else `RECOUNT_CONFIG`, else `{DEFAULT_FILE}` in the working directory.
It is TOML; [recount.example.toml](../recount.example.toml) is a whole one.
An unknown key or variable is an error, and so is a value of the wrong type: the node says which and does not start.
Without a file there is one tenant for development: `acme`, API key `acme-dev-key`, Stripe secret `whsec_acme_dev`.
"""

_NO_VARIABLES = """\
What belongs to a tenant has no variables. Keep its keys and secrets in a file that only the node's user may read.
"""

_LIMITS = f"""\
## Limits

- A tenant's name has lower-case letters, digits and hyphens, 63 at most. It is part of paths, subjects and streams.
- A source's name has lower-case letters, digits, `-` and `_`, 32 at most. Its `kind`, or else its name, is one of
  {", ".join(f"`{kind}`" for kind in [*SOURCES, *MADE])}.
- An API key has at least {API_KEY_CHARS_MIN} characters and belongs to one tenant.
- `payment_shards`, `index_shards` and `intakes` are 1 to {ACTORS_MAX} each; `intakes_max` is 0, or `intakes` to
  {ACTORS_MAX}.
- `shard.aggregates_max` is at least {BATCH_MAX}: a batch must fit into memory.
- `store.url` is `sqlite` or begins with `postgresql://`; one log has one node.
- The number of shards may change between two starts. Nothing is lost, and nothing has to be moved.
"""


def reference() -> str:
    """The whole page."""
    tables = [
        _table(f"`[{field.name}]`", field.type, f"{PREFIX}{field.name.upper()}_")
        for field in msgspec.structs.fields(NodeSettings)
        if _is_section(field.type)
    ]
    tenants = [
        _table("`[tenants.NAME]`", TenantSettings),
        _NO_VARIABLES,
        *_sections("tenants.NAME", TenantSettings),
        _table("`[tenants.NAME.sources.SOURCE]`", SourceSettings),
        *_sections("tenants.NAME.sources.SOURCE", SourceSettings),
        *(_table(f"{kind.capitalize()} in a mapping", settings) for settings, kind in _IN_PLACE.items()),
    ]
    return "\n".join([_INTRO, _table("At the top", NodeSettings, PREFIX), *tables, *tenants, _LIMITS, _variables()])


def _table(heading: str, settings: type[msgspec.Struct], prefix: str = "") -> str:
    """The keys of one section; `prefix` is what the names of their variables begin with, empty if they have none."""
    said = meanings(settings)
    head = ["key", "type", "default", *(["environment"] if prefix else []), "meaning"]
    rows = [head, ["---"] * len(head)]
    for field in msgspec.structs.fields(settings):
        if not _is_section(field.type) and _section_of_dict(field.type) is None:
            variable = [f"`{prefix}{field.name.upper()}`"] if prefix else []
            rows.append([f"`{field.name}`", _type(field.type), _default(field), *variable, said[field.name]])
    return f"## {heading}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _sections(under: str, settings: type[msgspec.Struct]) -> Iterator[str]:
    """The tables of the sections inside a section; of those of which there may be several, under double brackets."""
    for field in msgspec.structs.fields(settings):
        inner = _section_of(field.type)
        if inner is not None:
            name = f"{under}.{field.name}"
            yield _table(f"`[[{name}]]`" if get_origin(field.type) is tuple else f"`[{name}]`", inner)
            yield from _sections(name, inner)


def _section_of(of: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a field's annotation
    """The section that a field is, whether it has to be there, may be there or may be there several times."""
    if get_origin(of) is tuple:
        of = get_args(of)[0]
    elif get_origin(of) is UnionType and NoneType in get_args(of):
        of = next(each for each in get_args(of) if each is not NoneType)
    return of if isinstance(of, type) and issubclass(of, msgspec.Struct) else None


def _section_of_dict(of: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - a field's annotation
    """The section that a field has by names, such as the tenants."""
    return _section_of(get_args(of)[1]) if get_origin(of) is dict else None


def _is_section(of: Any) -> bool:  # noqa: ANN401 - a field's annotation
    return _section_of(of) is not None


def meanings(settings: type[msgspec.Struct]) -> dict[str, str]:
    """Key -> meaning, from the `Args:` of the docstring."""
    _, _, arguments = inspect.cleandoc(settings.__doc__ or "").partition("Args:\n")
    found = {}
    for name, text in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", arguments, re.MULTILINE):
        found[name] = " ".join(text.split()).removesuffix(".")
    return found


def _type(of: Any) -> str:  # noqa: ANN401 - a field's annotation
    """A field's type in the words of TOML."""
    if of in _IN_PLACE:
        return _IN_PLACE[of]
    if get_origin(of) is tuple:
        return f"list of {_type(get_args(of)[0])}"
    if get_origin(of) is dict:
        return f"table of {_type(get_args(of)[1])}"
    if get_origin(of) is UnionType:
        return " or ".join(_type(each) for each in get_args(of))
    if get_origin(of) is Literal:
        return "string"
    return {str: "string", int: "integer", float: "number", bool: "boolean"}[of]


# What stands in the place of a path: `status = { path = ..., table = ... }`.
_IN_PLACE: Mapping[type[msgspec.Struct], str] = {
    FieldSettings: "field",
    AmountSettings: "amount",
    TimeSettings: "time",
}


def _default(field: msgspec.structs.FieldInfo) -> str:
    """The default as TOML writes it; empty for what has to be set."""
    if field.required:
        return ""
    if field.default_factory is not msgspec.NODEFAULT:
        return "`{}`"
    return "`[]`" if field.default == () else f"`{msgspec.json.encode(field.default).decode()}`"


def _variables() -> str:
    assert VARIABLES.keys() == NOT_SETTINGS, "VARIABLES has to name every variable that is no setting"
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items())
    return f"## Variables that are no settings\n\n| variable | meaning |\n| --- | --- |\n{rows}\n"


def main() -> int:
    FILE.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
