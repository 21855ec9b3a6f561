"""Short ways to say how a source without a module of its own is read, and where recorded messages of its kind lie."""

import hmac
import json
from base64 import b64decode, b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.mapping_settings import MappingSettings
from domain.tenant_settings import SourceSettings
from gateway.sources.mapping import map_record
from gateway.sources.port import Reading, Unreadable

RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "webhooks"

SECRET = "whsec_" + b64encode(b"a secret of the tests, no other").decode()


def recorded(kind: str, pattern: str) -> list[Path]:
    """The recorded files that match; skips the test, saying so, where the recordings are not."""
    if not (RECORDED / kind).is_dir():
        pytest.skip(f"the recorded messages are not here (shared/data/webhooks/{kind} beside the repository)")
    files = sorted((RECORDED / kind).glob(pattern))
    assert files, f"no recorded file matches {pattern}"
    return files


def settings(toml: str) -> SourceSettings:
    """What stands under `[tenants.NAME.sources.NAME]`."""
    return msgspec.toml.decode(toml, type=SourceSettings)


def under(tenant: str, source: str, toml: str) -> str:
    """The same as a part of a whole configuration, with a secret."""
    name = f"tenants.{tenant}.sources.{source}"
    return f'[{name}]\nsecrets = ["{SECRET}"]\n' + toml.replace("[mapping", f"[{name}.mapping")


def mapping(toml: str) -> MappingSettings:
    """What stands under `[tenants.NAME.sources.NAME.mapping]`."""
    return msgspec.toml.decode(toml, type=MappingSettings)


def mapped(toml: str, record: dict[str, Any]) -> Reading:
    """What a record says by a mapping that can read it."""
    result = map_record(mapping(toml), record, provider="acquirer", source="webhook", ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def refused(toml: str, record: dict[str, Any]) -> Unreadable:
    """Why a record cannot be read by a mapping."""
    result = map_record(mapping(toml), record, provider="acquirer", source="webhook", ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


def encoded(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def signed(raw: bytes, at: datetime, secret: str = SECRET, message_id: str = "msg_1") -> dict[str, str]:
    """The headers with which a provider of Standard Webhooks would send `raw` at a time."""
    timestamp = int(at.timestamp())
    key = b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + raw, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(mac).decode()}",
    }
