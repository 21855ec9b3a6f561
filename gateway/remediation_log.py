"""Where remediation is kept: one stream per runbook, written by this gateway alone, each step before it is taken."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from actors.journal import Journal
from actors.shard import Kind, Shard
from domain.codec import Submission
from domain.errors import Rejection, RetryableError
from domain.ids import StreamId, stream_id
from domain.message import Failed, Rejected, Trace
from domain.remediation import NODE, Remediation, RemediationCommand, RemediationDecider
from domain.sharding import BUCKET_COUNT

KINDS = {"remediation": Kind(decider=RemediationDecider(), state=Remediation)}
# Runs are short and rare, so that a whole stream is read at the start and after each command.
_DECIDER = RemediationDecider()


def runbook_stream(runbook: str) -> StreamId:
    """`remediation:_node/<runbook>`."""
    return stream_id("remediation", NODE, runbook)


class RemediationLog:
    """Decides commands and tells how each runbook stands.

    Args:
        journal: where events go.
        node: this gateway's name.
        clock: the time of decisions.
        new_id: makes commit ids.
    """

    def __init__(
        self, journal: Journal, *, node: str, clock: Callable[[], datetime], new_id: Callable[[], str]
    ) -> None:
        self._journal = journal
        self._shard = Shard(
            journal,
            KINDS,
            role=f"remediation-{node}",
            buckets=range(BUCKET_COUNT),
            owner=node,
            clock=clock,
            new_id=new_id,
        )
        self._deciding = asyncio.Lock()

    async def decide(self, runbook: str, command: RemediationCommand) -> Remediation:
        """How the runbook stands after the command, which is durable.

        Raises:
            Rejection: the rules refuse it.
            RetryableError: it cannot be recorded now, and what it is about must not be done.
            FencedError: another gateway has taken over.
        """
        trace = Trace(correlation_id=f"remediation-{command.run_id}")
        submission = Submission(stream=runbook_stream(runbook), command=command, trace=trace)
        async with self._deciding:
            [reply] = await asyncio.to_thread(self._shard.handle, [submission])
            match reply:
                case Rejected(code=code, detail=detail):
                    raise Rejection(code, detail)
                case Failed(reason=reason):
                    raise RetryableError(f"remediation cannot be recorded now: {reason}")
            return (await asyncio.to_thread(self._folded, [runbook]))[runbook]

    async def standing(self, runbooks: Sequence[str]) -> dict[str, Remediation]:
        """How runbooks stand. Raises `RetryableError` while the log cannot be read."""
        return await asyncio.to_thread(self._folded, runbooks)

    def _folded(self, runbooks: Sequence[str]) -> dict[str, Remediation]:
        streams = {runbook_stream(runbook): runbook for runbook in runbooks}
        states = dict.fromkeys(runbooks, _DECIDER.initial())
        for entry in self._journal.load(dict.fromkeys(streams, 0)):
            name = streams[StreamId(entry.stream)]
            states[name] = _DECIDER.evolve(states[name], entry.envelope.event)  # type: ignore[arg-type]  # the stream holds nothing else
        return states
