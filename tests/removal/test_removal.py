"""Each mechanism is taken out of a copy of the program, and the tests that guard it must go red there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("domain", "actors", "projections", "gateway", "simulations", "tests")


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A mechanism: the lines that are it, what stands there without it, and the tests that notice."""

    mechanism: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


REMOVALS = (
    Removal(
        mechanism="the rank in the fold",
        file="domain/payment.py",
        old="        table.rank(fact.status),\n",
        new="        0,\n",
        tests=("tests/domain/test_payment.py", "tests/domain/test_streams.py"),
    ),
    Removal(
        mechanism="legality before time",
        file="domain/payment.py",
        old="        table.phase(fact.status),\n",
        new="        0,\n",
        tests=("tests/domain/test_payment.py",),
    ),
    Removal(
        mechanism="the set of fact ids",
        file="domain/payment_saga.py",
        old="    recorded = state.facts.get(fact.fact_id)\n",
        new="    recorded = None\n",
        tests=("tests/domain/test_payment_saga.py", "tests/actors/test_shard.py"),
    ),
    Removal(
        mechanism="the epoch check",
        file="actors/recorder.py",
        old="        if current != held:\n",
        new="        if current < held:\n",
        tests=("tests/actors/test_recorder.py", "tests/actors/test_zombie.py"),
    ),
    Removal(
        mechanism="contiguity",
        file="actors/recorder.py",
        old="            self._check_contiguity(cursor, events)\n",
        new="",
        tests=("tests/actors/test_recorder.py",),
    ),
    Removal(
        mechanism="acknowledge after commit",
        file="gateway/intake.py",
        old="        settled = await self.settle(items)\n        await acknowledge()\n",
        new="        await acknowledge()\n        settled = await self.settle(items)\n",
        tests=("tests/gateway/test_intake.py",),
    ),
    Removal(
        mechanism="the checkpoint in the transaction",
        file="projections/store.py",
        old="UPDATE checkpoint SET position=? WHERE position<?",
        new="UPDATE checkpoint SET position=0*? WHERE position<?",
        tests=("tests/projections/test_store.py", "tests/projections/test_projector.py"),
    ),
    Removal(
        mechanism="refusing to cache what changed meanwhile",
        file="gateway/answer_cache.py",
        old="            self.refusals += 1\n            return False\n",
        new="            self.refusals += 1\n",
        tests=("tests/gateway/test_answer_cache.py",),
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("removal") / "recount"
    for folder in COPIED:
        shutil.copytree(ROOT / folder, directory / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", directory)
    # Recorded streams are found beside the repository, as they are here.
    if (ROOT.parent / "shared").exists():
        (directory.parent / "shared").symlink_to((ROOT.parent / "shared").resolve())
    return directory


def outcome(directory: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=directory,
        # The copy, and not the installed program, is what is imported.
        env={**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.mechanism)
def test_the_tests_go_red_without(removal: Removal, copy: Path) -> None:
    file = copy / removal.file
    whole = file.read_text()
    assert whole.count(removal.old) == 1, f"{removal.mechanism} is not where it was in {removal.file}"
    file.write_text(whole.replace(removal.old, removal.new))
    try:
        result = outcome(copy, removal.tests)
    finally:
        file.write_text(whole)

    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout[-2000:]


@pytest.mark.timeout(180)
def test_the_tests_are_green_with_all_of_them(copy: Path) -> None:
    tests = tuple(sorted({each for removal in REMOVALS for each in removal.tests}))
    result = outcome(copy, tests)

    assert result.returncode == pytest.ExitCode.OK, result.stdout[-2000:]
