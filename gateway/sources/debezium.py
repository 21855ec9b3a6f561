"""Debezium: rows of a database as they change (https://debezium.io/documentation/reference/stable/), by a mapping.

A record is an envelope (`before`, `after`, `op`, `source`), plain or as `payload` beside its `schema`. A row state says
the same whether a snapshot read it or a change wrote it, so it is the same fact.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from domain.errors import Rejection
from domain.mapping_settings import DocumentSettings, FactSettings, MappingSettings, TimeSettings
from domain.tenant_settings import SourceSettings
from gateway.sources import standard_webhooks
from gateway.sources.debezium_rows import rows
from gateway.sources.mapping import UNDATED, fits, map_record, sighting
from gateway.sources.mapping_records import decoded, mapping_of
from gateway.sources.mapping_values import Record, time, value_at
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable

KIND = "debezium"
OPERATIONS = tuple("curdtm")

_ROW_OPERATIONS = ("c", "u", "r")
_COMMITTED_AT = TimeSettings(path="source.ts_ms", format="ms")
_POSITION_MAX = 2**63 - 1
_BINLOG_RE = re.compile(r".*?([0-9]{1,9})")
_LSN_RE = re.compile(r"([0-9a-fA-F]{8}):([0-9a-fA-F]{8}):([0-9a-fA-F]{4})")
_NO_NAME_RE = re.compile(r"[^A-Za-z0-9_.-]+")
_WORDS_MAX = 3


class Debezium:
    """One source of this kind.

    The mapping sees `row` (after the change; before it, for a delete), `before`, `op`, `source`, `position` and
    `change`, which is `<schema or database>.<table>.<op>`. Facts are of `c`, `u` and `r`, unless their `when` names
    `op`; documents are withdrawn by `d`. By default the type is `change`, and both are dated by `source.ts_ms`,
    documents inside a millisecond by `position`.
    """

    acknowledgement = Acknowledgement()

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name = name
        standard_webhooks.check_secrets(name, settings)
        mapping = mapping_of(name, settings, event_type="change", occurred_at=_COMMITTED_AT)
        self._mapping = msgspec.structs.replace(
            mapping,
            facts=tuple(_of_rows(rule) for rule in mapping.facts),
            documents=tuple(_of_table(rule) for rule in mapping.documents),
        )
        self._undated = msgspec.structs.replace(
            self._mapping, documents=tuple(_without_time(rule) for rule in self._mapping.documents)
        )

    def verify(self, headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
        """As Debezium Server's HTTP sink signs: Standard Webhooks."""
        return standard_webhooks.verify(headers, raw, trust=trust, now=now)

    def read(self, raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:  # noqa: ARG002 - every source has it
        """Facts and documents of a change; a sighting of what changes no row, such as a tombstone or a new schema."""
        try:
            return self._read(decoded(raw) if raw else None, ref)
        except Rejection as refused:
            return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])

    def _read(self, body: object, ref: str) -> Reading | Unreadable:
        payload, schema = _unwrapped(body)
        if payload is None:
            return self._seen("tombstone", {"ref": ref}, ref)
        operation = payload.get("op")
        if operation is None:
            return self._seen(_kind_of(payload), payload, ref)
        if operation not in OPERATIONS:
            raise Rejection("event.unknown_operation", "op is none of c, u, r, d, t and m")
        record = _record(payload, schema)
        if operation in {"t", "m"}:
            return self._of_table(record, ref)
        mapping = self._mapping if value_at(record, "source.ts_ms") is not None else self._undated
        if operation == "d" and not _concerned(mapping, record):
            return self._seen(str(record["change"]), record, ref)
        return map_record(mapping, record, provider=self.name, source="webhook", ref=ref)

    def _of_table(self, record: Record, ref: str) -> Reading:
        """A truncate says nothing of payments; of documents it says that all are gone, and not which they were."""
        if record["op"] == "t" and any(fits(rule.when, record) for rule in self._mapping.documents):
            detail = "a table of documents was truncated; withdraw its documents, this message does not name them"
            raise Rejection("event.table_truncated", detail)
        return self._seen(str(record["change"]), record, ref)

    def _seen(self, event_type: str, said: Mapping[str, object], ref: str) -> Reading:
        """A sighting under a digest: the envelope has no id of its own."""
        digest = hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:32]
        try:
            at = time(said, _COMMITTED_AT, "source.ts_ms")
        except Rejection:
            at = UNDATED
        return sighting(self._mapping.provider or self.name, digest, event_type, ref=ref, at=at)


