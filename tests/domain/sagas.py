"""A started payment and what may happen to it, in few words."""

from datetime import datetime
from typing import Any

from domain.effects import Effect, EffectRequested, RecordEffectOutcome
from domain.fact import Fact
from domain.payment_policy import Policy
from domain.payment_saga import (
    Payment,
    PaymentCommand,
    PaymentDecider,
    PaymentEvent,
    ResolveEscalation,
    StartPayment,
    effects,
)
from tests.domain.examples import at, fact

DEADLINE = at(600)


class Story:
    """A payment's saga as it goes on: each command is decided and evolved, and what it led to is returned."""

    def __init__(self, policy: Policy | None = None, *, is_started: bool = True) -> None:
        self.decider = PaymentDecider()
        self.state: Payment = self.decider.initial()
        self.events: list[PaymentEvent] = []
        self.seconds = 0.0
        if is_started:
            self.tell(
                StartPayment(
                    payment_id="pi_1",
                    amount_minor=4900,
                    currency="EUR",
                    deadline_at=DEADLINE,
                    provider="stripe",
                    policy=policy or Policy(),
                )
            )

    def tell(self, command: PaymentCommand) -> list[PaymentEvent]:
        """What the command leads to, by the clock of the story; said twice, it leads to nothing more."""
        events = list(self.decider.decide(self.state, command, at(self.seconds)))
        for event in events:
            self.state = self.decider.evolve(self.state, event)
        again = self.decider.decide(self.state, command, at(self.seconds))
        assert list(again) == [], f"{command} is not idempotent"
        self.events += events
        return events

    @property
    def steps(self) -> list[str]:
        """The names of all effects that were requested, in order."""
        return [event.effect.step for event in self.events if isinstance(event, EffectRequested)]

    @property
    def outstanding(self) -> Effect:
        """The one effect that is outstanding."""
        [only] = effects(self.state)
        return only

    def done(self, *facts: Fact) -> list[PaymentEvent]:
        """The outstanding effect is done, and the provider said this."""
        return self.tell(RecordEffectOutcome(step=self.outstanding.step, outcome="done", facts=facts))

    def gave_up(self, reason: str = "it answers 402") -> list[PaymentEvent]:
        return self.tell(RecordEffectOutcome(step=self.outstanding.step, outcome="gave_up", reason=reason))

    def resolve(self, number: int, resolution: Any) -> list[PaymentEvent]:
        return self.tell(ResolveEscalation(number=number, resolution=resolution))


def effect(step: str, due_at: datetime, **fields: Any) -> Effect:
    """An effect that the saga of `pi_1` requests."""
    given = {"payment_id": "pi_1", "provider": "stripe", "currency": "EUR", **fields}
    kind: Any = step.partition("-")[0]
    return Effect(step=step, kind=kind, due_at=due_at, **given)


def reading(status: str, seconds: float, object_key: str = "intent", **fields: Any) -> Fact:
    """What the provider says when it is asked."""
    return fact(f"pull:{object_key}:{status}:{seconds}", object_key, status, seconds, source="pull", **fields)


def captured(seconds: float, amount_minor: int = 4900) -> Fact:
    """The provider's reading of a captured payment."""
    return reading("captured", seconds, amount_minor=amount_minor, captured_minor=amount_minor)


def kinds(events: list[PaymentEvent]) -> list[str]:
    """The kinds of the effects that were requested, in order."""
    return [event.effect.kind for event in events if isinstance(event, EffectRequested)]
