"""The commands say where a past is, ask it, and tell by their status whether versions differ."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulations.cli import main
from tests.gateway.correcting_world import World
from tests.gateway.replaying.past_world import recorder, world

__all__ = ["recorder", "world"]


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.long
async def test_a_past_is_made_where_it_is_wanted(world: World, tmp_path: Path) -> None:
    code, out, err = invoke("replay", "--to", 9, "--data", world.directory, "--into", tmp_path / "past")

    assert (code, out) == (0, f"replayed in {tmp_path / 'past'}\n")
    assert "9 events up to position 9" in err
    assert (tmp_path / "past" / "tenants" / "acme" / "g1" / "facts.sqlite").exists()


@pytest.mark.long
async def test_a_postmortem_is_written_and_replayed(world: World, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    code, out, _ = invoke("postmortem", "--from", 8, "--to", world.head(), "--data", world.directory, "--out", bundle)
    assert (code, out.splitlines()[-1]) == (0, f"written to {bundle}")
    code, out, _ = invoke("replay", "--bundle", bundle, "--json", "--into", tmp_path / "past")

    assert code == 0
    assert json.loads(out)["replayed"]["position"] == world.head()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "--ask", "Where?"], "--ask needs --tenant"),
        (["replay", "--bundle", "b.zip", "--to", "3"], "leave out --to"),
        (["replay", "--to", "yesterday"], "no log position and no time"),
        (["replay", "--data", "nowhere"], "there is no log in 'nowhere'"),
        (["postmortem", "--from", "1", "--to", "2", "--out", "o.zip", "--data", "nowhere"], "there is no log"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke(*arguments)

    assert (code, out) == (1, "")
    assert said in err
    assert len(err.splitlines()) == 1


async def test_a_directory_that_is_in_use_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "past").mkdir()
    (tmp_path / "past" / "notes.txt").write_text("mine")
    code, _, err = invoke("replay", "--data", world.directory, "--into", tmp_path / "past")

    assert code == 1
    assert "is not empty" in err
