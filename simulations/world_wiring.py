"""Which mechanisms a simulated node has. Production has them all; the simulator takes them out one at a time.

A removal is proof: if the simulator finds no violation without a mechanism, it does not guard it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from actors.journal import Journal
from actors.recorder import LogRecorder
from actors.shard import Kind
from domain.effects import Port
from gateway.asking import Asker
from gateway.corrections import Corrector
from gateway.intake import Intake
from projections.feed import Feed
from projections.outbox import Outbox


@contextmanager
def replaced(place: Any, name: str, value: object) -> Iterator[None]:  # noqa: ANN401 - a module or a class
    """Another value under a name for a while."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def _same_kinds(kinds: Mapping[str, Kind]) -> Mapping[str, Kind]:
    return kinds


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """How the parts are put together.

    Args:
        recorder: makes the class of the log's recorder from production's (with faults).
        journal: makes a journal.
        intake: the intake's class.
        kinds: the aggregates' rules from production's.
        rewire_gateway: changes a new gateway.
        corrector: the corrector's class.
        outbox: opens the outbox.
        port: makes the port that performs effects from production's.
        patched: changes of production's code for as long as a run lasts.
    """

    recorder: Callable[[type[Any]], type[Any]] = lambda recorder: recorder
    journal: Callable[[LogRecorder], Journal] = Journal
    intake: Callable[..., Intake] = Intake
    kinds: Callable[[Mapping[str, Kind]], Mapping[str, Kind]] = _same_kinds
    rewire_gateway: Callable[[Asker], None] = lambda asker: None
    corrector: type[Corrector] = Corrector
    outbox: Callable[[Path, Feed], Outbox] = Outbox
    port: Callable[[Port], Port] = lambda port: port
    patched: Callable[[], Any] = _as_it_is


PRODUCTION = Wiring()
