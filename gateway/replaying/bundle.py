"""A postmortem's bundle: what happened between two moments, scrubbed, to be read, and replayed anywhere.

A bundle has every event up to its last moment of whatever was touched between the two: whole streams, so that they can
be folded, with what they rely on. The same log gives the same bytes.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from domain.codec import Envelope, encode_envelope, tag_of
from domain.errors import TerminalError
from domain.ids import split_stream_id
from domain.settings import NodeSettings
from gateway.replaying.history import PAGE, History, Moment, Reached, Show, unseen, write_entries, write_history
from gateway.replaying.postmortem_files import Incidents, postmortem_files
from gateway.replaying.replay import Replayed, rebuild
from gateway.replaying.scrubbing import Clean, cleaner, scrubbed, shown
from gateway.replaying.story import story
from gateway.replaying.touched import touched
from projections.feed import Feed, LogEntry

FORMAT = 1
EVENTS, MANIFEST, CONFIGURATION, STORY = "events.jsonl", "manifest.json", "configuration.json", "timeline.md"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class BundledEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event, scrubbed, where it lay in the log."""

    position: int
    stream: str
    version: int
    envelope: Envelope

    def entry(self) -> LogEntry:
        topic, state = encode_envelope(self.envelope)
        return LogEntry(position=self.position, stream=self.stream, version=self.version, topic=topic, state=state)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is.

    Args:
        format: the number of this layout.
        version: the program's.
        code: names the code that folded it.
        first: the first position that is told of.
        last: the last one.
        recorded_at: when the last event was recorded.
        events: how many there are.
        told: how many of them lie between `first` and `last`.
        tenants: whose.
        state: the hash that a replay comes to.
        files: SHA-256 of the others.
    """

    format: int = FORMAT
    version: str
    code: str
    first: int
    last: int
    recorded_at: datetime
    events: int
    told: int
    tenants: list[str]
    state: str
    files: dict[str, str]


def write_bundle(
    feed: Feed,
    settings: NodeSettings,
    since: Moment,
    until: Moment,
    out: Path,
    *,
    tenant: str = "",
    incident: Incidents | None = None,
    show: Show = unseen,
) -> Manifest:
    """Write what happened from `since` to `until`, both included, to a `.zip` or into an empty directory.

    With an `incident` its postmortem is among the files.

    Raises:
        TerminalError: there is nothing between the two, or `out` is there already.
    """
    if out.exists() and (out.suffix == ".zip" or any(out.iterdir())):
        raise TerminalError(f"{str(out)!r} is there already; a bundle is never written over")
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory(prefix="recount-postmortem-")))
        clean = stack.enter_context(cleaner(settings))
        reached = write_history(feed, place / "log", until, tenant=tenant, show=show)
        history = History(place / "log")
        stack.callback(history.close)
        first = history.first(since)
        events = list(_scrubbed_events(touched(history, first), clean))
        if not events or first > reached.position:
            raise TerminalError("nothing was recorded between the two moments")
        # Replayed from what is exported, and from nothing else: the hash is the one that anyone gets.
        kept = write_entries(iter([[each.entry() for each in events]]), place / "bundle")
        done = rebuild(place / "bundle", kept, processes=1, show=show)
        told = [each for each in events if each.position >= first]
        files = {
            EVENTS: _lines(events),
            **{name: _lines(_listed(name, told)) for name in ("answers.jsonl", "corrections.jsonl", "effects.jsonl")},
            CONFIGURATION: msgspec.json.format(msgspec.json.encode(shown(settings), order="sorted"), indent=2) + b"\n",
            STORY: story(place / "bundle", told).encode(),
        }
        if incident is not None:
            files |= postmortem_files(events, incident, clean(incident.tenant))
        manifest = _manifest(files, events, told, done)
        _write(out, {**files, MANIFEST: msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"})
    return manifest


def _manifest(
    files: dict[str, bytes], events: Sequence[BundledEvent], told: Sequence[BundledEvent], done: Replayed
) -> Manifest:
    return Manifest(
        version=version("recount"),
        code=done.code,
        first=told[0].position,
        last=done.position,
        recorded_at=done.recorded_at,
        events=len(events),
        told=len(told),
        tenants=sorted({split_stream_id(each.stream)[1] for each in events}),
        state=done.state,
        files={name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    )


def _scrubbed_events(entries: Sequence[LogEntry], clean: Callable[[str], Clean]) -> Iterator[BundledEvent]:
    for entry in entries:
        try:
            envelope = entry.envelope()
        except msgspec.DecodeError as error:
            raise TerminalError(
                f"the event at position {entry.position} cannot be read ({error}), so nothing says what is personal "
                "in it; export what lies before or after it"
            ) from error
        event = scrubbed(envelope.event, clean(entry.tenant))
        yield BundledEvent(
            position=entry.position,
            stream=entry.stream,
            version=entry.version,
            envelope=msgspec.structs.replace(envelope, event=event),
        )


def _listed(name: str, told: Sequence[BundledEvent]) -> list[BundledEvent]:
    corrections = {"answer.invalidated", "answer.reinstated"}
    tags = [(each, tag_of(type(each.envelope.event))) for each in told]
    match name:
        case "answers.jsonl":
            return [each for each, tag in tags if tag.startswith("answer.") and tag not in corrections]
        case "corrections.jsonl":
            return [each for each, tag in tags if tag in corrections]
        case _:
            return [each for each, tag in tags if tag.startswith("effect.")]


def _lines(events: Sequence[BundledEvent]) -> bytes:
    return b"".join(msgspec.json.encode(each) + b"\n" for each in events)


def _write(out: Path, files: dict[str, bytes]) -> None:
    if out.suffix != ".zip":
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_bytes(content)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            # Without the time of writing and the rights of the writer: the same content is the same file.
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)


def replay_bundle(bundle: Path, directory: Path, *, show: Show = unseen) -> Replayed:
    """Replay a bundle in an empty directory, without a node and without its log.

    Raises:
        TerminalError: it is no bundle, a file of it was changed, or it comes to another state than when it was written.
    """
    files = _read(bundle)
    try:
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
        changed = [name for name, sha in manifest.files.items() if hashlib.sha256(files[name]).hexdigest() != sha]
        lines = files[EVENTS].splitlines()
        events = [msgspec.json.decode(line, type=BundledEvent) for line in lines]
    except (KeyError, msgspec.DecodeError) as error:
        raise TerminalError(f"{str(bundle)!r} is no bundle of `recount postmortem`: {error}") from error
    if changed:
        raise TerminalError(f"{str(bundle)!r} was changed since it was written: {', '.join(changed)}")
    kept: Reached = write_entries(_pages([each.entry() for each in events]), directory)
    done = rebuild(directory, kept, show=show)
    if done.state != manifest.state:
        why = "" if done.code == manifest.code else f"; it was written by code {manifest.code}, and this is {done.code}"
        raise TerminalError(f"the bundle comes to state {done.state} and not to {manifest.state}{why}")
    return done


def _pages(entries: Sequence[LogEntry]) -> Iterator[list[LogEntry]]:
    for start in range(0, len(entries), PAGE):
        yield list(entries[start : start + PAGE])


def _read(bundle: Path) -> dict[str, bytes]:
    try:
        if bundle.is_dir():
            return {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
        with zipfile.ZipFile(bundle) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise TerminalError(f"{str(bundle)!r} cannot be read as a bundle: {error}") from error