def _of_rows(rule: FactSettings) -> FactSettings:
    return rule if "op" in rule.when else msgspec.structs.replace(rule, when={**rule.when, "op": _ROW_OPERATIONS})


def _of_table(rule: DocumentSettings) -> DocumentSettings:
    withdrawn = rule.withdrawn if "op" in rule.withdrawn else {**rule.withdrawn, "op": ("d",)}
    return msgspec.structs.replace(rule, withdrawn=withdrawn, sequence=rule.sequence or "position")


def _without_time(rule: DocumentSettings) -> DocumentSettings:
    """For formats that leave out `source.ts_ms`: order of arrival is what is left."""
    return msgspec.structs.replace(rule, changed_at="") if rule.changed_at == _COMMITTED_AT else rule


def _concerned(mapping: MappingSettings, record: Record) -> bool:
    facts, documents = mapping.facts, mapping.documents
    return any(fits(rule.when, record) for rule in facts) or any(fits(rule.when, record) for rule in documents)


def _unwrapped(body: object) -> tuple[Mapping[str, object] | None, object]:
    """The envelope and its schema, from `{"schema": ..., "payload": ...}` or plain; `None` for a tombstone."""
    payload, schema = body, None
    if isinstance(body, dict) and "payload" in body and "op" not in body:
        payload, schema = body["payload"], body.get("schema")
    if payload is not None and not isinstance(payload, dict):
        raise Rejection("body.wrong_shape", "the body is no change record")
    return payload, schema


def _kind_of(payload: Mapping[str, object]) -> str:
    """What a record is that changes no row. Raises `Rejection("event.no_change")` for what Debezium does not write."""
    if "ddl" in payload or "historyRecord" in payload or "tableChanges" in payload:
        return "schema_change"
    if payload.get("status") in ("BEGIN", "END") and "id" in payload:
        return "transaction"
    if payload.keys() == {"ts_ms"}:
        return "heartbeat"
    detail = "the record has no op: it is a key, or was flattened; take the transform away that unwraps it"
    raise Rejection("event.no_change", detail)


def _record(payload: Mapping[str, object], schema: object) -> dict[str, object]:
    """What the mapping sees."""
    source = payload.get("source")
    source = source if isinstance(source, dict) else {}
    before, after = rows(payload, schema)
    names = [source.get("schema") or source.get("db"), source.get("table") or source.get("collection"), payload["op"]]
    change = ".".join(_name(each) for each in names if isinstance(each, str) and each)
    record: dict[str, object] = {
        "op": payload["op"],
        "row": after or before,
        "before": before,
        "source": source,
        "change": change[:200],
    }
    if (found := position(source)) is not None:
        record["position"] = found
    return record


def _name(text: str) -> str:
    """A schema's or table's name as it may be kept. A sentence is none, and might be about a person."""
    return "other" if len(text.split()) > _WORDS_MAX else _NO_NAME_RE.sub("_", text)


def position(source: Mapping[str, object]) -> int | None:
    """Where a change stands in the log of its database server, `None` if it does not say.

    PostgreSQL's and SQL Server's LSN, MySQL's binlog file and offset or else the number of the GTID, Oracle's SCN,
    MongoDB's second and order. Numbers of one server only grow; those of two are not comparable, so time comes first.
    """
    found: int | None = None
    if isinstance(lsn := source.get("lsn"), int):
        found = lsn
    elif (file := _BINLOG_RE.fullmatch(str(source.get("file") or ""))) and isinstance(source.get("pos"), int):
        found = int(file[1]) << 40 | _whole(source["pos"])
    elif parts := _LSN_RE.fullmatch(str(source.get("change_lsn") or source.get("commit_lsn") or "")):
        virtual_log, block, slot = (int(each, 16) for each in parts.groups())
        found = virtual_log << 48 | block << 16 | slot
    elif isinstance(source.get("ord"), int) and isinstance(source.get("ts_ms"), int):
        found = _whole(source["ts_ms"]) // 1000 << 24 | _whole(source["ord"])
    else:
        last = str(source.get("scn") or source.get("gtid") or "").rpartition(":")[2].rpartition("-")[2]
        found = int(last) if last.isascii() and last.isdigit() and len(last) < len(str(_POSITION_MAX)) else None
    return found if found is not None and 0 <= found <= _POSITION_MAX else None


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value
