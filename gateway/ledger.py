"""The answer ledger's writer: an answer is durable before it leaves. Repeats of one answer are counted together."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from actors.journal import Journal
from actors.router import Router
from actors.shard import Kind, Shard
from domain.answer import Answer, AnswerDecider, AnswerRecord, RecordAnswer, RecordRepeat
from domain.codec import Submission, decode_submissions, encode_replies
from domain.errors import FencedError, RetryableError
from domain.ids import stream_id
from domain.message import Failed, Rejected, Reply, Trace
from domain.sharding import BUCKET_COUNT

KINDS = {"answer": Kind(decider=AnswerDecider(), state=Answer)}
REPEATS_LINGER_S = 0.005


class LocalEndpoint:
    """A shard in this process, called in a thread: the loop goes on while the disk syncs."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "handle", f"a local shard handles commands, not {method}"
        try:
            return await asyncio.to_thread(lambda: encode_replies(self._shard.handle(decode_submissions(payload))))
        except FencedError as error:
            raise RetryableError(error.reason) from error


class _Repeat:
    """One answer's repeats that wait for the next commit."""

    def __init__(self) -> None:
        self.count = 0
        self.durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Ledger:
    """Enters answers.

    Args:
        journal: where they go.
        node: this gateway's name: it is the only writer of its answers.
        clock: the time of giving.
        new_id: makes commit ids.
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        node: str,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._clock = clock
        shard = Shard(
            journal,
            KINDS,
            role=f"answers-{node}",
            buckets=range(BUCKET_COUNT),
            owner=node,
            clock=clock,
            new_id=new_id,
            at_point=at_point,
        )
        self._shard = shard
        # One call at a time: what comes during a commit shares the next one.
        self._router = Router([LocalEndpoint(shard)], calls_max=1)
        self._repeats: dict[tuple[str, str], _Repeat] = {}
        self._flush: asyncio.Task[None] | None = None

    @property
    def is_fenced(self) -> bool:
        """Whether another gateway of this name has taken over: this one can enter no answer any more."""
        return self._shard.fenced is not None

    async def enter(self, tenant: str, record: AnswerRecord, trace: Trace) -> None:
        """Returns once the answer is durable; raises `RetryableError` if it cannot be, and then it must not leave."""
        await self._submit(
            [
                Submission(
                    stream=stream_id("answer", tenant, record.answer_id),
                    command=RecordAnswer(record=record),
                    command_id=record.answer_id,
                    trace=trace,
                )
            ]
        )

    async def judge(self, batch: Sequence[Submission]) -> list[Reply]:
        """Enter judgements of answers that were given: one reply each, in order."""
        return await self._router.submit(batch)

    async def repeat(self, tenant: str, answer_id: str) -> None:
        """Returns once it is durable that the answer was given once more."""
        waiting = self._repeats.setdefault((tenant, answer_id), _Repeat())
        waiting.count += 1
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_repeats())
        # Shielded: one caller that goes away must not cancel what others wait for.
        await asyncio.shield(waiting.durable)

    async def _flush_repeats(self) -> None:
        while self._repeats:
            await asyncio.sleep(REPEATS_LINGER_S)
            repeats, self._repeats = self._repeats, {}
            at = self._clock()
            batch = [
                Submission(
                    stream=stream_id("answer", tenant, answer_id),
                    command=RecordRepeat(given_at=at, count=waiting.count),
                )
                for (tenant, answer_id), waiting in repeats.items()
            ]
            try:
                await self._submit(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait, not to this task
                for waiting in repeats.values():
                    waiting.durable.set_exception(RetryableError(str(error), retry_after_s=1))
                continue
            for waiting in repeats.values():
                waiting.durable.set_result(None)

    async def _submit(self, batch: list[Submission]) -> None:
        for reply in await self._router.submit(batch):
            if isinstance(reply, Failed | Rejected):
                reason = reply.reason if isinstance(reply, Failed) else reply.code
                raise RetryableError(f"the answer ledger cannot commit now: {reason}", retry_after_s=1)
