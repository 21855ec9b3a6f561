"""What a node is asked while it suffers: webhooks until they are taken, and questions; and how well it does it."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import msgspec

from simulations.chaos.experiment import Workload
from simulations.chaos.target import TENANTS, api_key, secret
from simulations.disorder import deliveries, stripe_headers
from simulations.stripe_traffic import Traffic, generate

TIMEOUT_S = 3.0
RETRY_AFTER_S = 0.3
SENDERS, ASKERS = 12, 4
BIN_S = 0.5
# Of the last stretch of time, so much must be well done for all to be well.
WELL_WINDOW_S, WELL_SHARE, WELL_MIN = 1.0, 0.95, 5
TOLD_MAX = 40
STARTED_BEFORE = timedelta(weeks=16)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """One operation: when it began and how long it took, in seconds; `status` is 0 without an answer."""

    at_s: float
    took_s: float
    what: str
    status: int
    is_good: bool


class Load:
    """A provider and an asker.

    Args:
        url: of the node.
        workload: how much.
        seed: of the payments, and of who is asked about.
    """

    def __init__(self, url: str, workload: Workload, seed: int) -> None:
        self._url = url
        self._workload = workload
        self._rng = random.Random(seed)
        self._waiting = deque(_webhooks(workload.payments, seed))
        # The payments that were told of last, whole or in part: what is asked of them now may be untrue in a moment.
        self._told: deque[tuple[str, str]] = deque(maxlen=TOLD_MAX)
        # The bodies that the node has taken: it must never forget one.
        self.accepted: dict[str, list[bytes]] = defaultdict(list)
        self.done: list[Done] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.is_running = False

    def start(self) -> None:
        """Begin; it goes on until `stop`."""
        self.is_running = True
        limits = httpx.Limits(max_connections=SENDERS + ASKERS)
        self._client = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_S, limits=limits)
        sending = _Pace(self._workload.webhooks_per_s)
        asking = _Pace(self._workload.questions_per_s)
        self._tasks = [asyncio.create_task(self._send(sending)) for _ in range(SENDERS)]
        self._tasks += [asyncio.create_task(self._ask(asking)) for _ in range(ASKERS)]

    async def stop(self) -> None:
        """What is under way is broken off; a webhook whose answer is not known was not accepted."""
        self.is_running = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def is_well(self, now_s: float) -> bool:
        """Whether nearly everything of the last stretch of time was done, and quickly."""
        lately = [each for each in self.done[-400:] if each.at_s + each.took_s >= now_s - WELL_WINDOW_S]
        return len(lately) >= WELL_MIN and sum(each.is_good for each in lately) >= WELL_SHARE * len(lately)

    def between(self, from_s: float, to_s: float) -> list[Done]:
        """What was done or begun then."""
        return [each for each in self.done if each.at_s + each.took_s >= from_s and each.at_s <= to_s]

    async def _send(self, pace: "_Pace") -> None:
        while True:
            await pace.turn()
            if not self._waiting:
                return
            tenant, payment, body = self._waiting.popleft()
            headers = stripe_headers(body, secret(tenant), datetime.now(UTC))
            status = await self._timed(
                "webhook", f"/v1/{tenant}/webhooks/stripe", good=202, content=body, headers=headers
            )
            if status == httpx.codes.ACCEPTED:
                self.accepted[tenant].append(body)
                self._told.append((tenant, payment))
            else:
                await asyncio.sleep(RETRY_AFTER_S)
                self._waiting.append((tenant, payment, body))

    async def _ask(self, pace: "_Pace") -> None:
        while True:
            await pace.turn()
            tenant, payment = self._rng.choice(self._told) if self._told else (TENANTS[0], "pi_unknown")
            await self._timed(
                "question",
                f"/v1/{tenant}/ask",
                good=200,
                json={"question": f"Where is my refund for {payment}?"},
                # Over a connection of its own, as a customer's: one that is kept would not notice that none is taken.
                headers={"Authorization": f"Bearer {api_key(tenant)}", "Connection": "close"},
            )

    async def _timed(self, what: str, path: str, *, good: int, **options: object) -> int:
        loop = asyncio.get_running_loop()
        at_s = loop.time()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = (await self._client.post(path, **options)).status_code  # type: ignore[arg-type]  # as they are
        except (httpx.HTTPError, TimeoutError):
            status = 0
        took_s = loop.time() - at_s
        is_good = status == good and took_s <= self._workload.slow_s
        self.done.append(Done(at_s=at_s, took_s=took_s, what=what, status=status, is_good=is_good))
        return status


class _Pace:
    """Lets so many through in a second, whoever comes; what could not be begun in time is not caught up."""

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1.0 / per_s
        self._next_s = 0.0

    async def turn(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._next_s = max(self._next_s + self._interval_s, now_s)
        await asyncio.sleep(self._next_s - now_s)


def bins(done: list[Done], from_s: float, to_s: float) -> dict[int, tuple[int, int]]:
    """Half-second stretches from `from_s` on: number -> (well done, all)."""
    counted: dict[int, tuple[int, int]] = {}
    for each in done:
        if from_s <= each.at_s <= to_s:
            number = int((each.at_s - from_s) / BIN_S)
            good, total = counted.get(number, (0, 0))
            counted[number] = (good + each.is_good, total + 1)
    return counted


def _webhooks(payments: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Tenant, payment and body, of all tenants in turn, each in its disorder."""
    streams = [
        [
            (tenant, each.event.payment_id, each.event.body)
            for each in deliveries(_traffic(payments, seed, tenant), seed=seed)
        ]
        for tenant in TENANTS
    ]
    for number in range(max(map(len, streams))):
        yield from (stream[number] for stream in streams if number < len(stream))


def _traffic(payments: int, seed: int, tenant: str) -> Traffic:
    return generate(
        seed=seed * len(TENANTS) + TENANTS.index(tenant),
        payments=max(payments // len(TENANTS), 1),
        start=datetime.now(UTC) - STARTED_BEFORE,
    )
