"""Items of any JSON API that is polled, by a mapping: docs/sources/polling.md and docs/sources/mapping.md.

An item is what the provider says when it is asked (`source = "pull"`): it has authority over what occurred before it.
"""

from collections.abc import Mapping
from datetime import datetime

from domain.errors import Rejection
from domain.tenant_settings import SourceSettings
from gateway.sources.mapping import map_record
from gateway.sources.mapping_records import decoded_record, mapping_of
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable

KIND = "json-api"


class JsonApi:
    """A source whose messages are items of a list. Raises `TerminalError` if its mapping is missing or cannot work."""

    acknowledgement = Acknowledgement()

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name = name
        self._mapping = mapping_of(name, settings)

    def verify(self, headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:  # noqa: ARG002 - every source has it
        """Refuses: the poller fetches these items itself."""
        return "signature.unsupported"

    def read(self, raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:  # noqa: ARG002 - as above
        """What an item says."""
        try:
            item = decoded_record(raw)
        except Rejection as refused:
            return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
        return map_record(self._mapping, item, provider=self.name, source="pull", ref=ref)
