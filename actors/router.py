"""Sends commands to the shards that host them, many per call: a call costs the same for one command as for 500."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from domain.codec import Submission, decode_replies, encode_submissions
from domain.errors import RetryableError, TerminalError
from domain.ids import split_stream_id
from domain.message import Failed, Reply
from domain.settings import BATCH_MAX
from domain.sharding import bucket_of, shard_of


class Endpoint(Protocol):
    """A way to a host of a shard. `call` raises `RetryableError` when the host cannot be reached or did not answer."""

    async def call(self, method: str, payload: bytes) -> bytes: ...


class _Group:
    """Commands that came together for one shard, and who waits for their replies."""

    def __init__(self, batch: list[Submission]) -> None:
        self.batch = batch
        self.replies: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()


class _Lane:
    """One shard's queue. What arrives while calls are under way goes out together with the next one."""

    def __init__(self, endpoint: Endpoint, *, batch_max: int, calls_max: int) -> None:
        self._endpoint = endpoint
        self._batch_max = batch_max
        self._calls_max = calls_max
        self._waiting: deque[_Group] = deque()
        self._calls: set[asyncio.Task[None]] = set()

    def enqueue(self, group: _Group) -> None:
        self._waiting.append(group)
        self._pump()

    def _pump(self) -> None:
        while self._waiting and len(self._calls) < self._calls_max:
            groups = [self._waiting.popleft()]
            size = len(groups[0].batch)
            while self._waiting and size + len(self._waiting[0].batch) <= self._batch_max:
                groups.append(self._waiting.popleft())
                size += len(groups[-1].batch)
            call = asyncio.get_running_loop().create_task(self._call(groups))
            self._calls.add(call)
            call.add_done_callback(self._finished)

    def _finished(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._pump()

    async def _call(self, groups: Sequence[_Group]) -> None:
        batch = [submission for group in groups for submission in group.batch]
        try:
            replies = decode_replies(await self._endpoint.call("handle", encode_submissions(batch)))
            assert len(replies) == len(batch), f"{len(batch)} commands were answered by {len(replies)} replies"
        except (RetryableError, TerminalError) as error:
            replies = [Failed(reason=error.reason, retryable=isinstance(error, RetryableError)) for _ in batch]
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait, not to this task
            for group in groups:
                if not group.replies.done():
                    group.replies.set_exception(error)
            return
        start = 0
        for group in groups:
            end = start + len(group.batch)
            if not group.replies.done():
                group.replies.set_result(replies[start:end])
            start = end


class Router:
    """Groups commands by shard and coalesces concurrent callers.

    Args:
        endpoints: one per shard, in shard order.
        bucket: which bucket a stream belongs to; the hosts must agree.
        batch_max: commands per call.
        calls_max: calls under way per shard; the second one hides the way there while the first is decided.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        bucket: Callable[[str], int] = bucket_of,
        batch_max: int = BATCH_MAX,
        calls_max: int = 2,
    ) -> None:
        self._bucket = bucket
        self._batch_max = batch_max
        self._lanes = [_Lane(endpoint, batch_max=batch_max, calls_max=calls_max) for endpoint in endpoints]

    async def submit(self, batch: Sequence[Submission]) -> list[Reply]:
        """One reply per command, in order. What could not be delivered is `Failed(retryable=True)`: send it again."""
        by_shard: dict[int, list[int]] = {}
        for index, submission in enumerate(batch):
            by_shard.setdefault(shard_of(self._bucket(submission.stream), len(self._lanes)), []).append(index)
        groups = []
        for shard, indices in by_shard.items():
            for start in range(0, len(indices), self._batch_max):
                chosen = indices[start : start + self._batch_max]
                group = _Group([batch[index] for index in chosen])
                self._lanes[shard].enqueue(group)
                groups.append((chosen, group))
        replies: list[Reply | None] = [None] * len(batch)
        for chosen, group in groups:
            for index, reply in zip(chosen, await group.replies, strict=True):
                replies[index] = reply
        return [reply for reply in replies if reply is not None]


class Dispatch:
    """Sends each command to the shards that host its category.

    Args:
        routers: by category of stream.
        other: for every other category.
    """

    def __init__(self, routers: Mapping[str, Router], other: Router) -> None:
        self._routers = routers
        self._other = other

    async def submit(self, batch: Sequence[Submission]) -> list[Reply]:
        """One reply per command, in order, as of `Router.submit`."""
        by_router: dict[int, tuple[Router, list[int]]] = {}
        for index, submission in enumerate(batch):
            router = self._routers.get(split_stream_id(submission.stream)[0], self._other)
            by_router.setdefault(id(router), (router, []))[1].append(index)
        if len(by_router) == 1:
            (router, _), *_ = by_router.values()
            return await router.submit(batch)
        replies: list[Reply | None] = [None] * len(batch)

        async def send(router: Router, indices: list[int]) -> None:
            for index, reply in zip(indices, await router.submit([batch[index] for index in indices]), strict=True):
                replies[index] = reply

        async with asyncio.TaskGroup() as sends:
            for router, indices in by_router.values():
                sends.create_task(send(router, indices))
        return [reply for reply in replies if reply is not None]
