"""The bus: the INGEST stream, publishing that is durable when it returns, pulling in batches as they come."""

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from domain.errors import RetryableError, TerminalError
from gateway.nats_client import NatsClient

STREAM = "INGEST"
SUBJECTS = "ingest.*.*"
CONSUMER = "intake"
# Consumers beside it, one for each flow that would keep the others waiting (gateway/lanes.py).
OWN_LANE_PREFIX = "intake-own-"
CONSUMERS_PAGE = 256
ACK_WAIT_S = 10
# The server takes 1,000 messages in one atomic batch; 100 reach 8,500/s here and answer sooner.
PUBLISH_BATCH_MAX = 100
# The server needs 3 to 12 ms to stage and sync a batch, whatever its size, and 0.4 ms to sync one message: below this
# many, one by one is faster.
PUBLISH_ATOMIC_MIN = 16
PUBLISH_TIMEOUT_S = 5.0
# The server's own headers, of which a message that is sent again still carries those of its first time.
SERVER_HEADER_PREFIX = "nats-"
BATCH_HEADERS_BYTES_MAX = 200
PULL_EXPIRES_S = 5
PULL_CREDIT = 2_000
PULL_REFUSED_PAUSE_S = 0.2
ACK_TOKENS = 9


def ingest_subject(tenant: str, source: str) -> str:
    """Where messages of a tenant's source are published."""
    return f"ingest.{tenant}.{source}"


async def connect(url: str, *, name: str, on_reconnected: Callable[[], Awaitable[None]] | None = None) -> Client:
    """A connection that never gives up: the server may be away for as long as it likes."""
    client = NatsClient()
    await client.connect(
        url,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]  # the library says int, and sleeps for it
        connect_timeout=5,
        pending_size=32 * 1024**2,
        reconnected_cb=on_reconnected,
        error_cb=_ignore_errors_that_callers_see,
    )
    return client


async def _ignore_errors_that_callers_see(error: Exception) -> None:
    """nats-py prints every dropped connection; what matters of it is a failed call, which has a caller."""


async def ensure_stream(client: Client, *, bytes_max: int) -> None:
    """Make the stream and the intake's consumer, or bring them to today's settings."""
    config = StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_bytes=bytes_max,
        # The raw messages are evidence. A full stream refuses new ones (the sender is told), it forgets none.
        discard=DiscardPolicy.NEW,
        allow_atomic=True,
        allow_direct=True,
    )
    await make_stream(client, config)
    await add_consumer(client, CONSUMER)


async def make_stream(client: Client, config: StreamConfig) -> None:
    """Make a stream, or bring the one of this name to these settings."""
    assert config.name is not None, "a stream has a name"
    context = client.jetstream()
    try:
        await context.stream_info(config.name)
        await context.update_stream(config)
    except NotFoundError:
        await context.add_stream(config)


async def add_consumer(
    client: Client, name: str, *, subject: str | None = None, start: int = 1, metadata: dict[str, str] | None = None
) -> ConsumerInfo:
    """Make a durable consumer for the intakes, or bring it to these settings.

    Args:
        client: the connection.
        name: the consumer's name.
        subject: the only one that it delivers; every one if not given.
        start: the first sequence that it delivers.
        metadata: what is noted with it.
    """
    from_start = DeliverPolicy.ALL if start == 1 else DeliverPolicy.BY_START_SEQUENCE
    return await client.jetstream().add_consumer(
        STREAM,
        ConsumerConfig(
            durable_name=name,
            filter_subject=subject,
            deliver_policy=from_start,
            opt_start_seq=None if start == 1 else start,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=20_000,
            metadata=metadata,
        ),
    )


class Outgoing(msgspec.Struct, frozen=True):
    """One message to be published."""

    subject: str
    body: bytes
    headers: Mapping[str, str]


