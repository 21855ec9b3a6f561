"""The prober: makes payments up, sends them in as a provider does, asks about them, and knows what the answer must be.

Its tenant has a directory of its own like every other, and credentials that are made up with every start. It goes
through the node's own HTTP port: what it measures is what a customer gets.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal

import httpx
import msgspec
import structlog
from prometheus_client import Counter, Histogram

from actors.payment_shard import now
from actors.tasks import end
from domain.settings import NodeSettings
from domain.watch_settings import ProberSettings
from gateway.canary import SOURCE, Story, Truth, signed, story

Outcome = Literal["right", "wrong", "abstained", "unanswered"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "abstained", "unanswered")
# Payments of this start that are asked about again: what was right must stay it.
REMEMBERED_MAX = 100
LOOK_FIRST_S = 0.02
LOOK_LAST_S = 0.5

PROBES = Counter("recount_probes_total", "Canary questions by what their answers were worth", ["outcome"])
ANSWER_SECONDS = Histogram(
    "recount_probe_answer_seconds",
    "Time to answer a canary question",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
VISIBLE_SECONDS = Histogram(
    "recount_probe_visible_seconds",
    "From a canary webhook that was accepted to all of it being visible",
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

log = structlog.get_logger("prober")


class _Answer(msgspec.Struct, frozen=True):
    abstained: bool
    payments: list[dict[str, Any]]
    citations: list[dict[str, Any]]


def verdict(truth: Truth, answer: _Answer) -> Outcome:
    """What an answer is worth. It is right if it says what is true of this payment, and cites a fact."""
    if answer.abstained:
        return "abstained"
    said = {payment.get("payment_id"): payment for payment in answer.payments}
    is_right = truth.payment_id in said and _says(said[truth.payment_id], truth)
    has_evidence = any(citation.get("kind") == "fact" for citation in answer.citations)
    return "right" if is_right and has_evidence else "wrong"


def _says(payment: dict[str, Any], truth: Truth) -> bool:
    try:
        return msgspec.convert(payment, Truth) == truth
    except msgspec.ValidationError:
        return False


class Prober:
    """Probes for as long as it runs.

    Args:
        client: speaks to the node, with the canary tenant's credential.
        secret: with which the canary's webhooks are signed.
        settings: how often, how long.
        clock: the time.
        clock_s: a monotonic clock.
        new_name: makes names that no payment had before.
        choose: which of the payments that were told before to ask about again.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        secret: str,
        settings: ProberSettings,
        clock: Callable[[], datetime],
        clock_s: Callable[[], float],
        new_name: Callable[[], str],
        choose: Callable[[Sequence[Story]], Story] = secrets.choice,
    ) -> None:
        self._choose = choose
        self._client = client
        self._secret = secret
        self._settings = settings
        self._clock = clock
        self._clock_s = clock_s
        self._new_name = new_name
        self._told: deque[Story] = deque(maxlen=REMEMBERED_MAX)
        self._count = 0
        for outcome in OUTCOMES:
            PROBES.labels(outcome)

    async def run(self) -> None:
        """Probe again and again."""
        while True:
            try:
                await self.probe()
            except Exception:
                # Nobody else would say that there are no probes any more.
                log.exception("probe_crashed")
            await asyncio.sleep(self._settings.interval_s)

    async def probe(self) -> list[Outcome]:
        """Ask about a payment that was told before, tell of a new one and ask about that; how the answers were."""
        outcomes = []
        self._count += 1
        if self._told:
            # Every other question is worded anew, so that the cache does not hide what lies behind it.
            more = "" if self._count % 2 else f" ({self._new_name()})"
            outcomes.append(await self._ask(self._choose(self._told), more))
        new = story(self._count, self._new_name(), self._clock())
        if await self._tell(new):
            await self._await_visible(new)
            outcomes.append(await self._ask(new, ""))
            self._told.append(new)
        return outcomes

    async def _tell(self, told: Story) -> bool:
        """Send the webhooks; whether all were accepted. One that was not says nothing about answers."""
        path = f"/v1/{self._settings.tenant}/webhooks/{SOURCE}"
        for webhook in told.webhooks:
            headers = signed(webhook, self._secret, self._clock())
            try:
                response = await self._client.post(path, content=webhook, headers=headers)
            except httpx.HTTPError as error:
                log.warning("probe_not_accepted", payment_id=told.truth.payment_id, reason=type(error).__name__)
                return False
            if not response.is_success:
                log.warning("probe_not_accepted", payment_id=told.truth.payment_id, reason=str(response.status_code))
                return False
        return True

    async def _await_visible(self, told: Story) -> None:
        """Wait until all that was told is visible, or the deadline is over; then it is asked about in any case.

        Not by asking: an answer out of half of it would be taken back later, as it should be.
        """
        path = f"/v1/{self._settings.tenant}/payments/{told.truth.payment_id}"
        began_s, pause_s = self._clock_s(), LOOK_FIRST_S
        while True:
            try:
                response = await self._client.get(path)
                is_visible = response.is_success and _says(msgspec.json.decode(response.content), told.truth)
            except (httpx.HTTPError, msgspec.DecodeError):
                is_visible = False
            took_s = self._clock_s() - began_s
            if is_visible or took_s >= self._settings.deadline_s:
                VISIBLE_SECONDS.observe(took_s)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LOOK_LAST_S)

    async def _ask(self, about: Story, more: str) -> Outcome:
        body = {"question": about.question + more, "payment_id": about.truth.payment_id}
        began_s = self._clock_s()
        answer = None
        try:
            response = await self._client.post(f"/v1/{self._settings.tenant}/ask", json=body)
            reason = str(response.status_code)
            if response.is_success:
                answer = msgspec.json.decode(response.content, type=_Answer)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            reason = type(error).__name__
        outcome: Outcome = "unanswered" if answer is None else verdict(about.truth, answer)
        ANSWER_SECONDS.observe(self._clock_s() - began_s)
        PROBES.labels(outcome).inc()
        if outcome != "right":
            log.warning(
                "probe_failed",
                outcome=outcome,
                payment_id=about.truth.payment_id,
                expected=about.truth.status,
                refunds=[refund.status for refund in about.truth.refunds],
                reason=reason,
            )
        return outcome


@asynccontextmanager
async def probing(settings: NodeSettings, url: str) -> AsyncIterator[None]:
    """Probe the node at its own URL while the block runs, if the settings say so. They have the canary tenant."""
    if not settings.prober.interval_s:
        yield
        return
    canary = settings.tenants[settings.prober.tenant]
    client = httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {canary.api_keys[0]}"},
        timeout=settings.prober.deadline_s,
        trust_env=False,
    )
    prober = Prober(
        client,
        secret=canary.sources[SOURCE].secrets[0],
        settings=settings.prober,
        clock=now,
        clock_s=time.monotonic,
        new_name=lambda: f"canary{secrets.token_hex(8)}",
    )
    task = asyncio.create_task(prober.run())
    try:
        yield
    finally:
        await end([task])
        await client.aclose()
