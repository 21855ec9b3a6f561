"""A tenant that asks without pause has one batch under way, and shares its size with whoever else asks."""

import asyncio
from collections import Counter

import msgspec

from gateway.micro_batch import GATHERS_MAX, GATHERS_MIN, Lane
from projections.retrieval import AnyFound, Gather, Gathered


class Shard:
    """An index shard at its wire: notes the batches and answers them when it is told to."""

    def __init__(self) -> None:
        self.under_way: list[tuple[str, int]] = []
        self.most_under_way: Counter[str] = Counter()
        self.sizes: list[tuple[str, int]] = []
        self.came: asyncio.Queue[str] = asyncio.Queue()
        self.may_answer = asyncio.Event()

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "query"
        queries = msgspec.msgpack.decode(payload, type=list[Gather])
        tenant = queries[0].tenant
        self.sizes.append((tenant, len(queries)))
        self.came.put_nowait(tenant)
        self.under_way.append((tenant, len(queries)))
        self.most_under_way[tenant] = max(
            self.most_under_way[tenant], sum(name == tenant for name, _ in self.under_way)
        )
        await self.may_answer.wait()
        self.under_way.remove((tenant, len(queries)))
        empty = Gathered(
            position=1, knowledge_position=1, generation=1, lag_ms=0, payments=[], passages=[], looked_up=[]
        )
        found: list[AnyFound] = [empty for _ in queries]
        return msgspec.msgpack.encode(found)


def question(tenant: str) -> Gather:
    return Gather(tenant=tenant, question="Where is it?")


async def test_a_hot_tenant_has_one_batch_under_way_and_others_go_beside_it() -> None:
    shard, busy = Shard(), set[Lane]()
    hot, quiet = Lane(shard.call, 0.0, busy), Lane(shard.call, 0.0, busy)
    asked = [asyncio.create_task(hot.ask(question("hot"))) for _ in range(200)]
    assert await shard.came.get() == "hot"
    beside = asyncio.create_task(quiet.ask(question("quiet")))

    assert await shard.came.get() == "quiet"
    assert shard.sizes == [("hot", GATHERS_MAX), ("quiet", 1)]
    shard.may_answer.set()
    await asyncio.gather(beside, *asked)
    assert shard.most_under_way == {"hot": 1, "quiet": 1}
    assert busy == set()


async def test_the_more_tenants_ask_the_smaller_is_the_batch_of_each() -> None:
    shard, busy = Shard(), set[Lane]()
    shard.may_answer.set()
    lanes = {f"t{number}": Lane(shard.call, 0.0, busy) for number in range(4)}
    await asyncio.gather(*(lane.ask(question(name)) for name, lane in lanes.items() for _ in range(100)))

    assert max(size for _, size in shard.sizes) <= GATHERS_MAX // 2
    assert min(size for _, size in shard.sizes) >= GATHERS_MIN
