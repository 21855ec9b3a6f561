"""`recount submit`: files to the stream, each message durable before it is counted."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from nats.errors import Error as NatsError
from rich.console import Console
from rich.progress import track

from domain.errors import RetryableError, TerminalError
from domain.ids import SOURCE_RE, is_tenant
from gateway.bus import PUBLISH_BATCH_MAX, Outgoing, Publisher, connect, ingest_subject


def messages(file: Path) -> Iterator[bytes]:
    """The messages of a file: the lines that are not blank of a `.jsonl`, else all of it."""
    try:
        if file.suffix != ".jsonl":
            yield file.read_bytes()
            return
        with file.open("rb") as lines:
            yield from (line.rstrip(b"\r\n") for line in lines if line.strip())
    except OSError as error:
        raise TerminalError(f"{file}: {error.strerror}") from error


async def submit_files(url: str, tenant: str, source: str, files: Sequence[Path], talk: Console) -> int:
    """Publish every message and return how many there were.

    Raises `TerminalError` for what cannot be read, `RetryableError` when the stream does not take it; messages before
    that are durable, and sending them again changes nothing.
    """
    if not is_tenant(tenant) or SOURCE_RE.fullmatch(source) is None:
        raise TerminalError(f"{tenant!r}, {source!r}: a tenant and a source are lower-case letters, digits and hyphens")
    try:
        async with asyncio.timeout(10):
            client = await connect(url, name="submit")
    except (NatsError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise RetryableError(
            f"no NATS server answers at {url}: {reason}; `recount up` starts one and prints its URL, for --nats"
        ) from error
    try:
        publisher, count = Publisher(client), 0
        subject = ingest_subject(tenant, source)
        for file in track(files, description="submitting", console=talk, disable=not talk.is_terminal):
            batch: list[bytes] = []
            for body in messages(file):
                batch.append(body)
                if len(batch) == PUBLISH_BATCH_MAX:
                    count += await _publish(publisher, subject, batch)
                    batch = []
            count += await _publish(publisher, subject, batch)
        return count
    finally:
        await client.close()


async def _publish(publisher: Publisher, subject: str, bodies: Sequence[bytes]) -> int:
    await asyncio.gather(*(publisher.publish(Outgoing(subject, body, {})) for body in bodies))
    return len(bodies)
