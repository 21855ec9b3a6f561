"""Commands from outside: `commands.<tenant>` on the bus, and the bodies that HTTP takes as well.

A command is JSON with its `type`: `payment.start` or `payment.resolve_escalation`. It is acknowledged once it is
durable or refused; what is interrupted before is delivered again, and a command that was taken changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from domain.codec import Submission
from domain.errors import Rejection
from domain.ids import is_object_id, stream_id
from domain.message import Accepted, Failed, Rejected, Reply, Trace, Unchanged
from domain.payment_policy import OnTimeout, Policy
from domain.payment_saga import Resolution, ResolveEscalation, StartPayment
from domain.tenant_settings import PolicySettings, TenantSettings
from gateway.bus import ACK_WAIT_S, Pull, acknowledge, make_stream
from gateway.intake import CORRELATION_HEADER

STREAM = "COMMANDS"
SUBJECTS = "commands.*"
CONSUMER = "commands"
BATCH_MAX = 500
BODY_BYTES_MAX = 64 * 1024
# Who wants to hear what came of a command names an inbox; nothing else is published to at a stranger's word.
REPLY_HEADER = "Recount-Reply-To"
INBOX_PREFIX = "_INBOX."
STREAM_BYTES_MAX = 256 * 1024**2
PAUSE_AFTER_ERROR_S = 1.0
# "Not now; again in half a second" (https://docs.nats.io/using-nats/developer/develop_jetstream/consumers).
NOT_NOW = b'-NAK {"delay": 500000000}'
# A start without a deadline gets the tenant's; one that is told must be a time that a payment can wait for.
DEADLINE_MAX = timedelta(days=400)

log = structlog.get_logger("commands")

Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:@=+~-]+$")]


class StartBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="payment.start"
):
    """A payment that is expected to be confirmed until `deadline_at`, by default the tenant's `policy.deadline_s` on.

    Args:
        payment_id: the provider's id of it.
        amount_minor: in minor units of `currency` (ISO 4217).
        provider: the tenant's source through which it is paid; may be left out where there is one.
        on_timeout: what to do if it is not confirmed by then, if not what the tenant's settings say.
    """

    payment_id: Id
    amount_minor: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    deadline_at: Annotated[datetime, Meta(tz=True)] | None = None
    customer_id: Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z0-9_.:@=+~-]*$")] = ""
    provider: Annotated[str, Meta(max_length=32)] = ""
    on_timeout: OnTimeout | None = None


class ResolveBody(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="payment.resolve_escalation",
):
    """A person's decision about an escalation, by its payment and its number."""

    payment_id: Id
    number: Annotated[int, Meta(ge=1, le=2**31)]
    resolution: Resolution
    note: Annotated[str, Meta(max_length=1_000)] = ""


_decoder = msgspec.json.Decoder(StartBody | ResolveBody)


def command_of(
    body: StartBody | ResolveBody, tenant: str, settings: TenantSettings, at: datetime, trace: Trace
) -> Submission:
    """The command for its stream. Raises `Rejection` for what no setting and no calendar allows."""
    if not is_object_id(body.payment_id):
        raise Rejection("id.invalid", "payment_id: 1 to 200 letters, digits and any of _.:@=+~-")
    command = (
        _start(body, settings, at)
        if isinstance(body, StartBody)
        else ResolveEscalation(number=body.number, resolution=body.resolution, note=body.note)
    )
    return Submission(
        stream=stream_id("payment", tenant, body.payment_id),
        command=command,
        command_id=trace.correlation_id,
        trace=trace,
    )


def _start(body: StartBody, settings: TenantSettings, at: datetime) -> StartPayment:
    if body.provider and body.provider not in settings.sources:
        raise Rejection("provider.unknown", f"provider: the tenant has no source {body.provider}")
    deadline_at = body.deadline_at
    if deadline_at is not None and not at - DEADLINE_MAX < deadline_at < at + DEADLINE_MAX:
        raise Rejection("deadline.out_of_range", f"deadline_at: at most {DEADLINE_MAX.days} days from now")
    accounts = [name for name, source in settings.sources.items() if source.api is not None]
    return StartPayment(
        payment_id=body.payment_id,
        amount_minor=body.amount_minor,
        currency=body.currency,
        deadline_at=(deadline_at or at + timedelta(seconds=settings.policy.deadline_s)).astimezone(UTC),
        is_deadline_default=deadline_at is None,
        customer_id=body.customer_id,
        provider=body.provider or (accounts[0] if len(accounts) == 1 else ""),
        policy=policy_of(settings.policy, body.on_timeout),
    )


