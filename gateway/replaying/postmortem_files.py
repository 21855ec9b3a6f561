"""The files of a postmortem, for a bundle: Markdown, HTML, pictures, samples, and what may be read outside."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from domain.errors import TerminalError
from domain.ids import stream_id
from domain.incident import IncidentResolved
from gateway.replaying.history import Moment
from gateway.replaying.incident_facts import IncidentFacts, gather
from gateway.replaying.postmortem_plots import pictures
from gateway.replaying.postmortem_render import html, markdown, public
from gateway.replaying.postmortem_sections import postmortem
from gateway.replaying.samples import FILE, Sample
from gateway.replaying.story import Told
from projections.feed import Feed, LogEntry

PAGE = 5_000


class Incidents(msgspec.Struct, frozen=True, kw_only=True):
    """Which incident is to be told of, and what was measured meanwhile."""

    tenant: str
    incident_id: str
    samples: Sequence[Sample] = ()


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the log as an event that is told."""

    position: int
    stream: str
    envelope: Any


def stretch(feed: Feed, incident: Incidents) -> tuple[Moment, Moment]:
    """From where to where in the log an incident reaches. Raises `TerminalError` if there is none of that name."""
    facts = facts_in(feed, incident)
    return Moment(position=facts.first_position), Moment(position=facts.last.position)


def facts_in(feed: Feed, incident: Incidents) -> IncidentFacts:
    """What a log says of an incident, but for what the provider told. Raises `TerminalError` as `stretch` does."""
    own = feed.stream(stream_id("incident", incident.tenant, incident.incident_id))
    if not own:
        raise TerminalError(f"there is no incident {incident.incident_id!r} of {incident.tenant} in the log")
    resolved = [entry.position for entry in own if isinstance(entry.envelope().event, IncidentResolved)]
    last = resolved[0] if resolved else own[-1].position
    told = [_told(each) for each in _entries(feed, last, incident.tenant)]
    return gather(told, incident.tenant, incident.incident_id)


def _entries(feed: Feed, last: int, tenant: str) -> list[LogEntry]:
    found: list[LogEntry] = []
    position = 0
    while position < last:
        page = feed.read(position, limit=PAGE, topics=_TOPICS)
        found += [each for each in page.entries if each.position <= last and each.tenant == tenant]
        if page.position == position:
            break
        position = page.position
    return found


_TOPICS = (
    "answer.given",
    "answer.invalidated",
    "answer.reinstated",
    "incident.declared",
    "incident.signal_noted",
    "incident.acknowledged",
    "incident.impact_measured",
    "incident.action_taken",
    "incident.check_made",
    "incident.resolved",
)


def _told(entry: LogEntry) -> _Entry:
    return _Entry(position=entry.position, stream=entry.stream, envelope=entry.envelope())


def postmortem_files(told: Sequence[Told], incident: Incidents, clean: Callable[[str], str]) -> dict[str, bytes]:
    """The files by name, from events and samples alone: the same ones give the same bytes.

    Args:
        told: the events, scrubbed.
        incident: which, with its samples as they were measured.
        clean: takes personal data out of what may be read outside, and out of the samples.
    """
    facts = gather(told, incident.tenant, incident.incident_id)
    samples = [_cleaned(each, clean) for each in incident.samples]
    drawn = pictures(samples, facts.began_at) if samples else {}
    written = postmortem(facts, samples)
    if not drawn:
        written = msgspec.structs.replace(
            written, sections=tuple(msgspec.structs.replace(each, pictures=()) for each in written.sections)
        )
    return {
        "postmortem.md": markdown(written).encode(),
        "postmortem.html": html(written, drawn).encode(),
        "postmortem-public.md": public(written, clean).encode(),
        FILE: b"".join(msgspec.json.encode(each) + b"\n" for each in samples),
        **{f"{name}.svg": svg for name, svg in drawn.items()},
    }


def _cleaned(sample: Sample, clean: Callable[[str], str]) -> Sample:
    return msgspec.structs.replace(sample, text=clean(sample.text), data=_without_names(sample.data, clean))


def _without_names(value: Any, clean: Callable[[str], str]) -> Any:  # noqa: ANN401 - a part of JSON, and the same part
    """Ids of customers may be e-mail addresses."""
    if isinstance(value, dict):
        return {
            name: clean(each) if name == "customer_id" and isinstance(each, str) else _without_names(each, clean)
            for name, each in value.items()
        }
    return value