class Publisher:
    """Publishes to JetStream durably; much that is published at the same time goes out as one atomic batch."""

    def __init__(self, client: Client) -> None:
        self._client = client
        # Why nothing was taken last, empty since something was; and since when, on the loop's clock.
        self.refusal = ""
        self.refused_since_s = 0.0
        self._waiting: deque[tuple[Outgoing, asyncio.Future[int]]] = deque()
        self._flush: asyncio.Task[None] | None = None

    def check_size(self, message: Outgoing) -> None:
        """Raises `TerminalError` for a message that is larger than the server ever takes."""
        size = len(message.body) + sum(len(f"{name}: {value}\r\n".encode()) for name, value in message.headers.items())
        if size > self._client.max_payload - BATCH_HEADERS_BYTES_MAX:
            raise TerminalError(f"a message of {size} bytes is too large: the server takes {self._client.max_payload}")

    async def publish(self, message: Outgoing) -> int:
        """Returns the message's sequence in the stream once it is durable.

        Raises `RetryableError` if it is not, `TerminalError` if it is larger than the server ever takes.
        """
        self.check_size(message)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, done))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())
        return await done

    async def _flush_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), PUBLISH_BATCH_MAX))]
            messages = [message for message, _ in batch]
            publish = self._publish_atomically if len(batch) >= PUBLISH_ATOMIC_MIN else self._publish_singly
            try:
                outcomes = await publish(messages)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait, not to this task
                outcomes = [error] * len(batch)
            for (_, done), outcome in zip(batch, outcomes, strict=True):
                if done.done():
                    continue
                if isinstance(outcome, BaseException):
                    refused = _not_taken(outcome)
                    self._note(refused.reason)
                    done.set_exception(refused)
                else:
                    self._note("")
                    done.set_result(outcome)

    def _note(self, refusal: str) -> None:
        if refusal and not self.refusal:
            self.refused_since_s = asyncio.get_running_loop().time()
        self.refusal = refusal

    async def _publish_singly(self, messages: Sequence[Outgoing]) -> Sequence[int | BaseException]:
        """The sequence or the failure of each; they are under way together, and each is synced by itself."""
        return await asyncio.gather(*(self._send(message, {}) for message in messages), return_exceptions=True)

    async def _publish_atomically(self, messages: Sequence[Outgoing]) -> Sequence[int | BaseException]:
        """Publish all or none, with one sync (ADR-50, atomic batch publishing); the sequences are consecutive."""
        self._check_connection()
        batch_id = uuid.uuid4().hex
        for number, message in enumerate(messages[:-1], start=1):
            of_batch = {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}
            await self._client.publish(message.subject, message.body, headers=_headers(message) | of_batch)
        commit = {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(len(messages)), "Nats-Batch-Commit": "1"}
        last = await self._send(messages[-1], commit)
        return range(last - len(messages) + 1, last + 1)

    def _check_connection(self) -> None:
        """Raises `RetryableError` while there is none: what is published then would be kept, and sent afterwards."""
        if not self._client.is_connected:
            raise RetryableError("the connection to the stream is down")

    async def _send(self, message: Outgoing, headers: Mapping[str, str]) -> int:
        """Publish one and wait for the acknowledgement: its sequence."""
        self._check_connection()
        reply = await self._client.request(
            message.subject, message.body, timeout=PUBLISH_TIMEOUT_S, headers={**_headers(message), **headers}
        )
        answer = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise RetryableError(str(answer["error"].get("description", answer["error"])))
        return int(answer["seq"])


def _headers(message: Outgoing) -> dict[str, str]:
    """A message's headers without those that would be orders to the server."""
    return {name: value for name, value in message.headers.items() if not name.lower().startswith(SERVER_HEADER_PREFIX)}


def _not_taken(error: BaseException) -> RetryableError:
    reason = error.reason if isinstance(error, RetryableError) else str(error) or type(error).__name__
    return RetryableError(f"the stream does not take messages now: {reason}", retry_after_s=1)


