"""A part of `recount bench ask`: questions are repeated while what they ask about changes, none stale."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from domain.payment import PaymentView
from gateway.asking import AnswerJson
from projections.feed import Feed
from simulations.ask_traffic import zipf
from simulations.bench_stack import Address
from simulations.client import GatewayClient
from simulations.disorder import Delivery
from simulations.http_load import LoadResult, run_load
from simulations.invariants_answers import of_json, of_view
from simulations.oracle import History

WEBHOOKS_PER_SECOND = 20
CONNECTIONS = 64
_SHOWN = 10


class Changing(msgspec.Struct, frozen=True, kw_only=True):
    """Answers while webhooks arrived.

    Args:
        answers: how many, how fast.
        hit_rate: the share that the cache gave.
        webhooks: how many arrived meanwhile.
        checked: different statements about a payment at a log position, each compared with the log refolded.
        stale: those that say of a payment what was not so at the position that the answer names; at most ten are shown.
        stale_count: how many there are.
    """

    answers: LoadResult
    hit_rate: float
    webhooks: int
    checked: int
    stale: list[str]
    stale_count: int


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered: how fast, and each body."""

    result: LoadResult
    bodies: list[bytes]
    webhooks: int


async def ask_while_it_changes(
    client: GatewayClient, at: Address, questions: Sequence[str], arriving: Sequence[Delivery], seconds: float
) -> Answers:
    """Ask by Zipf's law as fast as answers come; a webhook arrives every twentieth of a second."""
    bodies: list[bytes] = []
    taken: list[Delivery] = []
    delivering = asyncio.create_task(_deliver(client, arriving, taken))
    try:
        result = await run_load(
            at.host,
            at.port,
            zipf(at.netloc, questions),
            connections=CONNECTIONS,
            seconds=seconds,
            on_body=bodies.append,
        )
        meanwhile = len(taken)
        await delivering
    finally:
        delivering.cancel()
    return Answers(result=result, bodies=bodies, webhooks=meanwhile)


async def _deliver(client: GatewayClient, arriving: Sequence[Delivery], taken: list[Delivery]) -> None:
    first_s = time.perf_counter()
    for number, delivery in enumerate(arriving):
        await asyncio.sleep(max(0.0, first_s + number / WEBHOOKS_PER_SECOND - time.perf_counter()))
        await client.deliver([delivery])
        taken.append(delivery)


def held_against(feed: Feed, tenant: str, answers: Answers) -> Changing:
    """Compare every answer with the log: at its position, each payment in it is what its facts fold to."""
    history = History(feed)
    history.read()
    given = [msgspec.json.decode(body, type=AnswerJson) for body in answers.bodies]
    views: dict[tuple[str, int], PaymentView | None] = {}
    stale: list[str] = []
    for answer in given:
        for said in answer.payments:
            where = (said.payment_id, answer.position)
            if where not in views:
                views[where] = history.view(tenant, *where)
            then, now = views[where], of_json(msgspec.to_builtins(said))
            if then is None or of_view(then) != now:
                how = "cached" if answer.cached else "fresh"
                stale.append(f"{how}, {said.payment_id} at {answer.position}: {now}")
    return Changing(
        answers=answers.result,
        hit_rate=round(sum(each.cached for each in given) / max(len(given), 1), 3),
        webhooks=answers.webhooks,
        checked=len(views),
        stale=stale[:_SHOWN],
        stale_count=len(stale),
    )
