"""A generation beside the live one, from the log: each of its stores resumes from its own checkpoint.

It never runs ahead of the live generation: what the live one has not applied yet has not been announced, and whoever
takes the new one for it must not find more than is announced.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from projections import knowledge, payment_view
from projections.feed import Feed, LogEntry, Page
from projections.knowledge import KnowledgeStore
from projections.payment_view import PaymentStore
from projections.projector import Projector, TenantStore

# Raised when what is derived from the log changes while the tables stay as they are: another way to cut passages.
CONTENT = 1
# How what is stored is laid out and derived; a generation of another one is replaced by a new one.
LAYOUT = f"{payment_view.LAYOUT}.{knowledge.LAYOUT}.{CONTENT}"

# Smaller than a projector's, so that whoever asks meanwhile waits for less.
BATCH_MAX = 50


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How far each of the two projections of a build may go."""

    payments: int
    documents: int

    @property
    def least(self) -> int:
        """The log position up to which both may go."""
        return min(self.payments, self.documents)


class BoundedFeed:
    """A log that ends at `until()`, whatever it has beyond."""

    def __init__(self, feed: Feed, until: Callable[[], int]) -> None:
        self._feed = feed
        self._until = until

    def head(self) -> int:
        return min(self._feed.head(), self._until())

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        until = self._until()
        if until <= after:
            return Page(entries=[], position=after)
        page = self._feed.read(after, limit=limit, topics=topics)
        within = [entry for entry in page.entries if entry.position <= until]
        return Page(entries=within, position=min(page.position, until))

    def stream(self, stream: str) -> list[LogEntry]:
        until = self._until()
        return [entry for entry in self._feed.stream(stream) if entry.position <= until]


class Backfill:
    """Fills the stores of one tenant's generation from the log.

    Args:
        feed: the log; this build's own connection to it.
        tenant: whose events are applied.
        payments: the generation's payments.
        documents: its documents.
        bounds: how far to go to begin with.
        at_point: called with the name of each point at which a crash matters.
    """

    def __init__(
        self,
        feed: Feed,
        tenant: str,
        *,
        payments: PaymentStore,
        documents: KnowledgeStore,
        bounds: Bounds,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._documents = documents
        self.bounds = bounds
        self.applied = 0
        self.parked = 0

        def projector(store: TenantStore, topics: tuple[str, ...], until: Callable[[], int]) -> Projector:
            stores: Mapping[str, TenantStore] = {tenant: store}
            return Projector(
                BoundedFeed(feed, until),
                topics=topics,
                store_of=stores.get,
                position=store.store.position(),
                batch_max=BATCH_MAX,
                at_point=lambda point: at_point(f"build_{point}"),
            )

        self._projectors = (
            projector(payments, payment_view.TOPICS, lambda: self.bounds.payments),
            projector(documents, knowledge.TOPICS, lambda: self.bounds.documents),
        )

    @property
    def position(self) -> int:
        """The log position up to which both projections are applied."""
        return min(projector.position for projector in self._projectors)

    @property
    def is_behind(self) -> bool:
        """Whether there is something left within the bounds."""
        payments, documents = self._projectors
        return payments.position < self.bounds.payments or documents.position < self.bounds.documents

    def run_once(self) -> bool:
        """Apply a batch of each; returns whether there is something left within the bounds."""
        for projector in self._projectors:
            step = projector.run_once()
            self.applied += step.applied
            self.parked += step.parked
        return self.is_behind

    def catch_up(self, bounds: Bounds) -> None:
        """Apply all that is within the bounds, and wait until the indexes have it. Raises what keeps one from it."""
        self.bounds = bounds
        while self.is_behind:
            self.run_once()
        self._documents.settle()
