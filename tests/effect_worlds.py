"""A log with a shard, an outbox and effect runners on a clock that moves when it is told; a provider in memory."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from actors.effects import EffectRunner
from actors.journal import Journal
from actors.payment_shard import KINDS, ROLE
from actors.recorder import open_log
from actors.shard import Shard
from domain.codec import Submission
from domain.effects import Done, Effect, EffectKind, EffectResult, Failed, Port, RecordEffectOutcome, RequestEffect
from domain.ids import stream_id
from domain.message import Failed as NotHandled
from domain.message import Reply, Trace
from domain.payment_policy import Policy
from domain.payment_saga import StartPayment
from domain.settings import EffectSettings
from domain.sharding import BUCKET_COUNT
from projections.feed import SqliteFeed
from projections.outbox import Outbox
from tests.domain.examples import at


class Provider:
    """Performs effects in memory, idempotently by key, and answers what it was told to answer."""

    def __init__(self, *answers: Done | Failed) -> None:
        self.asked: list[Effect] = []
        self.done: dict[str, Effect] = {}
        self._answers = list(answers)
        self.is_asked = asyncio.Event()
        self.is_free = asyncio.Event()
        self.is_free.set()
        self.at_once = self.at_once_max = 0

    async def perform(self, effect: Effect) -> Done | Failed:
        self.asked.append(effect)
        self.is_asked.set()
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await self.is_free.wait()
        self.at_once -= 1
        answer = self._answers.pop(0) if self._answers else Done()
        if isinstance(answer, Done):
            self.done.setdefault(effect.key, effect)
        return answer


class World:
    """A log with a shard, an outbox and runners that share it, on a clock that moves when it is told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seconds = 0.0
        log, numbers = str(directory / "log.sqlite"), itertools.count()
        self.journal = Journal(open_log(log))
        self.shard = Shard(
            self.journal,
            KINDS,
            role=ROLE,
            buckets=range(BUCKET_COUNT),
            owner="test",
            clock=self.clock,
            new_id=lambda: f"c{next(numbers)}",
        )
        self.feed = SqliteFeed(log)
        self.outbox = self.open_outbox()
        self.is_away = False
        self.asked = asyncio.Event()

    def open_outbox(self) -> Outbox:
        return Outbox(self.directory / "outbox.sqlite", self.feed)

    def clock(self) -> datetime:
        return at(self.seconds)

    async def submit(self, batch: Sequence[Submission]) -> list[Reply]:
        self.asked.set()
        if self.is_away:
            return [NotHandled(reason="the shard is not there", retryable=True) for _ in batch]
        return self.shard.handle(batch)

    def tell(self, key: str, command: Any, tenant: str = "acme", category: Any = "payment") -> Reply:
        stream = stream_id(category, tenant, key)
        [reply] = self.shard.handle([Submission(stream=stream, command=command, trace=Trace(correlation_id="r-1"))])
        return reply

    def record(self, payment_id: str, step: str, outcome: EffectResult) -> None:
        """What came of an effect of a payment's saga."""
        self.tell(payment_id, RecordEffectOutcome(step=step, outcome=outcome))

    def start(self, payment_id: str = "pi_1", tenant: str = "acme", **policy: Any) -> None:
        start = StartPayment(
            payment_id=payment_id,
            amount_minor=4900,
            currency="EUR",
            deadline_at=at(600),
            provider="stripe",
            policy=Policy(**policy),
        )
        self.tell(payment_id, start, tenant)

    def request(self, key: str, tenant: str = "acme", **fields: Any) -> None:
        wish: dict[str, Any] = {"kind": "notify", "due_at": at(0), "key": key, "to": "orders", **fields}
        self.tell(key, RequestEffect(effect=Effect(**wish)), tenant, "effect")

    def runner(self, ports: dict[EffectKind, Port], name: str = "runner", **options: Any) -> EffectRunner:
        given: dict[str, Any] = {"jitter": lambda: 1.0, "settings": EffectSettings(), **options}
        return EffectRunner(
            self.outbox,
            ports,
            submit=self.submit,
            owner=name,
            clock=self.clock,
            clock_s=lambda: self.seconds,
            **given,
        )

    async def perform(self, runner: EffectRunner) -> None:
        """Turns until nothing is due any more."""
        before = -1
        while before != self.feed.head():
            before = self.feed.head()
            while await runner.turn():
                pass
            await runner.settled()

    def events(self, key: str = "pi_1", tenant: str = "acme", category: Any = "payment") -> list[str]:
        return [entry.topic for entry in self.feed.stream(stream_id(category, tenant, key))]
