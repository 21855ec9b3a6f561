"""A simulated payment provider: one Stripe account and one Zalo account, with their time, their books and their faults.

It answers calls (`answer`), whoever carries them: a real HTTP server or a test in the same process
(`simulations.provider_http`). docs/provider-simulator.md shows it used by hand.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Annotated

import msgspec

from domain.errors import TerminalError
from simulations.provider_api import Call, Made, StripeApi
from simulations.provider_books import Books, RefusedError
from simulations.provider_clock import VirtualClock
from simulations.provider_idempotency import Reply
from simulations.provider_ledger import Movement
from simulations.provider_scenario import ExactCallFault, ExactEventFault, Fates, Opened, Scenario
from simulations.provider_webhooks import Sent, Webhooks
from simulations.provider_zalo import Said, ZaloApi
from simulations.stripe_life import Truth


class BooksJson(msgspec.Struct, frozen=True, kw_only=True):
    """The truth: every payment, every movement of money, and what must not be."""

    now: datetime
    payments: dict[str, Truth]
    movements: list[Movement]
    violations: list[str]


class TrafficJson(msgspec.Struct, frozen=True, kw_only=True):
    """What went in and out: calls made, webhooks sent, how many wait to be sent now, and those that never will be."""

    calls: list[Made]
    webhooks: list[Sent]
    due: int
    lost: list[str]
    messages: list[Said]


class _Advance(msgspec.Struct, forbid_unknown_fields=True):
    advance_s: Annotated[float, msgspec.Meta(ge=0)]


class _Steps(msgspec.Struct, forbid_unknown_fields=True):
    steps: list[str]


class _Faults(msgspec.Struct, forbid_unknown_fields=True):
    calls: list[ExactCallFault] = []
    events: list[ExactEventFault] = []


class _Heard(msgspec.Struct, forbid_unknown_fields=True):
    user_id: str
    text: str


class Provider:
    """One simulated provider.

    Args:
        scenario: what it has and what goes wrong.
        now: the clock below the virtual one.
        pause: waits that many seconds: the latency of calls.
        fates: decides what goes wrong; by default the scenario's shares and exact faults.

    Raises:
        TerminalError: a payment of the scenario cannot be.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        fates: Fates | None = None,
    ) -> None:
        self.scenario = scenario
        self.clock = VirtualClock(now, start=scenario.start, is_frozen=scenario.is_frozen)
        self.fates = fates or Fates(scenario)
        rng = random.Random(scenario.seed + 1)
        self.webhooks = Webhooks(scenario, self.fates, self.clock, rng)
        self.books = Books(self.clock, self.fates, scenario.refunds, rng, self.webhooks.announce)
        self.stripe = StripeApi(self.books, scenario, self.fates, self.clock, rng, pause, self.webhooks.is_delivered)
        self.zalo = ZaloApi(scenario.chat_token, self.fates, self.clock)
        for opened in scenario.payments:
            try:
                self.books.open(opened)
            except RefusedError as refused:
                raise TerminalError(f"scenario: payment {opened.id or opened.amount}: {refused.message}") from refused

    async def answer(self, call: Call) -> Reply:
        """The answer to any call, with the provider's time as its `Date` (RFC 9110, 6.6.1)."""
        self.clock.catch_up()
        if call.path.startswith("/_control/"):
            reply = self._controlled(call)
        elif "/oa/" in call.path:
            reply = self.zalo.answer(call)
        else:
            reply = await self.stripe.answer(call)
        dated = {"Content-Type": "application/json", "Date": format_datetime(self.clock().astimezone(UTC), usegmt=True)}
        return msgspec.structs.replace(reply, headers={**dated, **reply.headers})

    def advance(self, by: timedelta) -> None:
        """Let time pass at once; what falls due on the way happens at its own time."""
        self.clock.advance(by)

    def truth(self) -> BooksJson:
        return BooksJson(
            now=self.clock(),
            payments=self.books.truth(),
            movements=self.books.ledger.movements,
            violations=self.books.violations(),
        )

    def traffic(self) -> TrafficJson:
        return TrafficJson(
            calls=self.stripe.made,
            webhooks=self.webhooks.sent,
            due=len(self.webhooks.due),
            lost=self.webhooks.lost,
            messages=self.zalo.said,
        )

    def _controlled(self, call: Call) -> Reply:
        """The routes that no provider has, for tests and for whoever tries it by hand."""
        try:
            return Reply(status=200, body=msgspec.json.encode(self._control(call)))
        except RefusedError as refused:
            return Reply(status=refused.status, body=msgspec.json.encode({"error": refused.message}))
        except msgspec.DecodeError as error:
            return Reply(status=400, body=msgspec.json.encode({"error": str(error)}))

    def _control(self, call: Call) -> object:
        match call.method, call.path.removeprefix("/_control/").split("/"):
            case "GET", ["books"]:
                return self.truth()
            case "GET", ["traffic"]:
                return self.traffic()
            case "GET", ["clock"]:
                return {"now": self.clock()}
            case "POST", ["clock"]:
                self.advance(timedelta(seconds=msgspec.json.decode(call.body, type=_Advance).advance_s))
                return {"now": self.clock()}
            case "POST", ["payments"]:
                return self.books.open(msgspec.json.decode(call.body, type=Opened)).truth()
            case "POST", ["payments", payment_id, "steps"]:
                for step in msgspec.json.decode(call.body, type=_Steps).steps:
                    self.books.step(payment_id, step)
                return self.books.lives[payment_id].truth()
            case "POST", ["refunds", refund_id, "fail"]:
                if self.books.refund_of(refund_id) is None:
                    raise RefusedError(404, f"there is no refund {refund_id}")
                self.books.fail_refund(refund_id)
                return self.truth()
            case "POST", ["faults"]:
                faults = msgspec.json.decode(call.body, type=_Faults)
                self.fates.expect(*faults.calls, *faults.events)
                return faults
            case "POST", ["messages"]:
                heard = msgspec.json.decode(call.body, type=_Heard)
                return self.zalo.hear(heard.user_id, heard.text)
        raise RefusedError(404, f"there is no control {call.method} {call.path}")
