"""The code is tidy, and the check of it sees what is not."""

from pathlib import Path

import pytest

from tests.tidy.source import ROOT
from tests.tidy.tidiness import FUNCTION_LINES_MAX, MODULE_LINES_MAX, complaints


def test_the_code_is_tidy() -> None:
    assert complaints(ROOT) == []


def untidy(root: Path, text: str, path: str = "actors/new.py", **sleeps: str) -> list[str]:
    """What is said of a module with a docstring and `text`."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'"""New."""\n{text}')
    return complaints(root, sleeps)


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("X = 1\n" * MODULE_LINES_MAX, "two ideas"),
        ("def long():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "long has 71 lines"),
        ("async def long():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "long has 71 lines"),
        ("# TODO: later\n", "unfinished"),
        ("X = 1  # FIXME\n", "unfinished"),
        ("class New:\n    '''XXX: what now?'''\n", "unfinished"),
        ("# ------------\n", "banner"),
        ("# === Commands ===\n", "banner"),
        ("##########\n", "banner"),
        ("# Commands -------\n", "banner"),
        ("try:\n    x = 1\nexcept Exception:\n    pass\n", "swallowed"),
        ("try:\n    x = 1\nexcept:\n    ...\n", "swallowed"),
        ("while True:\n    try:\n        x = 1\n    except BaseException as error:\n        continue\n", "swallowed"),
        ("import contextlib\nwith contextlib.suppress(Exception):\n    x = 1\n", "swallowed"),
        ("import time\ntime.sleep(0.1)\n", "sleep"),
        ("from time import sleep\nsleep(1)\n", "sleep"),
        ("import asyncio\nasync def wait(s):\n    await asyncio.sleep(s)\n", "sleep"),
    ],
)
def test_what_is_untidy_is_seen(text: str, wish: str, tmp_path: Path) -> None:
    [complaint] = untidy(tmp_path, text)

    assert wish in complaint


@pytest.mark.parametrize("path", ["tests/new.py", "scripts/new.py", "gateway/sources/new.py"])
def test_every_folder_is_looked_at(path: str, tmp_path: Path) -> None:
    assert len(untidy(tmp_path, "# TODO: later\n", path)) == 1


def test_a_module_without_a_docstring_is_seen(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "new.py").write_text("X = 1\n")

    assert complaints(tmp_path, {}) == ["domain/new.py:1: no docstring: say what lives here"]


@pytest.mark.parametrize(
    "text",
    [
        "X = 1\n" * (MODULE_LINES_MAX - 1),
        "def long():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1),
        "# The method - and its cost - in one line.\nTODO = 'a name'\n",
        "try:\n    x = 1\nexcept ValueError:\n    pass\n",
        "try:\n    x = 1\nexcept Exception as error:\n    raise RuntimeError from error\n",
        "import asyncio\nasync def give_way():\n    await asyncio.sleep(0)\n",
    ],
)
def test_what_is_tidy_is_left_alone(text: str, tmp_path: Path) -> None:
    assert untidy(tmp_path, text) == []


def test_a_sleep_with_a_reason_is_allowed_until_it_is_gone(tmp_path: Path) -> None:
    reasons = {"actors/new.py": "the interval between two pings"}

    assert untidy(tmp_path, "import time\ntime.sleep(1)\n", **reasons) == []
    assert untidy(tmp_path, "X = 1\n", **reasons) == ["actors/new.py: does not sleep any more; take it from SLEEPS"]
