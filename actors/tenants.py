"""The tenants of an index shard: a directory each, `tenants/<tenant>/g<generation>/`, opened on demand.

Whoever reads holds one generation for as long as it reads. What nobody has held for longest is closed, and a generation
that was replaced is closed when its last reader has left.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from domain.codec import AnyCommand, Submission, decode_replies, encode_submissions
from domain.errors import RetryableError
from domain.ids import stream_id
from domain.index_generation import (
    STREAM_KEY,
    ActivateGeneration,
    Generation,
    Index,
    IndexDecider,
    IndexEvent,
    ReportCaughtUp,
    ReportChecked,
    StartGeneration,
)
from domain.message import Failed
from domain.settings import IndexSettings
from projections.embedder import TextEmbedder
from projections.exact_vectors import ExactIndex
from projections.feed import Feed
from projections.knowledge import KnowledgeStore
from projections.lexical import LexicalIndex, WordIndex
from projections.payment_view import PaymentStore
from projections.progress import Progress
from projections.projector import Step, TenantStore
from projections.rebuild import LAYOUT
from projections.retrieval import TenantReader
from projections.store import claimed_position
from projections.vectors import PassageIndex, VectorIndex, collection_name

_INDEX = IndexDecider()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One projection's part of a generation: its file, what that is written by, and the way to its store."""

    file: str
    layout: int
    code: str = ""
    store_of: Callable[["Tenant"], TenantStore]


