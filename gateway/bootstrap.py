"""The composition root: settings from the file and the environment. The only reader of the environment."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from domain.errors import TerminalError
from domain.settings import NodeSettings
from gateway.time_zones import zone_named

PREFIX = "RECOUNT_"
DEFAULT_FILE = "recount.toml"
# Read before there are settings: where they are, and what the command line needs to reach a running node.
NOT_SETTINGS = frozenset(
    {"RECOUNT_CONFIG", "RECOUNT_GATEWAY", "RECOUNT_API_KEY", "RECOUNT_OPERATOR_KEY", "RECOUNT_EXTRA"}
)

# A first tenant for a node without a configuration file, so that `recount up` answers at once on a laptop.
_DEVELOPMENT: dict[str, Any] = {
    "tenants": {"acme": {"api_keys": ["acme-dev-key"], "sources": {"stripe": {"secrets": ["whsec_acme_dev"]}}}}
}


def load_settings(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> NodeSettings:
    """The settings: defaults, under the file, under `RECOUNT_<SECTION>_<KEY>`, under the command line.

    Raises `TerminalError` that names the key and says what it takes. Without a file (`recount.toml` here, or the one
    that `RECOUNT_CONFIG` names) there is one tenant `acme` for development.
    """
    environment = os.environ if environment is None else environment
    named = file or (Path(environment["RECOUNT_CONFIG"]) if environment.get("RECOUNT_CONFIG") else None)
    chosen = named or Path(DEFAULT_FILE)
    if named is None and not chosen.exists():
        tree = msgspec.json.decode(msgspec.json.encode(_DEVELOPMENT))
    else:
        tree = _read(chosen)
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            _override(tree, name, text)
    _merge(tree, overrides or {})
    try:
        settings = msgspec.convert(tree, NodeSettings)
    except (msgspec.ValidationError, ValueError) as error:
        raise TerminalError(f"configuration ({chosen}): {error}") from error
    for tenant, of_tenant in settings.tenants.items():
        if zone_named(of_tenant.time_zone) is None:
            told = f"tenants.{tenant}.time_zone: no zone is called {of_tenant.time_zone!r}; write e.g. Asia/Ho_Chi_Minh"
            raise TerminalError(f"configuration ({chosen}): {told}")
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise TerminalError(f"configuration {str(file)!r} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TerminalError(f"configuration {str(file)!r} is not TOML: {error}") from error


def _override(tree: dict[str, Any], name: str, text: str) -> None:
    """`RECOUNT_HTTP_LISTEN=...` sets `http.listen`; `RECOUNT_DATA=...` sets `data`."""
    key = name.removeprefix(PREFIX).lower()
    fields = {each.name: each for each in msgspec.structs.fields(NodeSettings)}
    if key in fields and key != "tenants":
        tree[key] = text
        return
    section, _, option = key.partition("_")
    if section not in fields or not option or not hasattr(fields[section].type, "__struct_fields__"):
        raise TerminalError(f"environment: {name} is no setting; see docs/configuration.md")
    options = {each.name: each.type for each in msgspec.structs.fields(fields[section].type)}
    if option not in options:
        raise TerminalError(f"environment: {name} is no setting; {section} has {', '.join(options)}")
    try:
        value = msgspec.convert(text, options[option], strict=False)
    except msgspec.ValidationError as error:
        raise TerminalError(f"environment: {name}: {error}") from error
    _merge(tree, {section: {option: value}})


def _merge(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping):
            if not isinstance(tree.get(key, {}), dict):
                raise TerminalError(f"configuration: {key} is a section; write its settings under [{key}]")
            _merge(tree.setdefault(key, {}), value)
        elif value is not None:
            tree[key] = value
