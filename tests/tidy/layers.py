"""Who may import whom, and what the rules in `domain` may know of the world."""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.tidy.source import LAYERS, SCRIPTS, Module, modules

# The standard library without clocks, randomness, input, output, threads and the environment.
PURE = frozenset(
    "abc array bisect collections dataclasses datetime decimal enum fractions functools graphlib hashlib heapq "
    "itertools json math operator re statistics string textwrap types typing unicodedata zlib".split()
)
# Calls that give another result tomorrow or in another process, and their cure.
IMPURE_METHODS = dict.fromkeys(("now", "utcnow", "today"), "time is an input: take it as an argument")
IMPURE_BUILTINS = {
    "hash": "it differs between processes: use zlib.crc32 or hashlib",
    "id": "it differs between processes: give the thing a name",
    **dict.fromkeys(("open", "print", "input", "exec", "eval", "breakpoint"), "no input, no output"),
}
# Packages that one place has in its hands, so that everything else runs, is tested and is simulated without them.
ONLY_IN: Mapping[str, frozenset[str]] = {
    "ray": frozenset({"actors/remote.py"}),
    "eventsourcing": frozenset(
        {
            "actors/journal.py",
            "actors/log.py",
            "actors/postgres_recorder.py",
            "actors/recorder.py",
            "simulations/bench_store.py",
            "simulations/world_store.py",
        }
    ),
    "psycopg": frozenset(
        {
            "actors/postgres_recorder.py",
            "projections/postgres.py",
            "projections/postgres_feed.py",
            "simulations/postgres_server.py",
        }
    ),
}
# The environment is read once, where the parts are put together, and written for libraries that take nothing else.
ENVIRONMENT_READ_IN = frozenset({"gateway/bootstrap.py"})
ENVIRONMENT_WRITTEN_IN = {
    "actors/remote.py": "Ray takes its mode and its token from there",
    "projections/model_export.py": "the library that reads the model is kept off the network",
}
ENVIRONMENT = frozenset({"environ", "environb", "getenv", "getenvb"})
FREE_OF_THE_ENVIRONMENT = frozenset({"domain", "projections", "actors", "gateway"})


def complaints(root: Path) -> list[str]:
    """What breaks the import rule below `root`."""
    found = [
        f"{package.parent.name}/: not a layer; say where it stands in tests/tidy/source.py"
        for package in sorted(root.glob("*/__init__.py"))
        if package.parent.name not in LAYERS
    ]
    for module in modules(root):
        if module.folder != SCRIPTS:
            found.extend(_imports(module))
            found.extend(_environment(module))
        if module.folder == "domain":
            found.extend(_impurities(module))
    return found


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The dotted names that are imported, wherever it happens; a relative import keeps its dots."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node, alias.name
            case ast.ImportFrom(module=name, level=level):
                yield node, "." * level + (name or "")
            case (
                ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_])
                | ast.Call(func=ast.Name(id="__import__" | "import_module"), args=[ast.Constant(value=str(name)), *_])
            ):
                yield node, name


def _imports(module: Module) -> Iterator[str]:
    reach = LAYERS[: LAYERS.index(module.folder) + 1]
    for node, name in imported(module.tree):
        top = name.partition(".")[0]
        if name.startswith("."):
            yield module.at(node, "relative import: write it in full")
        elif top in LAYERS:
            if top not in reach:
                yield module.at(node, f"{module.folder} imports {name}; it may import {', '.join(reach)}")
        elif module.folder == "domain" and top != "msgspec" and top not in PURE:
            kind = "not pure" if top in sys.stdlib_module_names else "a library"
            yield module.at(
                node, f"domain imports {name}, which is {kind}; it may import msgspec and {', '.join(sorted(PURE))}"
            )
        elif module.folder != "tests" and top in ONLY_IN and module.path not in ONLY_IN[top]:
            yield module.at(node, f"{name} is imported only in {', '.join(sorted(ONLY_IN[top]))}")


def _environment(module: Module) -> Iterator[str]:
    if module.folder not in FREE_OF_THE_ENVIRONMENT or module.path in ENVIRONMENT_READ_IN:
        return
    written = set(_written(module.tree))
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(attr=name) if node in written:
                if module.path not in ENVIRONMENT_WRITTEN_IN:
                    yield module.at(node, f"{name} is written only in {', '.join(ENVIRONMENT_WRITTEN_IN)}")
            case ast.Attribute(attr=name) if name in ENVIRONMENT:
                yield module.at(node, f"{name} is read only in gateway/bootstrap.py; take the value as an argument")
            case ast.ImportFrom(module="os", names=names) if ENVIRONMENT & {alias.name for alias in names}:
                yield module.at(node, "the environment is read only in gateway/bootstrap.py")


def _written(tree: ast.AST) -> Iterator[ast.AST]:
    """`os.environ` in `os.environ[...] = ...` and in the statement `os.environ.setdefault(...)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Attribute(attr="environ") as environ, ctx=ast.Store()):
                yield environ
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ") as environ, attr="setdefault"))
            ):
                yield environ


def _impurities(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_METHODS:
                yield module.at(node, f"{name}(): {IMPURE_METHODS[name]}")
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_BUILTINS:
                yield module.at(node, f"{name}(): {IMPURE_BUILTINS[name]}")
