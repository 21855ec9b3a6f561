"""Which code folded it: what is derived from the log is as good as the code that derived it, and no longer.

A number that a person raises is forgotten once. So the name is made of the code itself: of a module and of all of ours
that it imports, without comments, docstrings and line breaks.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.abc import InspectLoader
from importlib.util import find_spec

from domain.errors import TerminalError

OURS = frozenset({"domain", "projections"})
_HASH_BYTES = 8


@cache
def code_of(*modules: str) -> str:
    """The name of the code of these modules and of what they import, 16 hexadecimal characters.

    Modules are named as they are imported, e.g. `projections.payment_view`. Only `domain` and `projections` count:
    libraries are pinned by the lock, and change with a version of ours.
    """
    trees: dict[str, ast.Module] = {}
    ahead = set(modules)
    while ahead:
        module = ahead.pop()
        trees[module] = _tree(module)
        ahead |= {each for each in _imported(trees[module]) if each not in trees}
    digest = hashlib.blake2b(digest_size=_HASH_BYTES)
    for module in sorted(trees):
        digest.update(f"{module}\0{ast.dump(_without_docstrings(trees[module]))}\0".encode())
    return digest.hexdigest()


def _tree(module: str) -> ast.Module:
    """Raises `TerminalError` where the program's source was not installed with it."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    source = spec.loader.get_source(module) if spec is not None and isinstance(spec.loader, InspectLoader) else None
    if source is None:
        raise TerminalError(f"{module} has no source here, and its version cannot be told; install Recount from source")
    return ast.parse(source)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Our modules that are imported. `from projections import knowledge` names one as well."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(name), names=names, level=0) if name in OURS:
                yield from (f"{name}.{alias.name}" for alias in names)
            case ast.ImportFrom(module=str(name), level=0) if name.partition(".")[0] in OURS:
                yield name
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] in OURS)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                match node.body:
                    case [ast.Expr(value=ast.Constant(value=str())), *_]:
                        # An empty body is no program, and this tree is only looked at.
                        node.body = node.body[1:]
    return tree
