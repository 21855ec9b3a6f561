"""Who asks a simulated node: customers, of now and of the past, and again when everything has come to rest."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from domain.errors import RetryableError
from domain.message import Trace
from gateway.asking import AnswerJson, AskRequest
from gateway.changes import DEAF_AFTER_S, LISTEN_S
from gateway.http.problems import ProblemError

if TYPE_CHECKING:
    from simulations.world import World

ATTEMPTS_MAX = 50
_RETRY_S = 0.4
_QUESTIONS = (
    "Where is my refund for {payment}?",
    "What is the status of payment {payment}?",
    "Was I charged twice for {payment}?",
    "What is your refund policy?",
)


class Customers:
    """Ask, now and about the past, and keep what they were told."""

    def __init__(self, world: "World") -> None:
        self._world = world
        # Questions of the present, and of the past with what was said.
        self._asked: dict[tuple[str, str], None] = {}
        self._past: list[tuple[str, AskRequest, object]] = []

    async def run(self) -> None:
        world, choices = self._world, self._world.choices.of("customers")
        asks = []
        for _ in range(world.options.questions):
            await asyncio.sleep(choices.one_of((0.05, 0.0, 0.3, 1.0)))
            asks.append(world.loop.create_task(self._ask()))
        await asyncio.gather(*asks)

    async def _ask(self) -> None:
        world, choices = self._world, self._world.choices.of("customers")
        tenant = choices.one_of(list(world.tenants))
        # Few payments and many questions: the same one is asked before, while and after it changes.
        payments = [*sorted(world.provider.traffic[tenant].truth)[:2], *world.merchants.payments(tenant)]
        payment = choices.one_of(payments)
        text = choices.one_of(_QUESTIONS).format(payment=payment)
        head = world.feed.head()
        is_past = head > 0 and choices.below(4) == 3
        request = AskRequest(
            question=text,
            # A past that nobody has projected yet is waited for.
            known_at=choices.below(head + 1) if is_past else None,
            as_of=world.at() + timedelta(days=1) if is_past else None,
            min_position=head if is_past else 0,
        )
        if not is_past:
            self._asked[tenant, text] = None
        for _ in range(1 + choices.below(3)):
            answer = await self._told(tenant, request)
            if answer is not None and is_past:
                self._past.append((tenant, request, _said(answer)))

    async def _told(self, tenant: str, request: AskRequest, answer_id: str = "") -> AnswerJson | None:
        """The answer, once it has left the gateway; `None` if there was none. With an id it is made anew."""
        world = self._world
        gateway = world.gateway()
        if gateway is None:
            return None
        told: asyncio.Future[AnswerJson | None] = world.loop.create_future()
        process = world.gateway_process()
        world.calls.setdefault(process, []).append(told)  # type: ignore[arg-type]  # buried with the process like any call

        async def answer() -> None:
            try:
                given = await gateway.asker.ask(tenant, request, Trace(correlation_id="asked"), answer_id=answer_id)
            except (ProblemError, RetryableError) as error:
                world.note("no_answer", str(error))
                world.settle(told)
                return
            world.checks.answer_left(tenant, request, given)
            world.note("answer", f"{tenant} {given.position} {given.cached} {given.answer}")
            world.settle(told, result=given)

        world.loop.call_later(0.001, lambda: world.spawn(answer()), context=process.context)
        try:
            return await told
        except RetryableError:
            return None
        finally:
            world.calls[process].remove(told)  # type: ignore[arg-type]  # as above

    async def ask_at_the_end(self) -> None:
        """Ask again: known at a position, nothing changes any more; and what is kept is what would be found anew."""
        # Whoever listens has heard everything by then, or passes the cache by.
        await asyncio.sleep(DEAF_AFTER_S + LISTEN_S)
        present = (self._compare(number, *asked) for number, asked in enumerate(self._asked))
        await asyncio.gather(*present, *(self._ask_the_past_again(*asked) for asked in self._past))

    async def _compare(self, number: int, tenant: str, text: str) -> None:
        kept = await self._insist(tenant, AskRequest(question=text))
        if kept is None:
            self._world.checks.violated("liveness", f"{text} is not answered at the end")
        elif kept.cached:
            fresh = await self._insist(tenant, AskRequest(question=text), answer_id=f"anew-{number}")
            if fresh is None or _said_with_evidence(kept) != _said_with_evidence(fresh):
                self._world.checks.violated("cache", f"{tenant}: {text} is answered by {kept}, and anew by {fresh}")

    async def _ask_the_past_again(self, tenant: str, request: AskRequest, said: object) -> None:
        answer = await self._insist(tenant, request)
        if answer is None or _said(answer) != said:
            self._world.checks.violated(
                "known_at", f"{request.question} known at {request.known_at} was {said}, is {answer and _said(answer)}"
            )

    async def _insist(self, tenant: str, request: AskRequest, answer_id: str = "") -> AnswerJson | None:
        for number in range(ATTEMPTS_MAX):
            answer = await self._told(tenant, request, answer_id and f"{answer_id}-{number}")
            if answer is not None:
                return answer
            await asyncio.sleep(_RETRY_S)
        return None


def _said(answer: AnswerJson) -> object:
    return [answer.answer, *(msgspec.to_builtins(payment) for payment in answer.payments)]


def _said_with_evidence(answer: AnswerJson) -> object:
    """What does not depend on the moment of asking."""
    payments = [{**msgspec.to_builtins(payment), "as_of": ""} for payment in answer.payments]
    return answer.answer, payments, answer.citations
