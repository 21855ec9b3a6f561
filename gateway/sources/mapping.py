"""The declarative mapping: a record of any provider becomes facts and documents by its settings, without code."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from domain.document import PutDocument, WithdrawDocument
from domain.errors import Rejection
from domain.fact import Fact, Source
from domain.lifecycle import STATUSES
from domain.mapping_settings import DocumentSettings, FactSettings, MappingSettings, TimeSettings
from domain.webhook import RecordSighting
from gateway.sources.mapping_values import (
    Record,
    amount_minor,
    code,
    currency,
    is_format,
    needed,
    object_id,
    sequence,
    time,
    word,
    zone_named,
)
from gateway.sources.port import DETAIL_CHARS_MAX, Aimed, Reading, Unreadable

# When a message was sent that does not say when: its place in the log tells more.
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST_CHARS = 24
# What a fact says besides what its id spells out (`Fact.asserts_same_as`).
_SAID = (
    "occurred_at",
    "sequence",
    "currency",
    "authorized_minor",
    "captured_minor",
    "refunded_minor",
    "customer_id",
    "reason",
)


def map_record(
    mapping: MappingSettings, record: Mapping[str, object], *, provider: str, source: Source, ref: str
) -> Reading | Unreadable:
    """What a record says by a mapping: facts and documents, or a sighting if its type is ignored.

    A fact's id is `<provider>:<event id>` (`#<object>` for all but the first), or without an event id the provider, the
    object and what is said of it, so that the same assertion is the same fact however often it is told.

    Args:
        mapping: how to read.
        record: JSON-like; times may be `datetime` and numbers `Decimal` where the format types them.
        provider: whose record it is, unless the mapping says.
        source: how it came.
        ref: where the raw message lies.
    """
    try:
        return _map(mapping, record, mapping.provider or provider, source, ref)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])


def faults(mapping: MappingSettings) -> list[str]:
    """What is wrong with a mapping beyond its shape, each with its key: unknown zones, facts without a time.

    For the start of a node: what a mapping without faults refuses is the record's fault.
    """
    found = []
    for number, rule in enumerate(mapping.facts):
        if not rule.occurred_at:
            found.append(f"facts[{number}].occurred_at: when something was so has to be told")
        found += [f"facts[{number}].occurred_at.{each}" for each in _time_faults(rule.occurred_at)]
    for number, document in enumerate(mapping.documents):
        found += [f"documents[{number}].changed_at.{each}" for each in _time_faults(document.changed_at)]
    return found


def _time_faults(at: str | TimeSettings) -> list[str]:
    if isinstance(at, str):
        return []
    named = {"zone": at.zone, **{f"zones.{told}": zone for told, zone in at.zones.items()}}
    found = [f"{key}: there is no zone {zone!r}" for key, zone in named.items() if zone and not _is_zone(zone)]
    return found if is_format(at.format) else [*found, f"format: no time can be written as {at.format!r}"]


def _is_zone(text: str) -> bool:
    try:
        zone_named(text)
    except ValueError:
        return False
    return True


def fits(when: Mapping[str, tuple[str, ...]], record: Record) -> bool:
    """Whether at every path stands one of its words; `*` at the end is for any ending, `*` alone for anything there."""
    return all(_has_word(record, path, words) for path, words in when.items())


def _has_word(record: Record, path: str, words: tuple[str, ...]) -> bool:
    try:
        return any(_is_like(word(record, path, path), each) for each in words)
    except Rejection:
        return False


def _is_like(text: str, pattern: str) -> bool:
    return bool(text) and text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _map(mapping: MappingSettings, record: Record, provider: str, source: Source, ref: str) -> Reading:
    event_id = object_id(record, mapping.event_id, "event_id") if mapping.event_id else ""
    event_type = object_id(record, mapping.event_type, "event_type") if mapping.event_type else "record"
    if any(_is_like(event_type, each) for each in mapping.ignored):
        event_id = event_id or _digest(record)
        return sighting(provider, event_id, event_type, ref=ref, at=_when(mapping, record))
    facts: list[Fact] = []
    links: dict[str, str] = {}
    for rule in mapping.facts:
        if fits(rule.when, record):
            drawn = _fact(rule, record, provider, source, ref)
            facts.append(msgspec.structs.replace(drawn, fact_id=_fact_id(drawn, event_id, is_first=not facts)))
            links.update(_links(rule, record, drawn))
    commands = tuple(
        _document(rule, record, provider, event_id) for rule in mapping.documents if fits(rule.when, record)
    )
    if not facts and not commands:
        raise Rejection("event.unmapped", "no rule of the mapping fits, and the event's type is not ignored")
    return Reading(
        event_id=event_id or (facts[0].fact_id if facts else commands[0].command_id),
        event_type=event_type,
        facts=tuple(facts),
        links=tuple(links.items()),
        commands=commands,
    )


def sighting(provider: str, event_id: str, event_type: str, *, ref: str, at: datetime = UNDATED) -> Reading:
    """A message that was seen and states nothing that is kept."""
    seen = RecordSighting(source=provider, event_id=event_id, event_type=event_type, occurred_at=at, raw=ref)
    return Reading(event_id=event_id, event_type=event_type, sighting=seen)


def _when(mapping: MappingSettings, record: Record) -> datetime:
    """When an ignored message was sent, by whatever the mapping knows of times."""
    for at in (*(rule.occurred_at for rule in mapping.facts), *(rule.changed_at for rule in mapping.documents)):
        try:
            return time(record, at, "occurred_at") if at else UNDATED
        except Rejection:
            continue
    return UNDATED


def _fact(rule: FactSettings, record: Record, provider: str, source: Source, ref: str) -> Fact:
    status = needed(record, rule.status, "status")
    if status not in STATUSES[rule.kind]:
        raise Rejection("event.unknown_status", f"status: it is none of a {rule.kind}'s; give it a row in the table")
    own_id = object_id(record, rule.object, "object", optional=rule.kind == "intent")
    code_of = currency(record, rule.currency, "currency") if rule.amount else ""
    whole_minor = _amount(rule, record, code_of)
    holds = whole_minor if status in {"authorized", "captured"} and rule.kind in {"intent", "charge"} else 0
    takes = holds if status == "captured" else 0
    return Fact(
        fact_id="",
        provider=provider,
        payment_id=object_id(record, rule.payment, "payment"),
        object="intent" if rule.kind == "intent" else f"{rule.kind}:{own_id}",
        status=status,
        occurred_at=time(record, rule.occurred_at, "occurred_at"),
        source=source,
        sequence=sequence(record, rule.sequence, "sequence"),
        amount_minor=whole_minor,
        currency=code_of,
        authorized_minor=_part(rule, record, "authorized", code_of, holds),
        captured_minor=_part(rule, record, "captured", code_of, takes),
        refunded_minor=_part(rule, record, "refunded", code_of, 0),
        customer_id=_customer(rule, record),
        reason=code(record, rule.reason, "reason"),
        refers_to=_grounds(rule, record),
        raw=ref,
    )


def _amount(rule: FactSettings, record: Record, code_of: str) -> int:
    if not rule.amount:
        return 0
    whole_minor = amount_minor(record, rule.amount, code_of, "amount")
    if whole_minor is None:
        raise Rejection("event.field_missing", "amount: nothing stands at its place")
    return whole_minor


def _part(rule: FactSettings, record: Record, name: str, code_of: str, otherwise: int) -> int:
    """A part of the amount, by the settings of that name; `otherwise` if they are not set or nothing is there."""
    field = getattr(rule, name)
    found = amount_minor(record, field, code_of, name) if field else None
    return otherwise if found is None else found


def _customer(rule: FactSettings, record: Record) -> str:
    """The customer's id. An e-mail address is personal data and no id."""
    found = object_id(record, rule.customer, "customer", optional=True)
    if "@" in found:
        raise Rejection("event.id_malformed", "customer: that is an address, not an id; map the customer's id")
    return found


