"""A provider's account in memory, the same for every contender of a benchmark: none pays for HTTP or for rendering.

The saga is the one of a payment that is not confirmed in time: the provider is read, which fails the first time; the
payment is still open, so it is canceled; and the saga is settled.
"""

from datetime import timedelta

from domain.effects import Done, Effect, Failed
from domain.fact import Fact

AWAY = Failed(retryable=True, reason="http.503", is_account_at_fault=False)


class Account:
    """Payments that are open until they are canceled; the first reading of each fails.

    `is_account_at_fault` is false of those failures: the subject is the saga, not the circuit breaker that would leave
    an account alone of which every second call fails.
    """

    def __init__(self) -> None:
        self.canceled: set[str] = set()
        self.calls = 0
        self._met: set[str] = set()

    def read(self, payment_id: str) -> str | None:
        """The payment's status, `None` if the provider is away."""
        self.calls += 1
        if payment_id not in self._met:
            self._met.add(payment_id)
            return None
        return "canceled" if payment_id in self.canceled else "pending"

    def cancel(self, payment_id: str) -> str:
        """End the payment; its status."""
        self.calls += 1
        self.canceled.add(payment_id)
        return "canceled"

    async def perform(self, effect: Effect) -> Done | Failed:
        """The same as a port of effects (`domain.effects.Port`)."""
        if effect.kind == "cancel":
            status = self.cancel(effect.payment_id)
        elif (read := self.read(effect.payment_id)) is None:
            return AWAY
        else:
            status = read
        return Done(facts=(_fact(effect, status),))


def _fact(effect: Effect, status: str) -> Fact:
    # What is read is as of just before the reading, as the ports of real providers have it.
    before = timedelta(seconds=1 if effect.kind == "pull" else 0)
    return Fact(
        fact_id=f"stripe:pull:{effect.payment_id}:{status}",
        provider="stripe",
        payment_id=effect.payment_id,
        object="intent",
        status=status,
        occurred_at=effect.due_at - before,
        source="pull",
        amount_minor=effect.amount_minor or 4_900,
        currency=effect.currency,
    )