def policy_of(settings: PolicySettings, on_timeout: OnTimeout | None = None) -> Policy:
    """The policy that goes into the log with a payment: what is set today holds for the payments of today."""
    return Policy(
        on_timeout=on_timeout or settings.on_timeout,
        on_late_success=settings.on_late_success,
        wait_s=settings.wait_s,
        waits_max=settings.waits_max,
        attempts_max=settings.attempts_max,
    )


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a command, for whoever named an inbox."""

    position: int = 0
    code: str = ""
    detail: str = ""


class Commander:
    """Takes commands from the bus.

    Args:
        client: the connection.
        tenants: whose commands are taken, and by which settings.
        submit: sends commands to the shards, one reply each, in order.
        clock: the time at which a start without a deadline begins to wait.
        pause: waits that many seconds.
    """

    def __init__(
        self,
        client: Client,
        *,
        tenants: Mapping[str, TenantSettings],
        submit: Callable[[Sequence[Submission]], Awaitable[list[Reply]]],
        clock: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._tenants = tenants
        self._submit = submit
        self._clock = clock
        self._pause = pause
        self._pull = Pull(CONSUMER, stream=STREAM)

    async def start(self) -> None:
        """Make the stream and begin to pull."""
        await ensure_commands(self._client)
        await self._pull.start(self._client)

    async def run(self) -> None:
        """Take commands for as long as the task lives. What cannot be settled now comes again."""
        while True:
            try:
                await self.settle(await self._pull.take(BATCH_MAX))
            except Exception as error:  # noqa: BLE001 - a loop that ends would leave every command waiting
                log.warning("commands_not_taken", reason=f"{type(error).__name__}: {error}")
                await self._pause(PAUSE_AFTER_ERROR_S)

    async def settle(self, messages: Sequence[Msg]) -> None:
        """Have a batch recorded, and acknowledge each message that is durable or refused."""
        readable: list[tuple[Msg, Submission]] = []
        for message in messages:
            try:
                readable.append((message, self._read(message)))
            except Rejection as rejection:
                await self._end(message, Rejected.of(rejection))
        replies = await self._submit([submission for _, submission in readable]) if readable else []
        for (message, _), reply in zip(readable, replies, strict=True):
            if isinstance(reply, Failed) and reply.retryable:
                log.warning("command_delayed", subject=message.subject, reason=reply.reason)
                await self._client.publish(message.reply, NOT_NOW)
                continue
            await self._end(message, reply)

    def _read(self, message: Msg) -> Submission:
        tenant = message.subject.partition(".")[2]
        settings = self._tenants.get(tenant)
        if settings is None:
            raise Rejection("tenant.unknown", "there is no such tenant here")
        if len(message.data) > BODY_BYTES_MAX:
            raise Rejection("body.too_large", f"a command has at most {BODY_BYTES_MAX} bytes")
        try:
            body = _decoder.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Rejection("command.invalid", f"the command does not fit: {error}") from error
        correlation_id = (message.headers or {}).get(CORRELATION_HEADER, "")[:64]
        trace = Trace(correlation_id=correlation_id or f"{STREAM}-{message.metadata.sequence.stream}")
        # The time at which it was stored, so that delivered again it is the same command.
        return command_of(body, tenant, settings, message.metadata.timestamp.astimezone(UTC), trace)

    async def _end(self, message: Msg, reply: Reply) -> None:
        match reply:
            case Accepted(position=position):
                outcome = Outcome(position=position)
            case Unchanged():
                outcome = Outcome()
            case Rejected(code=code, detail=detail):
                outcome = Outcome(code=code, detail=detail)
            case Failed(reason=reason):
                outcome = Outcome(code="command.failed", detail=reason)
        if outcome.code:
            log.warning("command_refused", subject=message.subject, code=outcome.code, detail=outcome.detail[:500])
        inbox = (message.headers or {}).get(REPLY_HEADER, "")
        if inbox.startswith(INBOX_PREFIX):
            await self._client.publish(inbox, msgspec.json.encode(outcome))
        await acknowledge(self._client, [message])


async def ensure_commands(client: Client) -> None:
    """Make the stream of commands and its consumer, or bring them to these settings. A command taken is forgotten."""
    config = StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        max_bytes=STREAM_BYTES_MAX,
        discard=DiscardPolicy.NEW,
    )
    await make_stream(client, config)
    await client.jetstream().add_consumer(
        STREAM,
        ConsumerConfig(
            durable_name=CONSUMER,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=5_000,
        ),
    )
