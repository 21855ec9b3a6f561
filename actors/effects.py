"""The effect runner: takes what is outstanding by lease, performs it, and has the outcome recorded in the log.

At least once: after a crash the lease runs out and the effect is performed again, under the same idempotency key, which
makes it once at the other side. Nothing here runs because an event is replayed: only what is outstanding is performed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from actors.breaker import Account, Breakers, State
from domain.codec import Submission
from domain.effects import Done, EffectKind, Failed, Port, RecordEffectOutcome, not_asked
from domain.errors import FencedError
from domain.ids import StreamId
from domain.message import Failed as NotHandled
from domain.message import Rejected, Reply, Trace
from domain.payment_saga import PassDeadline
from domain.settings import EffectSettings
from projections.outbox import Claimed, Outbox, Room

POLL_S = 0.1
PAUSE_AFTER_ERROR_S = 1.0
RECORD_RETRY_FIRST_S = 0.1
DEADLINES_MAX = 500
DEADLINE_AGAIN_S = 1.0
REASON_CHARS_MAX = 500
# While the log takes no outcomes, no more than so many are kept waiting for it.
RECORDING_MAX = 500

log = structlog.get_logger("effects")


class EffectStats(msgspec.Struct, kw_only=True):
    """What a runner did since it started: attempts by how they ended."""

    performed: int = 0
    failed: int = 0
    given_up: int = 0
    deadlines: int = 0


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to do now: effects that were taken, and payments whose deadline has passed."""

    claimed: list[Claimed]
    passed: list[tuple[StreamId, Trace]]


