"""The proof by removal: each mechanism that keeps an invariant, and a node without it.

Every removal is made in the simulation's wiring alone. The simulator must find a violation without each of them; how
many seeds that took is published in docs/simulation.md.
"""

import itertools
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

import projections.store
from actors.journal import Entry, Journal
from actors.shard import Kind
from domain.effects import Done, Effect, Failed, Port
from domain.fact import Fact
from domain.lifecycle import Lifecycle
from domain.payment_saga import FactRecorded, PaymentDecider, PaymentLinked
from gateway.answer_cache import AnswerCache
from gateway.intake import Intake, Item, Settled
from projections import payment_view
from projections.answer_ledger import AnswerStore
from projections.feed import Feed, LogEntry
from projections.outbox import Claimed, Outbox, Room
from projections.payment_view import PaymentStore
from simulations.faults import Options, is_acting
from simulations.world_effects import OUTBOX_FILE
from simulations.world_wiring import Wiring, replaced


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A mechanism, what goes wrong without it, and the wiring of a node that lacks it.

    `is_in` says in which worlds there is such a mechanism at all: no other misses it.
    """

    mechanism: str
    without: str
    wiring: Wiring
    is_in: Callable[[Options], bool] = lambda options: True


def _without_fencing(recorder: type[Any]) -> type[Any]:
    class Unfenced(recorder):  # type: ignore[misc]  # a class that is given
        def _check_leases(self, cursor: object, leases: Mapping[str, int]) -> None:
            """Whoever once held a lease may write."""

    return Unfenced


class _ForgetfulDecider(PaymentDecider):
    """Records whatever comes, as if its id had not been seen."""

    def decide(self, state: Any, command: Any, at: Any) -> Sequence[Any]:  # noqa: ANN401 - as the decider's
        fact = getattr(command, "fact", None)
        return [FactRecorded(fact=fact)] if isinstance(fact, Fact) else super().decide(state, command, at)


def _without_fact_ids(kinds: Mapping[str, Kind]) -> Mapping[str, Kind]:
    return {**kinds, "payment": Kind(decider=_ForgetfulDecider(), state=kinds["payment"].state)}


class _Blind(Journal):
    """Takes the store's word for a commit that it could not confirm."""

    def _committed(self, entries: Sequence[Entry]) -> list[int] | None:  # noqa: ARG002 - it looks at nothing
        return None


class _Hasty(Intake):
    """Acknowledges what it has read, and settles it then."""

    async def take_in(self, items: Sequence[Item], acknowledge: Callable[[], Awaitable[None]]) -> Settled:
        await acknowledge()
        return await self.settle(items)


class _Credulous(AnswerCache[Any]):
    """Keeps an answer although what it rests on has changed while it was composed."""

    def store(self, key: Any, entry: Any, dependencies: Any) -> bool:  # noqa: ANN401 - as the cache's
        return super().store(key, entry, dict.fromkeys(dependencies, 2**62))


def _credulous(asker: Any) -> None:  # noqa: ANN401 - an Asker, whose cache is replaced
    asker.cache = _Credulous(50_000)


def _without_rank() -> Any:  # noqa: ANN401 - a context manager
    """Inside one second any order of statuses is as good as another."""
    return replaced(Lifecycle, "rank", lambda self, status: 0)


def _without_tracking() -> Any:  # noqa: ANN401 - a context manager
    """A store does not keep how far it is; but for the outbox, which would begin again for ever."""
    position = projections.store.Store.position
    return replaced(
        projections.store.Store,
        "position",
        lambda self: position(self) if self._path.name == OUTBOX_FILE else 0,
    )


def _without_links() -> Any:  # noqa: ANN401 - a context manager
    """Links are not applied: what came under a reference stays there."""
    apply = PaymentStore.apply

    def apply_facts(self: PaymentStore, entries: Sequence[LogEntry], position: int) -> set[str]:
        return apply(self, [each for each in entries if each.topic != payment_view.TOPICS[1]], position)

    assert payment_view.TOPICS[1] == PaymentLinked.__struct_config__.tag
    return replaced(PaymentStore, "apply", apply_facts)


