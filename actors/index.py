"""What an index shard is made of, without threads: aggregates, projections turn by turn, queries, changes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from actors import generation_requests
from actors.builder import Builder
from actors.changes import AwaitChanges, ChangeLog
from actors.shard import Kind, Shard
from actors.tenants import Part, Tenant, Tenants
from actors.withdrawals import Withdrawals
from domain.codec import decode_submissions, encode_replies
from domain.document import Document, DocumentDecider
from domain.errors import FencedError
from domain.index_generation import Index as Generations
from domain.index_generation import IndexDecider
from projections import knowledge, payment_view
from projections.code_version import code_of
from projections.embedder import TextEmbedder
from projections.feed import Feed, LogEntry
from projections.progress import Progress
from projections.projector import Projector, Step, TenantStore
from projections.rebuild import Bounds
from projections.reranking import reranker_of
from projections.retrieval import AnyFound, AnyQuery, DocumentFound, Gather, Gathered, GetDocument, NotYet

ROLE = "knowledge"
KINDS = {
    "document": Kind(decider=DocumentDecider(), state=Document),
    "index": Kind(decider=IndexDecider(), state=Generations),
}
Projection = Literal["payments", "documents"]
PAYMENTS: Projection = "payments"
DOCUMENTS: Projection = "documents"
PROJECTIONS: tuple[Projection, ...] = (PAYMENTS, DOCUMENTS)
# What the builder announces is told as a projection's change, and belongs to none.
GENERATIONS = "generations"

log = structlog.get_logger("index")

_queries = msgspec.msgpack.Decoder(list[AnyQuery])
_encode = msgspec.msgpack.Encoder().encode


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of a projection did, and whether it reached the log's head."""

    step: Step
    head: int

    @property
    def is_behind(self) -> bool:
        return self.step.position < self.head


class _Projection:
    """One projector with its feed, its checkpoint and the way to its part of a tenant's stores."""

    def __init__(
        self,
        feed: Feed,
        topics: tuple[str, ...],
        progress: Progress,
        tenants: Tenants,
        part: Part,
        on_parked: Callable[[LogEntry, str], None],
        at_point: Callable[[str], None],
    ) -> None:
        self.feed = feed
        self.progress = progress
        self.part = part
        self.applied = 0
        # What lies below was visible before this start: to apply it again, after a loss, makes nothing visible.
        self.was_visible_to = progress.position()
        # Held for a turn. Whoever holds it between two turns has the projection stand still.
        self.turning = threading.Lock()
        # The tenants that a turn applies to stay open until it is over.
        self.pins = ExitStack()

        def open_store(name: str) -> TenantStore | None:
            return part.store_of(self.pins.enter_context(tenants.pinned(name))) if tenants.is_here(name) else None

        self.projector = Projector(
            feed,
            topics=topics,
            store_of=open_store,
            position=tenants.resume_position(progress, part),
            on_parked=on_parked,
            at_point=at_point,
        )