def _grounds(rule: FactSettings, record: Record) -> tuple[str, ...]:
    named = [(kind, object_id(record, field, "refers_to", optional=True)) for kind, field in rule.refers_to.items()]
    return tuple("intent" if kind == "intent" else f"{kind}:{each}" for kind, each in named if each)


def _links(rule: FactSettings, record: Record, fact: Fact) -> dict[str, str]:
    """Every other name of the payment that the record knows: what it is told to link, its charge, its grounds."""
    names = [object_id(record, field, "links", optional=True) for field in rule.links]
    names += [ground.partition(":")[2] for ground in fact.refers_to]
    if fact.kind == "charge":
        names.append(fact.object_id)
    return {name: fact.payment_id for name in names if name and name != fact.payment_id}


def _fact_id(fact: Fact, event_id: str, *, is_first: bool) -> str:
    if event_id:
        return f"{fact.provider}:{event_id}" if is_first else f"{fact.provider}:{event_id}#{fact.kind}:{fact.object_id}"
    said = _digest({name: getattr(fact, name) for name in _SAID})
    return f"{fact.provider}:{fact.kind}:{fact.object_id}:{fact.status}:{fact.amount_minor}:{said}"


def _document(rule: DocumentSettings, record: Record, provider: str, event_id: str) -> Aimed:
    document_id = object_id(record, rule.id, "id")
    changed_at = time(record, rule.changed_at, "changed_at") if rule.changed_at else None
    order = sequence(record, rule.sequence, "sequence")
    command: PutDocument | WithdrawDocument
    if any(_has_word(record, path, words) for path, words in rule.withdrawn.items()):
        command = WithdrawDocument(document_id=document_id, changed_at=changed_at, sequence=order)
    else:
        command = PutDocument(
            document_id=document_id,
            title=word(record, rule.title, "title"),
            text=needed(record, rule.text, "text"),
            metadata={name: word(record, field, f"metadata.{name}") for name, field in rule.metadata.items()},
            changed_at=changed_at,
            sequence=order,
        )
    said = event_id or _digest(msgspec.to_builtins(command))
    return Aimed(
        category="document", key=document_id, command=command, command_id=f"{provider}:document:{document_id}:{said}"
    )


def _digest(said: object) -> str:
    """A name for content: the same for the same, whatever the order of its keys."""
    encoded = msgspec.json.encode(said, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:_DIGEST_CHARS]
