"""A bundle tells what happened, without personal data and secrets, and comes to the same wherever it is replayed."""

import re
import zipfile
from pathlib import Path

import msgspec
import pytest

from domain.errors import TerminalError
from domain.settings import NodeSettings
from domain.tenant_settings import ApiSettings, SourceSettings, TenantSettings
from gateway.replaying.bundle import EVENTS, MANIFEST, STORY, BundledEvent, Manifest, replay_bundle, write_bundle
from gateway.replaying.history import Moment
from gateway.replaying.scrubbing import shown
from tests.gateway.correcting_world import World
from tests.gateway.replaying.past_world import recorder, replayed, world
from tests.worlds import TENANT, entries_in

__all__ = ["recorder", "world"]
FIRST = 8


def written(world: World, out: Path, first: int = FIRST, last: int | None = None) -> Manifest:
    settings = NodeSettings(data=str(world.directory))
    until = Moment(position=last or world.head())
    return write_bundle(world.feed, settings, Moment(position=first), until, out)


@pytest.mark.long
async def test_a_bundle_is_replayed_to_the_state_that_it_names(world: World, tmp_path: Path) -> None:
    for out in (tmp_path / "bundle.zip", tmp_path / "bundle"):
        manifest = written(world, out)
        done = replay_bundle(out, tmp_path / f"replayed-{out.name}")

        assert (done.state, done.position, done.events) == (manifest.state, world.head(), manifest.events)


@pytest.mark.long
async def test_the_whole_log_as_a_bundle_comes_to_the_state_of_the_log(world: World, tmp_path: Path) -> None:
    """Nothing personal is in it but the address in the question, so that is asked away first."""
    clean = replayed(world, tmp_path / "clean", 12)
    bundle = written(world, tmp_path / "bundle", first=1, last=12)

    assert bundle.state == clean.state


async def test_the_same_log_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        written(world, tmp_path / name)

    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


async def test_a_bundle_that_was_changed_is_refused(world: World, tmp_path: Path) -> None:
    written(world, tmp_path / "bundle")
    events = tmp_path / "bundle" / EVENTS
    events.write_bytes(events.read_bytes().replace(b"failed", b"pended", 1))

    with pytest.raises(TerminalError, match=r"was changed since it was written: events\.jsonl"):
        replay_bundle(tmp_path / "bundle", tmp_path / "replayed")


async def test_a_bundle_that_comes_to_another_state_is_refused(world: World, tmp_path: Path) -> None:
    written(world, tmp_path / "bundle")
    path = tmp_path / "bundle" / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, state="0", code="older")))

    with pytest.raises(TerminalError, match=r"comes to state .* it was written by code older"):
        replay_bundle(tmp_path / "bundle", tmp_path / "replayed")


async def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("text")
    for path in (tmp_path / "empty", tmp_path / "text.zip", tmp_path / "missing.zip"):
        with pytest.raises(TerminalError, match="bundle"):
            replay_bundle(path, tmp_path / "replayed")


async def test_whole_streams_of_what_was_touched_are_in_it_and_nothing_else(world: World, tmp_path: Path) -> None:
    late = next(each.position for each in entries_in(world.recorder) if b"evt_31" in each.state)
    written(world, tmp_path / "bundle", first=late, last=late)
    events = [
        msgspec.json.decode(line, type=BundledEvent)
        for line in (tmp_path / "bundle" / EVENTS).read_bytes().splitlines()
    ]

    streams = [f"payment:{TENANT}/{key}" for key in ("pi_1", "CAP-1", "AUTH-1")]
    wanted = [each for each in entries_in(world.recorder) if each.stream in streams and each.position <= late]
    assert [(each.position, each.stream) for each in events] == [(each.position, each.stream) for each in wanted]


async def test_personal_data_stays_at_home(world: World, tmp_path: Path) -> None:
    written(world, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())

    assert b"nguyen.an@example.com" not in content
    assert b"Where is the refund of pi_1?" in content


async def test_every_sentence_of_the_story_cites_events_that_are_in_the_bundle(world: World, tmp_path: Path) -> None:
    written(world, tmp_path / "bundle")
    text = (tmp_path / "bundle" / STORY).read_text()
    told = [line for line in text.splitlines() if line.startswith("- ")]
    positions = {
        msgspec.json.decode(line, type=BundledEvent).position
        for line in (tmp_path / "bundle" / EVENTS).read_bytes().splitlines()
    }

    assert len(told) > world.head() - FIRST
    for line in told:
        cited = {int(each) for each in re.findall(r"\[(\d+)\]", line)}
        assert cited, line
        assert cited <= positions, line
        assert line.endswith("]")
    assert "Once an answer was found wrong when it was given." in text
    assert "refund re_1 of payment CAP-1 (19.00 EUR) was failed" in text
    assert "refunds.re_1.status: succeeded -> failed" in text


@pytest.mark.long
async def test_a_bundle_is_never_written_over(world: World, tmp_path: Path) -> None:
    written(world, tmp_path / "bundle.zip")

    with pytest.raises(TerminalError, match="is there already"):
        written(world, tmp_path / "bundle.zip")


async def test_a_stretch_without_events_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="between the two moments"):
        written(world, tmp_path / "bundle", first=9, last=8)


def test_no_secret_is_shown() -> None:
    source = SourceSettings(
        secrets=("whsec_one", "whsec_two"),
        options={"basic_auth": "user:hidden"},
        api=ApiSettings(key="sk_live", url="https://user:hidden@api.example.com/v1?key=hidden"),
    )
    settings = NodeSettings(tenants={"acme": TenantSettings(api_keys=("acme-key-1",), sources={"stripe": source})})
    text = msgspec.json.encode(shown(settings)).decode()

    assert not re.search(r"whsec|hidden|sk_live|acme-key", text)
    assert '"secrets":["not shown","not shown"]' in text
    assert '"url":"https://api.example.com/v1"' in text
    assert '"policy"' in text