class Tenant:
    """One tenant's open stores in one generation."""

    def __init__(
        self,
        directory: Path,
        name: str,
        generation: int,
        embedder: TextEmbedder,
        *,
        open_vectors: Callable[[Path, str], PassageIndex] | None = None,
        open_words: Callable[[Path], WordIndex] = LexicalIndex,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self.generation = generation
        # Of the vectors; empty for what was begun before it was written down.
        self.model = ""
        of_generation = generation_directory(directory, generation)
        self.payments = PaymentStore(of_generation)
        self.knowledge = KnowledgeStore(
            of_generation,
            vectors=(open_vectors or open_passages)(
                vectors_directory(of_generation), collection_name(name, generation)
            ),
            embedder=embedder,
            words=open_words(of_generation / "lexical"),
            at_point=at_point,
        )
        self.reader = TenantReader(self.payments, self.knowledge, generation)

    def check_owner(self) -> None:
        """Raise `FencedError` if another process has opened the files since: what was read may be of any time."""
        self.payments.store.position()
        self.knowledge.store.position()

    def close(self) -> None:
        """Release files and memory."""
        self.payments.close()
        self.knowledge.close()


def generation_directory(directory: Path, generation: int) -> Path:
    """A generation's directory in a tenant's."""
    return directory / f"g{generation}"


def vectors_directory(of_generation: Path) -> Path:
    """Where a generation has an index of its vectors; without that directory they are compared one by one."""
    return of_generation / "vectors"


def open_passages(directory: Path, name: str) -> PassageIndex:
    """The index of a generation's passages: what is in its directory, or all of them compared if there is none."""
    return VectorIndex(directory, name) if directory.is_dir() else ExactIndex(directory.parent / "knowledge.sqlite")


class _Held:
    """An open generation and how many read it. `is_replaced` says that it can be closed when the last one has left."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.readers = 0
        self.is_replaced = False


class _Place:
    """A tenant's place among the open ones; `opening` is held while its files are opened or closed."""

    def __init__(self) -> None:
        self.opening = threading.Lock()
        self.held: _Held | None = None
        self.coming = 0


class Tenants:
    """Opens tenants, each once, and closes the least recently used above a number.

    Args:
        data: the node's directory.
        is_here: whether a tenant belongs to this shard.
        embedder: for documents.
        decide: takes encoded commands to the shard that hosts the generations.
        feed: the log, to find the active generation in.
        open_tenant: opens the stores of a tenant's generation in a directory.
        model_of: the model of a generation's vectors, empty if they are of whatever model asks; as the log says.
        settings: how many stay open.
    """

    def __init__(
        self,
        data: Path,
        *,
        is_here: Callable[[str], bool],
        embedder: TextEmbedder,
        decide: Callable[[bytes], bytes],
        feed: Feed,
        open_tenant: Callable[[Path, str, int, TextEmbedder], Tenant] = Tenant,
        model_of: Callable[[Generation], str] = lambda generation: generation.model,
        settings: IndexSettings | None = None,
    ) -> None:
        self._open_tenant = open_tenant
        self._model_of = model_of
        self._data = data
        self.is_here = is_here
        self.model = embedder.name
        self._embedder = embedder
        self._decide = decide
        self._feed = feed
        self._reading_log = threading.Lock()
        self.settings = settings or IndexSettings()
        self._lock = threading.Lock()
        self._places: OrderedDict[str, _Place] = OrderedDict()
        # What was replaced and is not closed yet; of that, what nobody reads any more.
        self._read: dict[tuple[str, int], int] = {}
        self._left: list[tuple[str, _Held]] = []
        # Raises `FencedError` once another process owns what this one has: to open a tenant would take it from there.
        self.check_owner: Callable[[], None] = lambda: None

    def directory(self, name: str) -> Path:
        """A tenant's directory."""
        return self._data / "tenants" / name

    @contextmanager
    def pinned(self, name: str) -> Iterator[Tenant]:
        """The tenant in its active generation, which stays open meanwhile; a tenant without one gets its first."""
        held = self._take(name)
        try:
            yield held.tenant
        finally:
            self._leave(name, held)

    def _take(self, name: str) -> _Held:
        assert self.is_here(name), f"{name} belongs to another index shard"
        with self._lock:
            place = self._places.setdefault(name, _Place())
            self._places.move_to_end(name)
            place.coming += 1
        try:
            with place.opening:
                if place.held is None:
                    place.held = _Held(self._opened(name))
                with self._lock:
                    place.held.readers += 1
                    return place.held
        finally:
            with self._lock:
                place.coming -= 1

    def _leave(self, name: str, held: _Held) -> None:
        with self._lock:
            held.readers -= 1
            if held.is_replaced and not held.readers:
                self._left.append((name, held))
        # Closing waits for the disk, and whoever asked would wait for it: a few more may be open for a moment.
        self.close_oldest(spare=self.settings.tenants_open_max // 4)

    def close_left(self) -> None:
        """Close the generations that were replaced and that nobody reads any more.

        It takes an fsync or two, so it is nothing for whoever read last: somebody waits for that answer.
        """
        while True:
            with self._lock:
                if not self._left:
                    return
                name, held = self._left.pop()
            held.tenant.close()
            with self._lock:
                key = (name, held.tenant.generation)
                self._read[key] -= 1
                if not self._read[key]:
                    del self._read[key]

    def close_oldest(self, *, spare: int = 0) -> None:
        """Close the least recently used that nobody reads, of those above the number and `spare` more."""
        with self._lock:
            count = len(self._places) - self.settings.tenants_open_max - spare
            idle = [name for name, place in self._places.items() if _is_idle(place)] if count > 0 else []
        for name in idle[: max(count, 0)]:
            place = self._places.get(name)
            if place is None or not place.opening.acquire(blocking=False):
                continue
            try:
                with self._lock:
                    if not _is_idle(place) or self._places.get(name) is not place:
                        continue
                    held, place.held = place.held, None
                if held is not None:
                    held.tenant.close()
                with self._lock:
                    if not place.coming and self._places.get(name) is place:
                        del self._places[name]
            finally:
                place.opening.release()

    def replace(self, name: str, tenant: Tenant) -> None:
        """Whoever asks from now on reads `tenant`; the one before it can be closed when its last reader has left."""
        with self._lock:
            place = self._places.setdefault(name, _Place())
            place.coming += 1
        with place.opening, self._lock:
            before, place.held = place.held, _Held(tenant)
            place.coming -= 1
            if before is None:
                return
            before.is_replaced = True
            key = (name, before.tenant.generation)
            self._read[key] = self._read.get(key, 0) + 1
            if not before.readers:
                self._left.append((name, before))

    def is_read(self, name: str, generation: int) -> bool:
        """Whether a generation that was replaced is still open, because somebody reads it or did a moment ago."""
        with self._lock:
            return (name, generation) in self._read

    def open_count(self) -> int:
        """How many tenants are open."""
        with self._lock:
            return sum(place.held is not None for place in self._places.values())

    def open_names(self) -> list[str]:
        """Those that are open."""
        with self._lock:
            return [name for name, place in self._places.items() if place.held is not None]

    def _opened(self, name: str) -> Tenant:
        generations = self.generations(name)
        if not generations.active:
            self._activate_first(name)
            generations = self.generations(name)
        return self.open_generation(name, generations.active, generations)

    def open_generation(self, name: str, generation: int, generations: Index) -> Tenant:
        """A generation's stores, whatever is active; they are the caller's to close or to `replace` with.

        Raises `FencedError` in a process that was replaced.
        """
        self.check_owner()
        tenant = self._open_tenant(self.directory(name), name, generation, self._embedder)
        tenant.model = self._model_of(generations.generations[generation])
        return tenant

    def generations(self, name: str) -> Index:
        """A tenant's generations as the log has them."""
        state = _INDEX.initial()
        with self._reading_log:
            entries = self._feed.stream(stream_id("index", name, STREAM_KEY))
        for entry in entries:
            event = entry.envelope().event
            assert isinstance(event, IndexEvent), f"{type(event).__name__} is in the stream of generations"
            state = _INDEX.evolve(state, event)
        return state

    def _activate_first(self, name: str) -> None:
        """An empty index has nothing to catch up with, so its first generation goes through its stages at once."""
        steps: list[AnyCommand] = [
            StartGeneration(generation=1, reason="the tenant's first", model=self.model, layout=LAYOUT),
            ReportCaughtUp(generation=1, position=0),
            ReportChecked(generation=1, counts={}, checksum=""),
            ActivateGeneration(generation=1),
        ]
        stream = stream_id("index", name, STREAM_KEY)
        batch = [Submission(stream=stream, command=step, command_id="first-generation") for step in steps]
        for reply in decode_replies(self._decide(encode_submissions(batch))):
            if isinstance(reply, Failed):
                raise RetryableError(f"the first generation of {name} cannot be started now: {reply.reason}")

    def resume_position(self, progress: Progress, part: Part) -> int:
        """Where a projector goes on: see `Progress`.

        A tenant's derived files may be gone, or, after a power loss, lie behind what they had reached: they are not
        fsynced with every commit. Each is taken over here, so that a former owner can write to none of them any more.
        """
        return progress.resume_position(lambda name: self._stands(name, part) if self.is_here(name) else None)

    def _stands(self, name: str, part: Part) -> int:
        active = self.generations(name).active
        file = generation_directory(self.directory(name), active) / part.file
        return claimed_position(file, layout=part.layout, code=part.code)

    def reach(self, progress: Progress, step: Step, part: Part) -> None:
        """Remember how far the projector is, over all tenants and in those that changed."""
        reached = []
        for name in step.changed:
            with self.pinned(name) as tenant:
                reached.append((name, part.store_of(tenant).store.position()))
        progress.reach(step.position, reached)


def _is_idle(place: _Place) -> bool:
    return not place.coming and (place.held is None or not place.held.readers)
