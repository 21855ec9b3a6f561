"""Two versions of the program are compared by what they make of one history."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import TerminalError
from gateway.replaying.other_code import ROOT, compare_code
from tests.gateway.correcting_world import World
from tests.gateway.replaying.past_world import recorder, replayed, world

__all__ = ["recorder", "world"]
pytestmark = pytest.mark.long


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with this version, whose next revision lets nothing fail after it has succeeded."""
    root = tmp_path / "repository"
    for folder in ("domain", "projections", "requirements"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    git(root, "init", "--quiet")
    commit(root, "same")
    fold = root / "domain" / "payment.py"
    fold.write_text(
        fold.read_text()
        .replace("        table.phase(fact.status),\n", "        0,\n")
        .replace("        table.rank(fact.status),\n", "        -table.rank(fact.status),\n")
    )
    commit(root, "other")
    return root


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def commit(root: Path, name: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", name)
    git(root, "tag", name)


async def test_the_same_code_makes_the_same_of_it(world: World, repository: Path, tmp_path: Path) -> None:
    replayed(world, tmp_path / "then")
    said: list[str] = []
    same = compare_code(tmp_path / "then", "same", root=repository, say=said.append)

    assert not same.is_different
    assert (same.payments, same.statements) == (7, 2)
    assert "run with this interpreter" in said[-1]
    assert not (tmp_path / "then" / "code" / "tree").exists()


async def test_other_code_is_told_by_the_payments_and_answers_that_differ(
    world: World, repository: Path, tmp_path: Path
) -> None:
    replayed(world, tmp_path / "then")
    other = compare_code(tmp_path / "then", "other", root=repository)

    assert other.is_different
    assert [each.payment_id for each in other.differing_payments] == ["pi_1"]
    assert other.differing_payments[0].fields["refunded_minor"] == (1900, 0)
    # When the answer was given the failure was not known, and both versions had said the same.
    assert other.differing_answers == []
    assert "pi_1: refunded_minor: 1900 there, 0 here" in other.in_words()


async def test_an_answer_that_would_have_stated_something_else_is_told(
    world: World, repository: Path, tmp_path: Path
) -> None:
    await world.answer("a_2", "pi_1")
    replayed(world, tmp_path / "then")
    other = compare_code(tmp_path / "then", "other", root=repository)

    assert [each.answer_id for each in other.differing_answers] == ["a_2"]
    assert other.differing_answers[0].fields["refunded_minor"] == (1900, 0)


async def test_a_version_that_cannot_fold_the_history_is_an_error(
    world: World, repository: Path, tmp_path: Path
) -> None:
    (repository / "projections" / "payment_view.py").write_text("raise ImportError('not here')\n")
    commit(repository, "broken")
    replayed(world, tmp_path / "then")

    with pytest.raises(TerminalError, match="cannot fold the history: ImportError: not here"):
        compare_code(tmp_path / "then", "broken", root=repository, python=Path(sys.executable))


async def test_a_revision_that_is_not_there_is_an_error(world: World, repository: Path, tmp_path: Path) -> None:
    replayed(world, tmp_path / "then")

    with pytest.raises(TerminalError, match="no such revision"):
        compare_code(tmp_path / "then", "v9", root=repository)
