"""Reads the project's modules as text and as syntax trees; runs none of them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# From the innermost to the outermost: a folder may import those before it.
LAYERS = ("domain", "projections", "actors", "gateway", "simulations", "tests")
SCRIPTS = "scripts"


class Module(NamedTuple):
    """One file; `path` is relative to the root, with slashes."""

    path: str
    text: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        return self.path.partition("/")[0]

    def at(self, node: ast.AST, complaint: str) -> str:
        """A complaint about a place, in the form that editors understand."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {complaint}"


def modules(root: Path) -> Iterator[Module]:
    """Every module below the layers and the scripts, by path."""
    for folder in (*LAYERS, SCRIPTS):
        for file in sorted((root / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            path = file.relative_to(root).as_posix()
            yield Module(path=path, text=text, tree=ast.parse(text, path))