class Pull:
    """Pulls from a durable consumer with standing credit, so that a message is here as soon as it is stored.

    The client library's `fetch` waits for a full batch or its timeout; this takes what has come.

    Args:
        consumer: the consumer's name.
        stream: the stream that it is of.
        credit_max: how many messages may be on their way at most; `PULL_CREDIT` if not given.
        wake: set when something came; of its own if not given.
    """

    def __init__(
        self,
        consumer: str = CONSUMER,
        *,
        stream: str = STREAM,
        credit_max: int | None = None,
        wake: asyncio.Event | None = None,
    ) -> None:
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self.credit_max = PULL_CREDIT if credit_max is None else credit_max
        self._inbox = ""
        self._arrived: list[Msg] = []
        self._wake = wake or asyncio.Event()
        self._credit = 0
        self._before: set[Subscription] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._heard_at_s = 0.0
        self._asks_from_s = 0.0

    async def start(self, client: Client) -> None:
        """Begin to pull."""
        self._client = client
        self._loop = asyncio.get_running_loop()
        await self._subscribe()

    async def stop(self) -> None:
        """Hear no more. What was on its way comes again, to whoever pulls then."""
        for each in (self._subscription, *self._before):
            await each.unsubscribe()
        self._before.clear()

    async def finish(self) -> None:
        """Ask for no more and wait for what the server has sent already, which `arrived` gives."""
        for each in (self._subscription, *self._before):
            await each.drain()  # type: ignore[no-untyped-call]  # nats-py says of this one nothing
        self._before.clear()

    async def _subscribe(self) -> None:
        self._inbox = self._client.new_inbox()
        self._credit = 0
        self._heard_at_s = self._loop.time()
        self._subscription = await self._client.subscribe(self._inbox, cb=partial(self._on_message, self._inbox))
        await self.ask()

    async def _on_message(self, inbox: str, message: Msg) -> None:
        self._heard_at_s = self._loop.time()
        if inbox != self._inbox:
            # Of a request before the last reconnection: taken, but not of today's credit.
            if message.reply:
                self._arrived.append(message)
        elif not message.reply:
            # The request ended (408, 409): what it had left is no longer owed. A message has a way to acknowledge it.
            headers = message.headers or {}
            if "Nats-Pending-Messages" in headers:
                self._credit -= int(headers["Nats-Pending-Messages"])
            else:
                # Nobody is there to be asked: not yet, or no more.
                self._credit = 0
                self._asks_from_s = self._heard_at_s + PULL_REFUSED_PAUSE_S
                self._loop.call_later(PULL_REFUSED_PAUSE_S, self._wake.set)
        else:
            self._arrived.append(message)
            self._credit -= 1
        self._wake.set()

    async def ask(self) -> None:
        """Ask for more if less than half of the credit is left."""
        if self._credit > self.credit_max // 2 or self._loop.time() < self._asks_from_s:
            return
        wanted = self.credit_max - max(self._credit, 0)
        request = {"batch": wanted, "expires": PULL_EXPIRES_S * 1_000_000_000}
        self._credit = max(self._credit, 0) + wanted
        await self._client.publish(self._subject, msgspec.json.encode(request), reply=self._inbox)

    def arrived(self) -> list[Msg]:
        """What has come since the last time; does not wait, and asks for nothing."""
        arrived, self._arrived = self._arrived, []
        return arrived

    async def take(self, batch_max: int) -> list[Msg]:
        """The messages that have come, at most `batch_max`; waits for the first. May return none: call again."""
        if not self._arrived:
            self._wake.clear()
            # What was asked for may have ended since the last time; nobody would wake us for that again.
            await self.ask()
            try:
                async with asyncio.timeout(PULL_EXPIRES_S):
                    await self._wake.wait()
            except TimeoutError:
                await self.ask_again_if_forgotten()
        taken, self._arrived = self._arrived[:batch_max], self._arrived[batch_max:]
        await self.ask()
        return taken

    async def ask_again_if_forgotten(self) -> None:
        """Ask anew after a long silence: a server that came back knows nothing of our request, and says nothing."""
        if self._loop.time() - self._heard_at_s > 2 * PULL_EXPIRES_S:
            await self.renew()

    async def renew(self) -> None:
        """Ask anew, at once, after a reconnection.

        Under another name: until the server finds out that a connection is no more, it sends down that too what goes to
        the names of it, and whoever it serves waits for that. What is owed to the name before is still taken until its
        requests have ended: it is on its way already, and would not come again before `ACK_WAIT_S`.
        """
        before = self._subscription
        self._before.add(before)
        await self._subscribe()
        self._loop.call_later(PULL_EXPIRES_S, self._let_go, before)

    def _let_go(self, before: Subscription) -> None:
        if before in self._before:
            self._before.remove(before)
            leaving = self._loop.create_task(_leave(before))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


async def _leave(subscription: Subscription) -> None:
    with suppress(NatsError):  # A connection that was closed meanwhile has none.
        await subscription.unsubscribe()


async def acknowledge(client: Client, messages: Sequence[Msg]) -> None:
    """Say that messages are taken in: they do not come again."""
    for message in messages:
        await client.publish(message.reply, b"+ACK")


async def give_back(client: Client, messages: Sequence[Msg]) -> None:
    """Say that messages are not worked on: they come again at once, to whoever pulls."""
    for message in messages:
        await client.publish(message.reply, b"-NAK")


async def keep_waiting(client: Client, messages: Sequence[Msg]) -> None:
    """Say that messages are still worked on: they do not come again for another `ACK_WAIT_S`."""
    for message in messages:
        await client.publish(message.reply, b"+WPI")


async def pending(client: Client) -> int:
    """Messages in the stream that are not taken in yet: not delivered, or delivered and not acknowledged."""
    lanes = [info for info in await consumers(client) if info.name == CONSUMER or info.name.startswith(OWN_LANE_PREFIX)]
    return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in lanes)


async def subject_count(client: Client) -> int:
    """How many different subjects the stream has messages of."""
    answer = await client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"", timeout=PUBLISH_TIMEOUT_S)
    reply = msgspec.json.decode(answer.data)
    if "error" in reply:
        raise RetryableError(str(reply["error"].get("description", reply["error"])))
    return int(reply["state"].get("num_subjects", 0))


async def consumers(client: Client) -> list[ConsumerInfo]:
    """Every consumer of the stream."""
    found: list[ConsumerInfo] = []
    while page := await client.jetstream().consumers_info(STREAM, offset=len(found)):
        found += page
        if len(page) < CONSUMERS_PAGE:
            break
    return found


def stream_sequence(message: Msg) -> int:
    """A pulled message's place in the stream.

    Its reply subject is `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`,
    or, with a domain and an account hash before the stream, two tokens longer and one behind (ADR-15).
    """
    tokens = message.reply.split(".")
    return int(tokens[5] if len(tokens) == ACK_TOKENS else tokens[7])
