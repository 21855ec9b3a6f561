"""Circuit breakers: an account that keeps failing is left alone for a while, then tried with one effect.

The pattern is Nygard's ("Release It!", 2nd edition, chapter 5): closed, open, half-open.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from domain.settings import EffectSettings

# A tenant, and the name of one of its accounts.
Account = tuple[str, str]
State = Literal["closed", "open", "half_open"]


class _Circuit(msgspec.Struct, kw_only=True):
    failures: int = 0
    opened_at_s: float | None = None
    is_probing: bool = False


class Breakers:
    """One circuit per account. Not durable: a process that starts anew finds out anew.

    Args:
        settings: after how many failures a circuit opens, and for how long.
        clock_s: a clock that never goes back, in seconds.
        on_change: told when a circuit opens or closes.
    """

    def __init__(
        self,
        settings: EffectSettings,
        *,
        clock_s: Callable[[], float],
        on_change: Callable[[Account, State], None] = lambda account, state: None,
    ) -> None:
        self._settings = settings
        self._clock_s = clock_s
        self._on_change = on_change
        self._circuits: dict[Account, _Circuit] = {}

    def state(self, account: Account) -> State:
        circuit = self._circuits.get(account)
        if circuit is None or circuit.opened_at_s is None:
            return "closed"
        is_over = self._clock_s() - circuit.opened_at_s >= self._settings.breaker_open_s
        return "half_open" if is_over else "open"

    def limits(self) -> dict[Account, int]:
        """How many effects may be begun now, of every account that is limited: none while open, one while half-open."""
        return {
            account: int(self.state(account) == "half_open" and not circuit.is_probing)
            for account, circuit in self._circuits.items()
            if circuit.opened_at_s is not None
        }

    def begin(self, account: Account) -> None:
        """An effect is begun: the probe, if the circuit is half-open."""
        if self.state(account) == "half_open":
            self._circuits[account].is_probing = True

    def succeeded(self, account: Account) -> None:
        """The account works: the circuit is closed."""
        circuit = self._circuits.pop(account, None)
        if circuit is not None and circuit.opened_at_s is not None:
            self._on_change(account, "closed")

    def open(self, account: Account) -> None:
        """Leave the account alone for a while, whatever it has done; then it is tried with one effect."""
        self._circuits.setdefault(account, _Circuit()).opened_at_s = self._clock_s()
        self._on_change(account, "open")

    def not_asked(self, account: Account) -> None:
        """What was begun ended without asking the account: nothing is known of it, and another may be its probe."""
        if account in self._circuits:
            self._circuits[account].is_probing = False

    def failed(self, account: Account) -> None:
        """The account failed. An effect that was begun before the circuit opened does not keep it open longer."""
        circuit = self._circuits.setdefault(account, _Circuit())
        circuit.failures += 1
        was_probing, circuit.is_probing = circuit.is_probing, False
        is_to_open = circuit.opened_at_s is None and circuit.failures >= self._settings.breaker_failures
        if was_probing or is_to_open:
            circuit.opened_at_s = self._clock_s()
            self._on_change(account, "open")
