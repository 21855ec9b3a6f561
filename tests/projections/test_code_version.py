"""Code has another name exactly if it does something else."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import TerminalError
from projections.code_version import code_of

ROOT = "foldings.view"
VIEW = '"""A view."""\n\nfrom domain.money import format_amount\n\n\ndef fold(a, b):\n    return a + b\n'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "foldings"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "view.py").write_text(VIEW)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("foldings", None)


def code(package: Path, text: str = VIEW) -> str:
    (package / "view.py").write_text(text)
    code_of.cache_clear()
    return code_of(ROOT)


@pytest.mark.parametrize(
    "text",
    [
        VIEW.replace('"""A view."""', '"""What a view is."""'),
        VIEW.replace("    return", "    # The sum.\n    return"),
        VIEW.replace("def fold(a, b):", "def fold(\n    a, b\n):"),
        VIEW.replace("    return", '    """The sum."""\n    return'),
    ],
)
def test_words_about_code_do_not_make_other_code(text: str, package: Path) -> None:
    assert code(package, text) == code(package)


@pytest.mark.parametrize(
    "text",
    [
        VIEW.replace("a + b", "a - b"),
        VIEW.replace("fold(a, b)", "fold(a, b, c=1)"),
        VIEW.replace("domain.money", "domain.fact"),
        VIEW + "SIGN = 1\n",
    ],
)
def test_what_does_something_else_is_other_code(text: str, package: Path) -> None:
    assert code(package, text) != code(package)


def test_what_is_imported_counts_however_far_away(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.code_version.OURS", frozenset({"foldings"}))
    (package / "sum.py").write_text("from foldings import sign\n")
    (package / "sign.py").write_text("SIGN = 1\n")
    before = code(package, "import foldings.sum\n")
    (package / "sign.py").write_text("SIGN = -1\n")

    assert code(package, "import foldings.sum\n") != before


def test_code_without_its_source_has_no_name() -> None:
    with pytest.raises(TerminalError, match="no source"):
        code_of("zlib")
