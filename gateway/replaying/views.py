"""The projections of a past, built from its history by the code that builds the node's own.

Nothing is decided here and nothing is done in the world: the outbox shows what was outstanding, and nobody takes it.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from actors.index import PAYMENTS
from domain.ids import stream_id
from domain.index_generation import IndexDecider, IndexEvent
from gateway.replaying.history import History, Show, unsafely, unseen
from gateway.replaying.processes import Run, Task, Tell, run_here
from projections import answer_ledger, payment_view
from projections.answer_ledger import AnswerLedger
from projections.feed import Feed
from projections.outbox import Outbox
from projections.payment_parts import Part, PartFeed, absorb
from projections.payment_view import PaymentStore
from projections.projector import Projector, TenantStore
from projections.store import Store

# A payment is folded once for each batch that tells of it, and its facts lie close together in the log.
BATCH_MAX = 20_000
# The one index shard of a past, named as `actors.index_shard` names those of a node.
INDEX_NAME = "0of1"
TENANTS = "tenants"


def build_views(
    directory: Path, position: int, *, processes: int = 1, run: Run = run_here, show: Show = unseen
) -> None:
    """Build the payments views, the answer ledger and the outbox of the history in `directory`, up to `position`.

    The payments are shared among the processes, and made one in the end.
    """
    parts = [Part(number=number, count=processes) for number in range(processes)]
    tasks: list[Task] = [
        *(_Payments(directory=str(directory), position=position, part=part) for part in parts),
        _Answers(directory=str(directory), position=position),
    ]
    run(tasks, processes, lambda done: show("building", done, position * len(tasks)))
    for part in parts[1:]:
        show("joining", part.number, processes)
        _join(directory, part, position)
    shutil.rmtree(directory / "parts", ignore_errors=True)
    checkpoint = Store(directory / "projectors" / f"{PAYMENTS}-{INDEX_NAME}.sqlite", "")
    with closing(checkpoint), checkpoint.writing(position):
        """The view is that far: whoever opens it goes on from there."""


def payments_of(directory: Path, feed: Feed, tenant: str) -> Path:
    """Where the payments of a tenant are: in its active generation, the first if it had none yet."""
    decider = IndexDecider()
    state = decider.initial()
    for entry in feed.stream(stream_id("index", tenant, "generations")):
        event = entry.envelope().event
        assert isinstance(event, IndexEvent), f"{type(event).__name__} is in the stream of generations"
        state = decider.evolve(state, event)
    return directory / TENANTS / tenant / f"g{state.active or 1}"


class _Payments(msgspec.Struct, frozen=True, kw_only=True):
    """A part of all payments; the first one is where the whole will be."""

    directory: str
    position: int
    part: Part

    def run(self, tell: Tell) -> None:
        directory = Path(self.directory)
        with closing(History(directory)) as history:
            stores: dict[str, PaymentStore] = {}

            def store_of(tenant: str) -> PaymentStore:
                if tenant not in stores:
                    stores[tenant] = PaymentStore(_place(directory, history, self.part, tenant))
                    with stores[tenant].store.reading() as connection:
                        unsafely(connection)
                return stores[tenant]

            _project(PartFeed(history, self.part), payment_view.TOPICS, store_of, self.position, tell)
            for store in stores.values():
                with store.store.writing(self.position):
                    """All that there is up to here is applied."""
                store.close()


def _place(directory: Path, history: History, part: Part, tenant: str) -> Path:
    return directory / "parts" / str(part.number) / tenant if part.number else payments_of(directory, history, tenant)


def _join(directory: Path, part: Part, position: int) -> None:
    with closing(History(directory)) as history:
        for of_tenant in sorted((directory / "parts" / str(part.number)).glob("*")):
            store = PaymentStore(payments_of(directory, history, of_tenant.name))
            absorb(store, of_tenant, position)
            store.close()


class _Answers(msgspec.Struct, frozen=True, kw_only=True):
    """Which answers rely on what, which were found wrong, and what was outstanding."""

    directory: str
    position: int

    def run(self, tell: Tell) -> None:
        directory = Path(self.directory)
        with closing(History(directory)) as history:
            outbox = Outbox(directory / "projectors" / "outbox.sqlite", history)
            while outbox.follow():
                pass
            outbox.close()
            ledger = AnswerLedger(history, directory / TENANTS)
            _project(history, answer_ledger.TOPICS, ledger.store, self.position, tell)
            ledger.close()


def _project(
    feed: Feed, topics: Sequence[str], store_of: Callable[[str], TenantStore], position: int, tell: Tell
) -> None:
    projector = Projector(feed, topics=topics, store_of=store_of, batch_max=BATCH_MAX)
    while projector.position < position:
        before = projector.position
        projector.run_once()
        tell(projector.position)
        if projector.position == before:
            return  # What is left up to the position is of other tenants.