class EffectRunner:
    """Performs what is outstanding, and passes deadlines. Several may share one outbox.

    Args:
        outbox: what is outstanding.
        ports: who performs effects, by kind. An effect without one is given up.
        submit: sends commands to the shards, one reply each, in order.
        owner: who takes the leases; a name of its own for each runner.
        clock: the time of leases and of the next attempts.
        clock_s: a clock that never goes back, for circuit breakers.
        settings: limits, leases and pauses.
        pause: waits that many seconds.
        jitter: a number from 0 to 1.
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
    """

    def __init__(
        self,
        outbox: Outbox,
        ports: Mapping[EffectKind, Port],
        *,
        submit: Callable[[Sequence[Submission]], Awaitable[list[Reply]]],
        owner: str,
        clock: Callable[[], datetime],
        clock_s: Callable[[], float],
        settings: EffectSettings | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._outbox = outbox
        self._ports = ports
        self._submit = submit
        self._owner = owner
        self._clock = clock
        self._settings = settings or EffectSettings()
        self._pause = pause
        self._jitter = jitter
        self._at_point = at_point
        self._breakers = Breakers(self._settings, clock_s=clock_s, on_change=_tell_breaker)
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        # By tenant, those that are being performed: an outcome that is being recorded keeps nobody else waiting.
        self._performing: Counter[str] = Counter()
        self._ended = asyncio.Event()
        self.stats = EffectStats()

    async def run(self) -> None:
        """Perform for as long as the task lives, or until another process owns the outbox."""
        try:
            while True:
                try:
                    is_busy = await self.turn()
                except FencedError as error:
                    log.warning("effects_fenced", reason=error.reason)
                    return
                except Exception as error:  # noqa: BLE001 - a loop that ends would leave every effect undone
                    log.warning("effects_not_read", reason=f"{type(error).__name__}: {error}")
                    await self._pause(PAUSE_AFTER_ERROR_S)
                    continue
                if not is_busy:
                    await self.idle()
        finally:
            under_way = list(self._under_way)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def idle(self) -> bool:
        """Until an effect has ended, which makes room and may have led to the next one, or it is time to look again.

        Returns whether one has ended.
        """
        waits = [asyncio.ensure_future(self._pause(POLL_S)), asyncio.create_task(self._ended.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        has_ended = self._ended.is_set()
        self._ended.clear()
        return has_ended

    @property
    def under_way(self) -> int:
        """How many effects are in hand: being performed, or with an outcome that is not recorded yet."""
        return len(self._under_way)

    async def turn(self) -> bool:
        """Read on in the log, pass deadlines, begin what is due. Returns whether there may be more to do at once."""
        self._at_point("before_claim")
        performing = +self._performing
        recording = len(self._under_way) - performing.total()
        free = max(min(self._settings.at_once_max - performing.total(), RECORDING_MAX - recording), 0)
        room = Room(
            tenant_max=self._settings.tenant_at_once_max,
            in_hand=performing,
            accounts=self._breakers.limits(),
            held=frozenset((each.stream, each.effect.step) for each in self._under_way.values()),
        )
        found = await asyncio.to_thread(self._look, free, room)
        if found is None:
            # What is outstanding is not known yet: an effect may be performed already further on.
            return True
        for each in found.claimed:
            self._breakers.begin(_account(each))
            self._performing[each.effect.tenant] += 1
            task = asyncio.create_task(self._carry_out(each))
            self._under_way[task] = each
            task.add_done_callback(self._has_ended)
        # The log takes each deadline once, however often it is told.
        if found.passed:
            await self._submit(
                [Submission(stream=stream, command=PassDeadline(), trace=trace) for stream, trace in found.passed]
            )
            self.stats.deadlines += len(found.passed)
        return len(found.passed) == DEADLINES_MAX or 0 < len(found.claimed) == free

    def _look(self, free: int, room: Room) -> _Found | None:
        """Read on in the log, and take up to `free` effects that are due; `None` if there is more to read."""
        if self._outbox.follow():
            return None
        now = self._clock()
        passed = self._outbox.passed_deadlines(now=now, limit=DEADLINES_MAX, again_s=DEADLINE_AGAIN_S)
        if not free:
            return _Found(claimed=[], passed=passed)
        claimed = self._outbox.claim(owner=self._owner, now=now, lease_s=self._settings.lease_s, limit=free, room=room)
        return _Found(claimed=claimed, passed=passed)

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task)
        self._ended.set()

    def open_circuit(self, account: Account) -> float:
        """Leave an account alone from now on; returns for how many seconds."""
        self._breakers.open(account)
        return self._settings.breaker_open_s

    async def settled(self) -> None:
        """Returns once nothing that was begun is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _carry_out(self, claimed: Claimed) -> None:
        try:
            outcome = await self._attempt(claimed)
        finally:
            self._performing[claimed.effect.tenant] -= 1
            self._ended.set()
        self._at_point("after_effect")
        self._note_health(_account(claimed), outcome)
        await self._record(claimed, self._command(claimed, outcome))

    def _note_health(self, account: Account, outcome: Done | Failed) -> None:
        match outcome:
            case Failed(is_account_asked=False):
                self._breakers.not_asked(account)
            case Failed(is_account_at_fault=True):
                self._breakers.failed(account)
            case _:
                self._breakers.succeeded(account)

    async def _attempt(self, claimed: Claimed) -> Done | Failed:
        effect = claimed.effect
        if effect.not_after is not None and self._clock() > effect.not_after:
            return not_asked("it is too late for it")
        port = self._ports.get(effect.kind)
        if port is None:
            return not_asked(f"nothing here performs a {effect.kind}")
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await port.perform(effect)
        except TimeoutError:
            return Failed(retryable=True, reason=f"no outcome within {self._settings.timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - whatever it is, whether it took effect is not known: it is tried again
            return Failed(retryable=True, reason=f"{type(error).__name__}: {error}")

    def _command(self, claimed: Claimed, outcome: Done | Failed) -> RecordEffectOutcome:
        step = claimed.effect.step
        match outcome:
            case Done(facts=facts, reference=reference):
                return RecordEffectOutcome(step=step, outcome="done", facts=facts, reference=reference)
            case Failed(retryable=False, reason=reason):
                return RecordEffectOutcome(step=step, outcome="gave_up", reason=reason[:REASON_CHARS_MAX])
            case Failed(reason=reason, retry_after_s=asked_s):
                retry_at = self._clock() + timedelta(seconds=max(self._backoff_s(claimed.attempts), asked_s))
                reason = reason[:REASON_CHARS_MAX]
                return RecordEffectOutcome(step=step, outcome="failed", reason=reason, retry_at=retry_at)

    def _backoff_s(self, attempts: int) -> float:
        """Exponential, with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""
        longest_s = min(self._settings.retry_first_s * 2.0 ** min(attempts, 30), self._settings.retry_max_s)
        return self._jitter() * longest_s

    async def _record(self, claimed: Claimed, command: RecordEffectOutcome) -> None:
        """Have the outcome recorded, however long it takes: until then the effect may be performed again."""
        pause_s = RECORD_RETRY_FIRST_S
        while True:
            reply = await self._send(claimed, command)
            match reply:
                case NotHandled(retryable=True, reason=reason):
                    log.warning("effect_outcome_delayed", **_names(claimed), reason=reason)
                    if self._clock() > claimed.leased_until:
                        # Somebody else has it in hand by now, and will bring the outcome.
                        return
                    await self._pause(pause_s)
                    pause_s = min(pause_s * 2, self._settings.retry_max_s)
                case NotHandled(reason=reason) | Rejected(detail=reason):
                    log.error("effect_outcome_refused", **_names(claimed), reason=reason)
                    if command.outcome == "gave_up":
                        return
                    refused = f"its outcome was refused: {reason}"[:REASON_CHARS_MAX]
                    command = RecordEffectOutcome(step=command.step, outcome="gave_up", reason=refused)
                case _:
                    self._tell(claimed, command)
                    return

    async def _send(self, claimed: Claimed, command: RecordEffectOutcome) -> Reply:
        submission = Submission(
            stream=claimed.stream,
            command=command,
            command_id=f"{claimed.effect.key}/{claimed.attempts + 1}",
            trace=claimed.trace,
        )
        try:
            [reply] = await self._submit([submission])
        except Exception as error:  # noqa: BLE001 - as a shard that does not answer: the outcome is not durable yet
            return NotHandled(reason=f"{type(error).__name__}: {error}", retryable=True)
        return reply

    def _tell(self, claimed: Claimed, command: RecordEffectOutcome) -> None:
        match command.outcome:
            case "done":
                self.stats.performed += 1
                log.info("effect_performed", **_names(claimed), attempts=claimed.attempts + 1)
            case "failed":
                self.stats.failed += 1
                log.warning("effect_failed", **_names(claimed), attempts=claimed.attempts + 1, reason=command.reason)
            case "gave_up":
                self.stats.given_up += 1
                log.error("effect_given_up", **_names(claimed), attempts=claimed.attempts + 1, reason=command.reason)


def _account(claimed: Claimed) -> Account:
    return claimed.effect.tenant, claimed.account


def _tell_breaker(account: Account, state: State) -> None:
    tenant, name = account
    if state == "open":
        log.warning("breaker_opened", tenant=tenant, account=name)
    else:
        log.info("breaker_closed", tenant=tenant, account=name)


def _names(claimed: Claimed) -> dict[str, str]:
    """What a log line may say of an effect; never its words."""
    effect = claimed.effect
    return {
        "tenant": effect.tenant,
        "kind": effect.kind,
        "payment_id": effect.payment_id,
        "key": effect.key,
        "correlation_id": claimed.trace.correlation_id,
    }