def _without_owner() -> Any:  # noqa: ANN401 - a context manager
    """Whoever has a store open may write to it."""
    return replaced(projections.store.Store, "_check_owner", lambda self, current: None)


class _Keyless:
    """Performs each attempt under a key of its own."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._attempts = itertools.count()

    async def perform(self, effect: Effect) -> Done | Failed:
        key = f"{effect.key}-{next(self._attempts)}"
        return await self._port.perform(msgspec.structs.replace(effect, key=key))


class _Leaseless(Outbox):
    """Hands out what is due although somebody has it in hand."""

    def claim(self, *, owner: str, now: datetime, lease_s: float, limit: int, room: Room) -> list[Claimed]:  # noqa: ARG002 - as the outbox's
        room = msgspec.structs.replace(room, held=frozenset())
        return super().claim(owner=owner, now=now, lease_s=0.0, limit=limit, room=room)


class _Timerless(Outbox):
    """Has deadlines in memory alone: they are gone when it is opened again."""

    def __init__(self, path: Path, feed: Feed) -> None:
        super().__init__(path, feed)
        with self._store.writing(0) as connection:
            connection.execute("DELETE FROM deadlines")


@contextmanager
def _without_overtaken() -> Any:  # noqa: ANN401 - a context manager
    """An answer is judged by what comes after it was entered, not by what it was behind of."""
    overtaken, relying_on = AnswerStore._overtaken, AnswerStore._relying_on  # noqa: SLF001 - what is taken out

    def relying_on_changed(self: AnswerStore, references: Collection[str]) -> set[str]:
        with replaced(AnswerStore, "_overtaken", overtaken):
            return relying_on(self, references)

    with (
        replaced(AnswerStore, "_overtaken", lambda self, answer_ids: set()),
        replaced(AnswerStore, "_relying_on", relying_on_changed),
    ):
        yield


REMOVALS: tuple[Removal, ...] = (
    Removal(
        mechanism="fencing",
        without="a shard that was replaced goes on writing",
        wiring=Wiring(recorder=_without_fencing),
    ),
    Removal(
        mechanism="fact ids",
        without="a webhook that comes again is recorded again",
        wiring=Wiring(kinds=_without_fact_ids),
    ),
    Removal(
        mechanism="tie rank",
        without="of two statuses in one second the wrong one wins",
        wiring=Wiring(patched=_without_rank),
    ),
    Removal(
        mechanism="tracking",
        without="events are applied again after a restart",
        wiring=Wiring(patched=_without_tracking),
    ),
    Removal(
        mechanism="acknowledge after commit",
        without="a webhook whose intake crashes is lost",
        wiring=Wiring(intake=_Hasty),
    ),
    Removal(
        mechanism="read-back after an unknown commit",
        without="what was written is reported as failed",
        wiring=Wiring(journal=_Blind),
    ),
    Removal(
        mechanism="cache invalidation order",
        without="an answer from before a change is kept after it",
        wiring=Wiring(rewire_gateway=_credulous),
    ),
    Removal(
        mechanism="orphan linking",
        without="a refund that came under its charge is not the payment's",
        wiring=Wiring(patched=_without_links),
    ),
    Removal(
        mechanism="store ownership",
        without="an index that was replaced applies events behind its successor's back",
        wiring=Wiring(patched=_without_owner),
    ),
    Removal(
        mechanism="idempotency keys",
        without="what was done and not answered is done again",
        wiring=Wiring(port=_Keyless),
        is_in=is_acting,
    ),
    Removal(
        mechanism="effect leases",
        without="an effect is begun while it is under way",
        wiring=Wiring(outbox=_Leaseless),
        is_in=is_acting,
    ),
    Removal(
        mechanism="durable timers",
        without="a payment whose deadline passes after a restart is forgotten",
        wiring=Wiring(outbox=_Timerless),
        is_in=is_acting,
    ),
    Removal(
        mechanism="overtaken answers",
        without="an answer that is behind when it is entered is not corrected",
        wiring=Wiring(patched=_without_overtaken),
        is_in=lambda options: options.is_correcting,
    ),
)
