"""What people wrote, between the source that read it and the log: commands in, commands as they may be kept out."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from domain.codec import Submission
from domain.conversation import RecordMessage
from domain.document import PutDocument
from domain.ids import split_stream_id
from domain.tenant_settings import PrivacySettings, TenantSettings
from gateway.privacy.keys import tenant_key
from gateway.privacy.remembered import Remembered, people_in
from gateway.privacy.scrub import scrub
from gateway.privacy.scrubber import Scrubber


def cleansed(
    submission: Submission, clean: Callable[[str], str] = scrub, *, with_documents: bool = False
) -> Submission:
    """The command with its free text cleaned; one without any is given back as it is.

    Documents are what the tenant publishes: they are cleaned where that is wished (`with_documents`).
    """
    match submission.command:
        case RecordMessage(message=message) if message.text:
            command = RecordMessage(message=msgspec.structs.replace(message, text=clean(message.text)))
            return msgspec.structs.replace(submission, command=command)
        case PutDocument(title=title, text=text, metadata=metadata) as put if with_documents:
            cleaned = msgspec.structs.replace(
                put,
                title=clean(title),
                text=clean(text),
                metadata={name: clean(value) for name, value in metadata.items()},
            )
            return msgspec.structs.replace(submission, command=cleaned)
        case _:
            return submission


class Cleanser:
    """Cleans commands and texts, each tenant's by its own settings and with tokens of its own.

    Args:
        data: the node's directory, where its secret is and whom it was told of.
        tenants: what is looked for in whose texts.
    """

    def __init__(self, data: Path, tenants: Mapping[str, TenantSettings]) -> None:
        self._data = data
        self._tenants = tenants
        self._scrubbers: dict[str, Scrubber] = {}
        self._remembered: dict[str, Remembered] = {}

    def __call__(self, submission: Submission) -> Submission:
        """The command as it may be kept."""
        _, tenant, _ = split_stream_id(submission.stream)
        settings = self._settings(tenant)
        return cleansed(submission, partial(self.text, tenant), with_documents=settings.documents)

    def text(self, tenant: str, text: str) -> str:
        """The text as it may be kept."""
        scrubber = self._scrubber(tenant)
        return scrubber.scrub(text, self._remembered[tenant]).text

    def learn(self, tenant: str, body: bytes) -> None:
        """Remember whom a message that was read tells of, at the latest when the batch is kept (`keep`)."""
        if people := people_in(body):
            scrubber = self._scrubber(tenant)
            self._remembered[tenant].learn(people, scrubber.token)

    def keep(self) -> None:
        """Write down whom was learned of, so that other processes know them too."""
        for each in self._remembered.values():
            each.keep()

    def close(self) -> None:
        for each in self._remembered.values():
            each.close()

    def _settings(self, tenant: str) -> PrivacySettings:
        return self._tenants[tenant].privacy if tenant in self._tenants else PrivacySettings()

    def _scrubber(self, tenant: str) -> Scrubber:
        if tenant not in self._scrubbers:
            settings = self._settings(tenant)
            key = tenant_key(self._data, tenant, settings.key)
            self._remembered[tenant] = Remembered(self._data, tenant, key, settings.region)
            self._scrubbers[tenant] = Scrubber(tenant, key, settings)
        return self._scrubbers[tenant]
