"""What a simulated provider has and what goes wrong: a TOML file (docs/provider-simulator.md), drawn from a seed."""

import random
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from domain.errors import TerminalError

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
CallFault = Literal[
    "timeout_before",
    "timeout_after",
    "error_before",
    "error_after",
    "unavailable",
    "rate_limited",
    "locked",
    "cut_before",
    "cut_after",
    "key_in_use",
]
EventFault = Literal["late", "duplicate", "reordered", "lost", "contradictory"]


class CallShares(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the API's calls that go wrong, each way once at most.

    Args:
        timeout_before: nothing is done, and nothing answered.
        timeout_after: it is done, and nothing answered.
        error_before: 500, and nothing was done; the idempotency key keeps the 500.
        error_after: 500, and it was done; the idempotency key keeps the 500.
        unavailable: 503 from before the API, so that no key keeps it.
        rate_limited: 429 with Retry-After, from before the API as well.
        locked: 409, because something else works on the object.
        cut_before: the connection is cut, and nothing was done.
        cut_after: the connection is cut, and it was done.
        key_in_use: 409, because another call with the same idempotency key is still worked on; `locked` without a key.
    """

    timeout_before: Share = 0.0
    timeout_after: Share = 0.0
    error_before: Share = 0.0
    error_after: Share = 0.0
    unavailable: Share = 0.0
    rate_limited: Share = 0.0
    locked: Share = 0.0
    cut_before: Share = 0.0
    cut_after: Share = 0.0
    key_in_use: Share = 0.0


class EventShares(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the events whose webhooks go wrong; one may be late and come twice.

    Args:
        late: the first attempt is made only after a while, between the two `late_s`.
        duplicate: it is sent again, although it was taken.
        reordered: it is held back until later ones have gone, for `reordered_s` at most.
        lost: no webhook is ever sent; the events API has it.
        contradictory: of a payment that succeeded, a second webhook says in the same second that it was canceled, or
            the other way round. The books and the events API know nothing of it.
    """

    late: Share = 0.0
    late_s: tuple[float, float] = (60.0, 7_200.0)
    duplicate: Share = 0.0
    duplicate_after_s: float = 5.0
    reordered: Share = 0.0
    reordered_s: float = 3.0
    lost: Share = 0.0
    contradictory: Share = 0.0


class RefundFates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of refunds.

    Args:
        pending: the share that is `pending` at first and succeeds after `settled_after_s`.
        fails_later: the share that fails `fails_after_days` after it was made, whatever it said until then
            (https://docs.stripe.com/refunds#failed-refunds).
        reason: why those fail.
    """

    pending: Share = 0.0
    settled_after_s: float = 3_600.0
    fails_later: Share = 0.0
    fails_after_days: float = 30.0
    reason: str = "expired_or_canceled_card"


class Opened(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment, and what has happened to it: steps such as `succeed`, `authorize`, `capture:1900`, `decline`."""

    amount: Annotated[int, msgspec.Meta(gt=0)]
    currency: str = "eur"
    id: str = ""
    customer: str = ""
    method: Literal["card", "sepa_debit"] = "card"
    steps: tuple[str, ...] = ()


class ExactCallFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `nth` call that fits, and the `times - 1` after it, go wrong in this way.

    `call` is the beginning of a call, such as `POST /v1/refunds`; `payment` narrows it to one payment.
    """

    call: str
    fault: CallFault
    payment: str = ""
    nth: int = 1
    times: int = 1


class ExactEventFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `nth` event of a type, and the `times - 1` after it, go wrong in this way; `payment` narrows it to one."""

    event: str
    fault: EventFault
    payment: str = ""
    nth: int = 1
    times: int = 1


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one simulated account.

    Args:
        seed: what is drawn is drawn from it.
        api_key: the key that calls must bring.
        webhook_url: where webhooks go; empty for nowhere.
        webhook_secret: what they are signed with.
        start: the time at the beginning; by default now.
        is_frozen: whether time stands still unless it is advanced.
        latency_s: how long the API works on each call.
        retry_after_s: what a 429 asks for.
        chat_token: the access token of the simulated Zalo account.
        payments: what is there from the beginning.
        call_faults: exact faults; where one fits, the shares are not asked.
        event_faults: the same for events.
    """

    seed: int = 0
    api_key: str = "sk_test_recount"
    webhook_url: str = ""
    webhook_secret: str = "whsec_recount"  # noqa: S105 - of a simulation
    start: datetime | None = None
    is_frozen: bool = False
    latency_s: float = 0.0
    retry_after_s: int = 1
    chat_token: str = "zalo-recount"  # noqa: S105 - of a simulation
    calls: CallShares = CallShares()
    events: EventShares = EventShares()
    refunds: RefundFates = RefundFates()
    payments: tuple[Opened, ...] = ()
    call_faults: tuple[ExactCallFault, ...] = ()
    event_faults: tuple[ExactEventFault, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """The scenario of a file. Raises `TerminalError` that says what is wrong with it."""
    try:
        scenario = msgspec.toml.decode(path.read_bytes(), type=Scenario)
    except OSError as error:
        raise TerminalError(f"scenario {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TerminalError(f"scenario {path}: {error}") from error
    if scenario.start is not None and scenario.start.tzinfo is None:
        raise TerminalError(f"scenario {path}: start {scenario.start.isoformat()} has no time zone; end it with Z")
    return scenario


class Fates:
    """Decides what goes wrong: the exact faults first, then the shares by the seed."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._rng = random.Random(scenario.seed)
        self._call_faults = [*scenario.call_faults]
        self._event_faults = [*scenario.event_faults]
        # What goes wrong with webhooks from now on; a simulation may change it while it runs.
        self.events = scenario.events
        self._fitted: dict[int, int] = {}

    def expect(self, *faults: ExactCallFault | ExactEventFault) -> None:
        """Add exact faults; their counts begin now."""
        for fault in faults:
            if isinstance(fault, ExactCallFault):
                self._call_faults.append(fault)
            else:
                self._event_faults.append(fault)

    def forgive(self) -> None:
        """Take all exact faults back: from now on the shares alone decide."""
        self._call_faults.clear()
        self._event_faults.clear()

    def of_call(self, call: str, payment_id: str) -> CallFault | None:
        """What is to go wrong with a call, such as `POST /v1/refunds`."""
        chosen: CallFault | None = None
        for fault in self._call_faults:
            if call.startswith(fault.call) and fault.payment in {"", payment_id} and self._is_now(fault):
                chosen = fault.fault
        return chosen or self._drawn()

    def _drawn(self) -> CallFault | None:
        left = self._rng.random()
        for fault in get_args(CallFault):
            share: float = getattr(self._scenario.calls, fault)
            if left < share:
                drawn: CallFault = fault
                return drawn
            left -= share
        return None

    def of_event(self, event_type: str, payment_id: str) -> set[EventFault]:
        """What is to go wrong with an event's webhook."""
        shares = self.events
        chosen: set[EventFault] = {
            fault.fault
            for fault in self._event_faults
            if event_type == fault.event and fault.payment in {"", payment_id} and self._is_now(fault)
        }
        if chosen:
            return chosen
        drawn: list[tuple[EventFault, float]] = [
            ("late", shares.late),
            ("duplicate", shares.duplicate),
            ("reordered", shares.reordered),
            ("lost", shares.lost),
            ("contradictory", shares.contradictory),
        ]
        return {fault for fault, share in drawn if self._rng.random() < share}

    def _is_now(self, fault: ExactCallFault | ExactEventFault) -> bool:
        """Count another that fits, and whether it is one of those that go wrong."""
        count = self._fitted.get(id(fault), 0) + 1
        self._fitted[id(fault)] = count
        return fault.nth <= count < fault.nth + fault.times

    def is_pending(self) -> bool:
        """Whether the next refund is pending at first."""
        return self._rng.random() < self._scenario.refunds.pending

    def fails_later(self) -> bool:
        """Whether the next refund fails in the end."""
        return self._rng.random() < self._scenario.refunds.fails_later

    def between(self, least: float, most: float) -> float:
        """A number between two."""
        return self._rng.uniform(least, most)
