"""What the sources that read by a mapping share: records from bytes, whole settings, several readings in one."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from domain.errors import Rejection, TerminalError
from domain.mapping_settings import Field, MappingSettings, TimeSettings
from domain.tenant_settings import SourceSettings
from gateway.sources.mapping import faults
from gateway.sources.port import Aimed, Reading, Unreadable

# A message leads to that many commands at most, so that one batch of messages stays one batch of commands.
RECORDS_MAX = 200

_JSON = msgspec.json.Decoder(float_hook=Decimal)


def decoded(raw: bytes) -> object:
    """The JSON value of a body, its numbers exact.

    Raises:
        Rejection: `body.not_utf8`, `body.not_json` or `body.too_deep`.
    """
    try:
        raw.decode()
        return _JSON.decode(raw)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise Rejection("body.not_utf8", detail) from error
    except (msgspec.DecodeError, ValueError, ArithmeticError) as error:
        raise Rejection("body.not_json", "the body is not JSON") from error
    except RecursionError as error:
        raise Rejection("body.too_deep", "the body is nested too deeply to be a record") from error


def decoded_record(raw: bytes) -> dict[str, object]:
    """As `decoded`, for an object; raises `Rejection("body.wrong_shape")` for any other value."""
    found = decoded(raw)
    if not isinstance(found, dict):
        raise Rejection("body.wrong_shape", "the body is no JSON object")
    return found


def mapping_of(
    name: str,
    settings: SourceSettings,
    *,
    event_id: Field = "",
    event_type: Field = "",
    occurred_at: str | TimeSettings = "",
    sequence: Field = "",
) -> MappingSettings:
    """The mapping of a source, completed by what its format always has.

    Raises:
        TerminalError: there is none, or it cannot work; the sentence names the key.
    """
    if settings.mapping is None:
        raise TerminalError(f"sources.{name}.mapping: a source of this kind needs one; see docs/sources/mapping.md")
    given = settings.mapping
    mapping = msgspec.structs.replace(
        given,
        event_id=given.event_id or event_id,
        event_type=given.event_type or event_type,
        facts=tuple(
            msgspec.structs.replace(
                rule, occurred_at=rule.occurred_at or occurred_at, sequence=rule.sequence or sequence
            )
            for rule in given.facts
        ),
        documents=tuple(
            msgspec.structs.replace(rule, changed_at=rule.changed_at or occurred_at, sequence=rule.sequence or sequence)
            for rule in given.documents
        ),
    )
    if found := faults(mapping):
        raise TerminalError(f"sources.{name}.mapping.{found[0]}")
    return mapping


def merged(name: str, readings: Iterable[Reading | Unreadable]) -> Reading | Unreadable:
    """What several records in one message say together. One that cannot be read does not keep out the others.

    Args:
        name: the source's name, under which a sighting is kept.
        readings: at least one.
    """
    read: list[Reading] = []
    refused: Unreadable | None = None
    for each in readings:
        if isinstance(each, Unreadable):
            refused = refused or each
        else:
            read.append(each)
    if refused is not None and not read:
        return refused
    if len(read) == 1 and refused is None:
        return read[0]
    facts = {fact.fact_id: fact for each in read for fact in each.facts}
    return Reading(
        event_id=read[0].event_id,
        event_type=read[0].event_type,
        facts=tuple(facts.values()),
        links=tuple({link: None for each in read for link in each.links}),
        commands=tuple(command for each in read for command in (*each.commands, *_seen(name, each))),
        refused=refused,
    )


def _seen(name: str, reading: Reading) -> Iterable[Aimed]:
    """The sighting of one of several records: a message has only one of its own."""
    if reading.sighting is None:
        return ()
    key = f"{name}/{reading.event_id}"
    return (Aimed(category="webhook", key=key, command=reading.sighting, command_id=reading.event_id),)
