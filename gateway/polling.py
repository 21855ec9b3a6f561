"""Pollers: what a provider's API tells is published as if it had been sent, and then the cursor moves on.

At least once: a crash between the two reads the page again, and facts that are known change nothing.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

import httpx
import msgspec
import structlog

from actors.journal import Journal
from actors.payment_shard import KINDS
from domain.codec import Submission
from domain.errors import RetryableError, TerminalError
from domain.ids import StreamId, is_object_id, stream_id
from domain.message import Failed, Rejected, Reply, Trace
from domain.polling import AdvanceCursor, Poll, PollDecider, PollSettings
from domain.tenant_settings import TenantSettings
from gateway.bus import Outgoing, ingest_subject
from gateway.intake import CORRELATION_HEADER
from gateway.polling_http import Asker, CursorLostError
from gateway.polling_walks import Item, Walk, walk_of

# What was sent on and may be read again; beyond that it is sent twice and changes nothing.
REMEMBERED_MAX = 20_000
PUBLISH_AT_ONCE = 500

log = structlog.get_logger("polling")

Submit = Callable[[Sequence[Submission]], Awaitable[list[Reply]]]
Publish = Callable[[Outgoing], Awaitable[int]]


class Cursors:
    """The durable cursors, one stream of the log per source."""

    def __init__(self, journal: Journal, submit: Submit) -> None:
        self._journal = journal
        self._submit = submit

    def load(self, stream: StreamId) -> Poll:
        """The cursor as the log has it. Raises `RetryableError`, `TerminalError` as of `Journal`."""
        decider, kind = PollDecider(), KINDS["poll"]
        state, version = decider.initial(), 0
        for snapshot in self._journal.snapshots([stream]):
            if snapshot.shape == kind.shape:
                state, version = msgspec.msgpack.decode(snapshot.state, type=Poll), snapshot.version
        for entry in self._journal.load({stream: version}):
            state = decider.evolve(state, entry.envelope.event)  # type: ignore[arg-type]  # a poll's stream holds nothing else
        return state

    async def advance(self, stream: StreamId, command: AdvanceCursor) -> None:
        """Returns once the cursor is durable. Raises `RetryableError` if it is not."""
        trace = Trace(correlation_id=f"poll-{stream}")
        [reply] = await self._submit([Submission(stream=stream, command=command, trace=trace)])
        match reply:
            case Failed(reason=reason) | Rejected(detail=reason):
                raise RetryableError(f"the cursor cannot be moved on: {reason}")


class Poller:
    """Reads one source's API, round after round.

    Args:
        tenant: whose source.
        source: its name; messages go where its webhooks go.
        kind: what it is.
        settings: what to ask for.
        asker: asks.
        publish: returns once a message is durable.
        cursors: where the cursor is.
        clock: the time.
        is_paused: whether the source is held up now.
        pause: waits between rounds.
        jitter: a number from 0 to 1.
    """

    def __init__(
        self,
        tenant: str,
        source: str,
        kind: str,
        settings: PollSettings,
        *,
        asker: Asker,
        publish: Publish,
        cursors: Cursors,
        clock: Callable[[], datetime],
        is_paused: Callable[[], bool] = lambda: False,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._tenant = tenant
        self._source = source
        self._kind = kind
        self._settings = settings
        self._asker = asker
        self._publish = publish
        self._cursors = cursors
        self._clock = clock
        self._is_paused = is_paused
        self._pause = pause
        self._jitter = jitter
        self._stream = stream_id("poll", tenant, source)
        self._remembered: OrderedDict[str, None] = OrderedDict()
        # A round that is asked for waits for the one under way: two walks of one cursor would send all twice.
        self._walking = asyncio.Lock()

    @property
    def name(self) -> str:
        """`tenant/source`."""
        return f"{self._tenant}/{self._source}"

    async def run(self) -> None:
        """Rounds until the task is cancelled. What fails, and a mistake of ours, is told and tried again."""
        while True:
            try:
                sent = 0 if self._is_paused() else await self.round()
                if sent:
                    log.info("polled", tenant=self._tenant, source=self._source, messages=sent)
            except (RetryableError, TerminalError) as error:
                log.warning("poll_failed", tenant=self._tenant, source=self._source, reason=error.reason)
            except Exception:
                log.exception("poll_crashed", tenant=self._tenant, source=self._source)
            # A tenth of the interval apart, so that sources that started together do not ask together for good.
            await self._pause(self._settings.every_s * (0.95 + self._jitter() / 10))

    async def round(self) -> int:
        """Read what is new to the end of the list, and return how many messages were sent on.

        Raises:
            RetryableError: the API, the stream or the log is away; the next round goes on from the durable cursor.
            TerminalError: the API refuses, or answers what is no such list.
        """
        async with self._walking:
            return await self._round()

    async def _round(self) -> int:
        poll = await asyncio.to_thread(self._cursors.load, self._stream)
        try:
            return await self._walk(poll, walk_of(self._kind, self._settings, poll.cursor, self._clock()), poll.etag)
        except CursorLostError as error:
            if not poll.cursor:
                raise
            log.warning("poll_cursor_lost", tenant=self._tenant, source=self._source, reason=error.reason)
            return await self._walk(poll, walk_of(self._kind, self._settings, "", self._clock()), "")

    async def _walk(self, poll: Poll, walk: Walk, etag: str) -> int:
        sent = pages = 0
        while walk.request is not None:
            answer = await self._asker.ask(walk.request, etag="" if pages else etag)
            if answer.is_unchanged:
                return sent
            items = walk.take(answer.body)
            pages += 1
            fresh = await self._send_on(items)
            sent += fresh
            # It names the first page alone: a list of several pages may change behind it.
            is_whole = pages == 1 and walk.request is None and walk.cursor == poll.cursor
            moved = Poll(cursor=walk.cursor, etag=answer.etag if is_whole else "")
            if moved != poll and (moved.cursor or is_whole):
                await self._cursors.advance(
                    self._stream,
                    AdvanceCursor(before=poll.cursor, after=moved.cursor, etag=moved.etag, messages=fresh),
                )
                poll = moved
        return sent

    async def _send_on(self, items: Sequence[Item]) -> int:
        """Publish the items that were not sent on before; returns how many, once all are durable."""
        fresh = [item for item in items if item.name not in self._remembered]
        for start in range(0, len(fresh), PUBLISH_AT_ONCE):
            batch = fresh[start : start + PUBLISH_AT_ONCE]
            outcomes = await asyncio.gather(*map(self._send, batch), return_exceptions=True)
            for item, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, TerminalError):
                    # Larger than the stream ever takes: the others must not wait behind it for good.
                    log.error("poll_item_refused", tenant=self._tenant, source=self._source, reason=outcome.reason)
                elif isinstance(outcome, BaseException):
                    raise outcome
                self._remembered[item.name] = None
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return len(fresh)

    async def _send(self, item: Item) -> None:
        named = f"-{item.name}" if is_object_id(item.name) else ""
        headers = {CORRELATION_HEADER: f"poll-{self._source}{named}"}
        await self._publish(Outgoing(ingest_subject(self._tenant, self._source), item.body, headers))


def pollers_of(
    tenants: Mapping[str, TenantSettings],
    *,
    client: httpx.AsyncClient,
    publish: Publish,
    cursors: Cursors,
    clock: Callable[[], datetime],
    is_paused: Callable[[str, str], bool] = lambda tenant, source: False,
) -> Iterable[Poller]:
    """A poller for every source whose API is to be asked. Raises `TerminalError` for one that does not say which."""
    for tenant, of_tenant in tenants.items():
        for source, settings in of_tenant.sources.items():
            if settings.poll is not None:
                kind = settings.kind or source
                if not settings.poll.url and kind != "stripe":
                    place = f"tenants.{tenant}.sources.{source}.poll.url"
                    raise TerminalError(f"configuration: {place}: a source of kind {kind} needs one")
                asker = Asker(
                    client,
                    timeout_s=settings.poll.timeout_s,
                    clock=clock,
                    on_retry=_retry_teller(tenant, source),
                )
                yield Poller(
                    tenant,
                    source,
                    kind,
                    settings.poll,
                    asker=asker,
                    publish=publish,
                    cursors=cursors,
                    clock=clock,
                    is_paused=partial(is_paused, tenant, source),
                )


def _retry_teller(tenant: str, source: str) -> Callable[[str, float], None]:
    def tell(reason: str, pause_s: float) -> None:
        log.info("poll_retried", tenant=tenant, source=source, reason=reason, pause_s=round(pause_s, 1))

    return tell
