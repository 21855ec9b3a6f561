"""The intake: messages from the stream become facts in the log, or entries in the quarantine. Nothing else.

A message is acknowledged after what it says is durable; whatever is interrupted before is delivered again, and the
fold absorbs it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice

import msgspec
import structlog

from domain.codec import Submission
from domain.message import Accepted, Failed, Rejected, Reply, Trace
from gateway.privacy.cleanse import cleansed
from gateway.privacy.scrub import scrub
from gateway.quarantine import Aside, Quarantine
from gateway.sources import Sources
from gateway.sources.port import Unreadable, submissions
from gateway.tally import Tally
from projections.tracing import span

CORRELATION_HEADER = "Recount-Correlation-Id"
TRACEPARENT_HEADER = "traceparent"
PROVIDER_HEADER_PREFIX = "Recount-Header-"
QUARANTINE_HEADER = "Recount-Quarantine-Id"

RETRY_FIRST_S = 0.05
RETRY_MAX_S = 2.0

log = structlog.get_logger("intake")


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the stream: its subject `ingest.<tenant>.<source>`, body, headers and sequence."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int


def provider_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The provider's own headers, by lower-case name: those that came with the webhook, and CloudEvents' (`ce-`)."""
    return {
        name.removeprefix(PROVIDER_HEADER_PREFIX).lower(): value
        for name, value in headers.items()
        if name.startswith(PROVIDER_HEADER_PREFIX) or name.lower().startswith(("ce-", "content-type"))
    }


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and what it leads to: commands, and the reason why (a part of) it goes to quarantine."""

    message: Incoming
    tenant: str
    source: str
    trace: Trace
    commands: Sequence[Submission] = ()
    refused: Unreadable | None = None


class Settled(msgspec.Struct, kw_only=True):
    """What a batch came to, in messages."""

    recorded: int = 0
    unchanged: int = 0
    quarantined: int = 0


class Intake:
    """Takes in batches; the bus is the caller's.

    Args:
        submit: sends commands to the shards, one reply each, in order.
        quarantine: keeps what cannot be taken in.
        sources: whose messages can be read.
        clock: the time of receipt.
        cleanse: takes personal data out of what a command says in free text, before anything keeps it.
        learn: tenant, body of a message that was read: hears whom it tells of, to find them in texts.
        pause: waits that many seconds before commands are sent again.
        tally: counts messages, and those that were put aside, by tenant and source.
    """

    def __init__(
        self,
        submit: Callable[[Sequence[Submission]], Awaitable[list[Reply]]],
        quarantine: Quarantine,
        *,
        sources: Sources,
        clock: Callable[[], datetime],
        cleanse: Callable[[Submission], Submission] = cleansed,
        learn: Callable[[str, bytes], None] = lambda tenant, body: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tally: Tally | None = None,
    ) -> None:
        self._submit = submit
        self._quarantine = quarantine
        self._sources = sources
        self._clock = clock
        self._cleanse = cleanse
        self._learn = learn
        self._pause = pause
        self._tally = tally or Tally({})

    def read(self, message: Incoming) -> Item:
        """What a message leads to. Never raises for what is in the message."""
        traceparent = message.headers.get(TRACEPARENT_HEADER, "")
        with span("intake.read", traceparent, subject=message.subject, sequence=message.sequence) as own:
            return self._read(message, own)

    def _read(self, message: Incoming, traceparent: str) -> Item:
        _, tenant, source = message.subject.split(".", 2)
        trace = Trace(
            correlation_id=message.headers.get(CORRELATION_HEADER) or f"ingest-{message.sequence}",
            traceparent=traceparent,
        )
        module = self._sources.of(tenant, source)
        if isinstance(module, Unreadable):
            return Item(message=message, tenant=tenant, source=source, trace=trace, refused=module)
        reading = module.read(message.body, headers=provider_headers(message.headers), ref=f"INGEST:{message.sequence}")
        if isinstance(reading, Unreadable):
            return Item(message=message, tenant=tenant, source=source, trace=trace, refused=reading)
        self._learn(tenant, message.body)
        commands = [self._cleanse(each) for each in submissions(tenant, reading, source=source, trace=trace)]
        return Item(
            message=message, tenant=tenant, source=source, trace=trace, commands=commands, refused=reading.refused
        )

    async def take_in(self, items: Sequence[Item], acknowledge: Callable[[], Awaitable[None]]) -> Settled:
        """Settle a batch, and only then acknowledge it: what is interrupted before is delivered again."""
        settled = await self.settle(items)
        await acknowledge()
        return settled

    async def settle(self, items: Sequence[Item]) -> Settled:
        """Make every message's outcome durable: recorded, known already, or in quarantine with its reason."""
        settled = Settled()
        replies = iter(await self._until_decided([command for item in items for command in item.commands]))
        refused: list[tuple[Item, Unreadable]] = []
        applied: defaultdict[str, list[str]] = defaultdict(list)
        for item in items:
            of_item = list(islice(replies, len(item.commands)))
            reason = _refusal(item, of_item)
            self._tally.count(item.tenant, item.source, is_quarantined=reason is not None)
            if reason is not None:
                refused.append((item, reason))
                settled.quarantined += 1
                continue
            if name := item.message.headers.get(QUARANTINE_HEADER):
                applied[item.tenant].append(name)
            if any(isinstance(reply, Accepted) for reply in of_item):
                settled.recorded += 1
            else:
                settled.unchanged += 1
        if refused or applied:
            # In a thread: it is synced to the disk, and the loop must keep telling the server that it works.
            await asyncio.to_thread(self._keep_aside, refused, applied)
        return settled

    async def _until_decided(self, commands: Sequence[Submission]) -> list[Reply]:
        """The replies, once none of them is a failure that passes: those commands are sent again until they are."""
        replies = await self._submit(commands)
        pause_s = RETRY_FIRST_S
        while again := [index for index, reply in enumerate(replies) if isinstance(reply, Failed) and reply.retryable]:
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, RETRY_MAX_S)
            for index, reply in zip(again, await self._submit([commands[index] for index in again]), strict=True):
                replies[index] = reply
        return replies

    def _keep_aside(self, refused: Sequence[tuple[Item, Unreadable]], applied: Mapping[str, Sequence[str]]) -> None:
        """Put messages aside, and close the entries of those that were sent in again and are taken in."""
        # A reason may quote what it could not read.
        refused = [(item, msgspec.structs.replace(reason, detail=scrub(reason.detail))) for item, reason in refused]
        asides = [
            Aside(
                tenant=item.tenant,
                source=item.source,
                raw=item.message.body,
                headers=item.message.headers,
                code=reason.code,
                detail=reason.detail,
                at=self._clock(),
            )
            for item, reason in refused
        ]
        for (item, reason), name in zip(refused, self._quarantine.put_all(asides), strict=True):
            log.warning(
                "quarantined",
                tenant=item.tenant,
                source=item.source,
                id=name,
                code=reason.code,
                detail=reason.detail,
                correlation_id=item.trace.correlation_id,
            )
        for tenant, names in applied.items():
            self._quarantine.mark(tenant, names, "applied")


def _refusal(item: Item, replies: Sequence[Reply]) -> Unreadable | None:
    """Why a message goes to quarantine, if it does. What of it could be recorded is recorded all the same."""
    refused = item.refused
    for reply in replies:
        match reply:
            case Rejected(code=code, detail=detail):
                refused = Unreadable(code=code, detail=detail)
            case Failed(reason=reason):
                refused = Unreadable(code="command.failed", detail=reason)
    return refused
