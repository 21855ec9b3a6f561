"""Sending messages from the quarantine in again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway.bus import Outgoing, ingest_subject
from gateway.intake import CORRELATION_HEADER, QUARANTINE_HEADER
from gateway.quarantine import Quarantine, RawMessage

AT_ONCE = 50


async def send_again(
    quarantine: Quarantine,
    publish: Callable[[Outgoing], Awaitable[int]],
    tenant: str,
    messages: Mapping[str, RawMessage],
    correlation_id: str,
) -> None:
    """Publish messages again, by the ids of their entries, which are `requeued` then.

    Raises what `publish` raises; the entries whose messages are not in the stream are open as before.
    """
    outgoing = [
        Outgoing(
            ingest_subject(tenant, message.source),
            message.raw,
            {**message.headers, QUARANTINE_HEADER: name, CORRELATION_HEADER: correlation_id},
        )
        for name, message in messages.items()
    ]
    # Marked first: if a message is quarantined again at once, its entry must not be closed afterwards.
    await asyncio.to_thread(quarantine.mark, tenant, list(messages), "requeued")
    outcomes = await asyncio.gather(*map(publish, outgoing), return_exceptions=True)
    failures = {name: each for name, each in zip(messages, outcomes, strict=True) if isinstance(each, BaseException)}
    if failures:
        await asyncio.to_thread(quarantine.mark, tenant, list(failures), "open")
        raise next(iter(failures.values()))