class Index:
    """The one owner of its tenants' directories. Commands come from one thread, queries from several.

    Args:
        shard: decides about documents and generations.
        tenants: opens the directories.
        questions: embeds questions.
        feed_of: opens the log for reading; each projection has its own.
        data: the node's directory.
        name: this shard's name in the files of its checkpoints, e.g. `0of1`.
        incarnation: another one at every start.
        clock_s: a monotonic clock.
        give_way: called by the builder after every small piece of work.
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
        on_visible: told of the events that questions find from now on, and did not find before.
    """

    def __init__(
        self,
        *,
        shard: Shard,
        tenants: Callable[[Callable[[bytes], bytes]], Tenants],
        questions: TextEmbedder,
        feed_of: Callable[[], Feed],
        data: Path,
        name: str,
        incarnation: str,
        clock_s: Callable[[], float],
        give_way: Callable[[], None] = lambda: None,
        at_point: Callable[[str], None] = lambda point: None,
        on_visible: Callable[[Projection, Sequence[LogEntry]], None] = lambda projection, entries: None,
    ) -> None:
        self.shard = shard
        self._on_visible = on_visible
        self._questions = questions
        self._clock_s = clock_s
        self._at_point = at_point
        self._deciding = threading.Lock()
        self._tenants = tenants(self.handle)
        self._reranker = reranker_of(self._tenants.settings.rerank)
        self._changes = ChangeLog(incarnation, PROJECTIONS)
        self._withdrawals = Withdrawals(lambda: self._changes.projected(DOCUMENTS))
        self._behind_since_s: float | None = None
        self._fenced: FencedError | None = None
        self.parked = 0
        topics = {PAYMENTS: payment_view.TOPICS, DOCUMENTS: knowledge.TOPICS}
        parts = {
            PAYMENTS: Part(
                file="facts.sqlite",
                layout=payment_view.LAYOUT,
                code=code_of(payment_view.__name__),
                store_of=lambda tenant: tenant.payments,
            ),
            DOCUMENTS: Part(file="knowledge.sqlite", layout=knowledge.LAYOUT, store_of=lambda tenant: tenant.knowledge),
        }
        self._projections = {
            projection: _Projection(
                feed_of(),
                topics[projection],
                Progress(data / "projectors" / f"{projection}-{name}.sqlite"),
                self._tenants,
                parts[projection],
                self._on_parked,
                at_point,
            )
            for projection in PROJECTIONS
        }
        self._tenants.check_owner = self._check_owner
        self.builder = Builder(
            self._tenants,
            feed=feed_of(),
            decide=self.handle,
            live=self,
            questions=questions,
            give_way=give_way,
            at_point=at_point,
        )

        documents = self._projections[DOCUMENTS]
        self._withdrawals.read(documents.feed, documents.projector.position)

    def handle(self, batch: bytes) -> bytes:
        """Commands in, replies out. Raises `FencedError` once another host has taken over."""
        with self._deciding:
            submissions = decode_submissions(batch)
            replies = self.shard.handle(submissions)
            self._withdrawals.note(submissions, replies)
            return encode_replies(replies)

    def changes(self, wanted: bytes) -> bytes:
        """Wait for what the projectors change: `AwaitChanges` in, `Changes` out."""
        return _encode(self._changes.after(msgspec.msgpack.decode(wanted, type=AwaitChanges)))

    def generations(self, request: bytes) -> bytes:
        """What an operator asks about generations: `GenerationRequest` in, `GenerationReply` out."""
        return generation_requests.serve(self.builder, request)

    def position(self, projection: Projection) -> int:
        """How far a projection is."""
        return self._projections[projection].projector.position

    def applied(self, projection: Projection) -> int:
        """How many events a projection has applied since the start."""
        return self._projections[projection].applied

    @property
    def fenced(self) -> FencedError | None:
        """How this shard lost its leases or its files to another, `None` while it holds them."""
        return self._fenced or self.shard.fenced

    def turn(self, projection: Projection) -> Turn:
        """Apply a batch, tell what changed, remember how far. What raises is tried again by the next turn.

        Raises:
            FencedError: another process owns the files now, and nothing will ever be applied here again.
        """
        of = self._projections[projection]
        try:
            with of.turning, of.pins:
                return self._turn(projection, of)
        except FencedError as error:
            self._fenced = error
            raise

    def _turn(self, projection: Projection, of: _Projection) -> Turn:
        # What was applied by another is in no tenant's turn here: nobody would tell of it.
        self._check_owner()
        step = of.projector.run_once()
        # Told before anything else can fail: what changed and is not told would stay in the caches.
        self._changes.reached(
            projection,
            step.position,
            step.position,
            {tenant: sorted(keys) for tenant, keys in step.changed.items()},
        )
        of.applied += step.applied
        self._on_visible(projection, [entry for entry in step.visible if entry.position > of.was_visible_to])
        if step.changed:
            self._at_point("before_checkpoint")
            self._tenants.reach(of.progress, step, of.part)
        turn = Turn(step=step, head=of.feed.head())
        if projection == PAYMENTS:
            self._note_lag(turn)
        return turn

    def _check_owner(self) -> None:
        """Raise `FencedError` once another process has opened the progress of this shard."""
        for projection in self._projections.values():
            projection.progress.position()

    def bounds(self, tenant: Tenant) -> Bounds:
        """How far a tenant's live stores are: what is applied there is announced, or is by the turn under way."""
        return Bounds(
            payments=max(self.position(PAYMENTS), tenant.payments.store.position()),
            documents=max(self.position(DOCUMENTS), tenant.knowledge.store.position()),
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is projected meanwhile; questions are answered as ever. Waits for the turns under way.

        Documents first: their turn may embed for long, and payments do not wait for that.
        """
        with self._projections[DOCUMENTS].turning, self._projections[PAYMENTS].turning:
            yield

    def announce(self, position: int, changed: dict[str, list[str]]) -> None:
        """Tell whoever keeps answers that what they rest on is another now."""
        self._changes.announce(GENERATIONS, position, changed)

    def _note_lag(self, turn: Turn) -> None:
        if not turn.is_behind:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = self._clock_s()

    def _on_parked(self, entry: LogEntry, error: str) -> None:
        self.parked += 1
        log.error("event_parked", position=entry.position, stream=entry.stream, topic=entry.topic, reason=error)

    def query(self, batch: bytes) -> bytes:
        """A list of queries in, their replies in order out; questions are embedded together.

        Raises:
            FencedError: another process owns the files now, and knows more than this one.
        """
        if self.fenced is not None:
            raise self.fenced
        try:
            return self._query(_queries.decode(batch))
        except FencedError as error:
            self._fenced = error
            raise

    def _query(self, queries: Sequence[AnyQuery]) -> bytes:
        found: list[AnyFound | None] = [self._look_up(query) for query in queries]
        gathers = {
            index: query for index, query in enumerate(queries) if isinstance(query, Gather) and found[index] is None
        }
        by_tenant: dict[str, list[int]] = {}
        for index, query in gathers.items():
            by_tenant.setdefault(query.tenant, []).append(index)
        for name, indices in by_tenant.items():
            self._gather(name, {index: gathers[index] for index in indices}, found)
        return _encode(found)

    def _look_up(self, query: AnyQuery) -> AnyFound | None:
        position = self._changes.projected(DOCUMENTS if isinstance(query, GetDocument) else PAYMENTS)
        if isinstance(query, Gather) and query.top_k:
            position = min(position, self._changes.projected(DOCUMENTS))
        if position < query.needs_position:
            return NotYet(position=position)
        if isinstance(query, Gather):
            return None
        gone = self._withdrawals.ahead(query.tenant) if isinstance(query, GetDocument) else frozenset()
        with self._tenants.pinned(query.tenant) as tenant:
            found = tenant.reader.look_up(query, position)
            tenant.check_owner()
        if isinstance(found, DocumentFound) and found.document is not None and found.document.document_id in gone:
            return DocumentFound(position=found.position, document=None)
        return found

    def _gather(self, name: str, gathers: dict[int, Gather], found: list[AnyFound | None]) -> None:
        # These are read before the generation is taken: one that is replaced meanwhile has all up to here.
        announced = self._changes.projected(PAYMENTS)
        knowledge_position = self._changes.projected(DOCUMENTS)
        lag_ms = self.lag_ms()
        gone = self._withdrawals.ahead(name)
        with self._tenants.pinned(name) as tenant:
            queries = list(gathers.values())
            # Vectors of another model say nothing about a question: rather no passage than any.
            speaks = self.builder.speaks(tenant)
            passages = (
                tenant.reader.passages(queries, self._questions, self._reranker) if speaks else [[] for _ in queries]
            )
            for (index, query), of_question in zip(gathers.items(), passages, strict=True):
                # A projector may go on at any time: payments and their position are read while it cannot.
                with tenant.payments.store.reading():
                    payments, looked_up = tenant.reader.evidence(query)
                    position = max(announced, tenant.payments.store.position())
                found[index] = Gathered(
                    position=query.speaks_from(position),
                    knowledge_position=knowledge_position,
                    generation=tenant.generation,
                    lag_ms=lag_ms,
                    payments=payments,
                    passages=[each for each in of_question if query.is_past or each.document_id not in gone],
                    looked_up=looked_up,
                    resolved=tenant.reader.resolved(query),
                )

    def close_oldest(self) -> None:
        """Close the tenants that nobody has read for longest, above the number that may be open."""
        self._tenants.close_oldest()

    def open_count(self) -> int:
        """How many tenants are open."""
        return self._tenants.open_count()

    def lag_ms(self) -> int:
        """For how long payments have been behind the log; 0 if they are not."""
        since_s = self._behind_since_s
        return 0 if since_s is None else round((self._clock_s() - since_s) * 1000)
