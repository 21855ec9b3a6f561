"""A shard: thousands of aggregates in one process, decided in memory, appended once per batch.

The pipeline is TigerBeetle's (docs/ARCHITECTURE.md, "Synchronous Execution"): all reading first, then decisions
without any, then one write, then the replies.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from actors.journal import ENCODING_ERRORS, Entry, Journal
from actors.recorder import Snapshot
from domain.codec import Envelope, Submission
from domain.errors import FencedError, LostRaceError, Rejection, RetryableError, TerminalError
from domain.ids import split_stream_id
from domain.message import Accepted, Decider, Failed, Rejected, Reply, Unchanged
from domain.settings import BATCH_MAX, ShardSettings
from domain.sharding import bucket_of
from projections.code_version import code_of
from projections.tracing import span


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate in memory: its state after `version` events."""

    state: Any
    version: int


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of aggregate that a shard hosts: its rules and its state's type, for snapshots."""

    decider: Decider[Any, Any, Any]
    state: type[Any]

    @property
    def shape(self) -> str:
        """Names the state's fields and the code that folds it; a snapshot of another shape is not read."""
        fields = ",".join(self.state.__struct_fields__)
        return f"{self.state.__name__}({fields})@{code_of(type(self.decider).__module__)}"


class Stats(msgspec.Struct, kw_only=True):
    """What a shard did since it started."""

    commands: int = 0
    events: int = 0
    appends: int = 0
    unchanged: int = 0
    rejected: int = 0
    failed: int = 0
    lost_races: int = 0
    bisections: int = 0
    aggregates: int = 0


class Shard:
    """Hosts the aggregates of its buckets.

    Args:
        journal: where events go.
        kinds: stream category -> rules.
        role: the first part of the names of its leases, e.g. `payments`.
        buckets: the buckets that it hosts.
        bucket: which bucket a stream belongs to.
        owner: who takes the leases; a name for operators.
        clock: the time of decisions.
        new_id: makes commit ids.
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
    """

    def __init__(
        self,
        journal: Journal,
        kinds: Mapping[str, Kind],
        *,
        role: str,
        buckets: Sequence[int],
        owner: str,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        bucket: Callable[[str], int] = bucket_of,
        settings: ShardSettings | None = None,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._journal = journal
        self._kinds = kinds
        self._role = role
        self._bucket = bucket
        self._clock = clock
        self._new_id = new_id
        self._settings = settings or ShardSettings()
        self._at_point = at_point
        self._hosted: OrderedDict[str, Hosted] = OrderedDict()
        self._fenced: FencedError | None = None
        self.stats = Stats()
        self.epochs = journal.take_leases([f"{role}/{bucket}" for bucket in buckets], owner)

    @property
    def fenced(self) -> FencedError | None:
        """How this shard lost its leases, `None` while it holds them."""
        return self._fenced

    def handle(self, batch: Sequence[Submission]) -> list[Reply]:
        """Decide and append a batch; one reply per command, in order. A reply is given only for what is durable.

        Raises:
            FencedError: another writer has taken over, and nothing will ever be written here again. Parts of a batch
                that were appended before are in the log; sent again, they are found to be known.
        """
        replies: list[Reply] = []
        for start in range(0, len(batch), BATCH_MAX):
            replies.extend(self._handle(batch[start : start + BATCH_MAX]))
        self._count(replies)
        return replies

    def _handle(self, batch: Sequence[Submission], *, may_retry: bool = True) -> list[Reply]:
        if self._fenced is not None:
            raise self._fenced
        try:
            self._prefetch(batch)
            replies = self._Batch(self, batch).commit()
            self._forget_oldest()
            return replies
        except FencedError as error:
            self._fenced = error
            self._hosted.clear()
            raise
        except LostRaceError as error:
            self._evict(batch)
            self.stats.lost_races += 1
            return (
                self._handle(batch, may_retry=False) if may_retry else self._fail(batch, error.reason, retryable=True)
            )
        except RetryableError as error:
            self._evict(batch)
            return self._fail(batch, error.reason, retryable=True)
        except TerminalError as error:
            self._evict(batch)
            return self._bisect(batch, error)

    def _bisect(self, batch: Sequence[Submission], error: TerminalError) -> list[Reply]:
        """Handle a refused batch in halves, so that only the command that the store refuses fails."""
        if len(batch) == 1:
            return self._fail(batch, error.reason, retryable=False)
        self.stats.bisections += 1
        middle = len(batch) // 2
        return [*self._handle(batch[:middle]), *self._handle(batch[middle:])]

    def _fail(self, batch: Sequence[Submission], reason: str, *, retryable: bool) -> list[Reply]:
        return [Failed(reason=reason, retryable=retryable) for _ in batch]

    def _count(self, replies: Sequence[Reply]) -> None:
        self.stats.commands += len(replies)
        self.stats.unchanged += sum(isinstance(reply, Unchanged) for reply in replies)
        self.stats.rejected += sum(isinstance(reply, Rejected) for reply in replies)
        self.stats.failed += sum(isinstance(reply, Failed) for reply in replies)
        self.stats.aggregates = len(self._hosted)

    def _evict(self, batch: Sequence[Submission]) -> None:
        for submission in batch:
            self._hosted.pop(submission.stream, None)

    def _prefetch(self, batch: Sequence[Submission]) -> None:
        """Load what the batch needs and memory does not have, from snapshots where they fit."""
        streams = dict.fromkeys(submission.stream for submission in batch)
        missing = [stream for stream in streams if stream not in self._hosted and self._kind(stream) is not None]
        for stream in streams:
            if stream in self._hosted:
                self._hosted.move_to_end(stream)
        if not missing:
            return
        loaded: dict[str, Hosted] = {}
        for snapshot in self._journal.snapshots(missing):
            if (hosted := self._restore(snapshot)) is not None:
                loaded[snapshot.stream] = hosted
        for stream in missing:
            loaded.setdefault(stream, Hosted(state=self._decider(stream).initial(), version=0))
        for entry in self._journal.load({stream: loaded[stream].version for stream in missing}):
            before = loaded[entry.stream]
            loaded[entry.stream] = Hosted(
                state=self._decider(entry.stream).evolve(before.state, entry.envelope.event), version=entry.version
            )
        self._hosted.update(loaded)

    def _restore(self, snapshot: Snapshot) -> Hosted | None:
        kind = self._kind(snapshot.stream)
        assert kind is not None
        if snapshot.shape != kind.shape:
            return None
        try:
            return Hosted(state=msgspec.msgpack.decode(snapshot.state, type=kind.state), version=snapshot.version)
        except ValueError:
            return None  # A snapshot is only a shortcut: the events are refolded instead.

    def _kind(self, stream: str) -> Kind | None:
        return self._kinds.get(split_stream_id(stream)[0])

    def _decider(self, stream: str) -> Decider[Any, Any, Any]:
        kind = self._kind(stream)
        assert kind is not None, f"{stream} was not checked before"
        return kind.decider

    def _forget_oldest(self) -> None:
        while len(self._hosted) > self._settings.aggregates_max:
            self._hosted.popitem(last=False)

    class _Batch:
        """One batch between its decisions and its commit: what was decided is speculation until it is appended."""

        def __init__(self, shard: "Shard", batch: Sequence[Submission]) -> None:
            self._shard = shard
            self._batch = batch
            self._commit = shard._new_id()
            self._at = shard._clock()
            self._changed: dict[str, Hosted] = {}
            self._entries: list[Entry] = []
            self._leases: dict[str, int] = {}

        def commit(self) -> list[Reply]:
            shard = self._shard
            replies = [self._decide(submission) for submission in self._batch]
            if len(self._entries) > BATCH_MAX:
                # Too many events for one append: halves are two batches, each atomic in itself.
                middle = len(self._batch) // 2
                assert middle, "one command never leads to more events than a batch may have"
                return [*shard._handle(self._batch[:middle]), *shard._handle(self._batch[middle:])]
            if not self._entries:
                # A reply without an append rests on what is in memory, which another writer may have left behind.
                shard._journal.check_leases(self._leases)
                return replies
            snapshots = self._snapshots()
            shard._at_point("before_append")
            positions = shard._journal.append(self._entries, leases=self._leases, snapshots=snapshots)
            shard._at_point("after_append")
            shard._hosted.update(self._changed)
            shard.stats.appends += 1
            shard.stats.events += len(positions)
            return [self._located(reply, positions) for reply in replies]

        def _decide(self, submission: Submission) -> Reply:
            shard = self._shard
            lease = f"{shard._role}/{shard._bucket(submission.stream)}"
            kind = shard._kind(submission.stream)
            if kind is None or lease not in shard.epochs:
                return Failed(reason=f"{submission.stream} is not hosted here", retryable=True)
            self._leases[lease] = shard.epochs[lease]
            hosted = self._changed.get(submission.stream) or shard._hosted[submission.stream]
            decider = kind.decider
            trace = submission.trace
            try:
                with span("shard.decide", submission.trace.traceparent, stream=submission.stream) as traceparent:
                    events = decider.decide(hosted.state, submission.command, self._at)
                state, version = hosted.state, hosted.version
                for event in events:
                    state, version = decider.evolve(state, event), version + 1
            except Rejection as rejection:
                return Rejected.of(rejection)
            except Exception as error:  # noqa: BLE001 - the batch's edge: a poison command must not fail the others
                return Failed(reason=f"{type(error).__name__}: {error}", retryable=False)
            if not events:
                return Unchanged(version=version)
            if traceparent != trace.traceparent:
                trace = msgspec.structs.replace(trace, traceparent=traceparent)
            for number, event in enumerate(events, start=hosted.version + 1):
                envelope = Envelope(
                    event=event,
                    recorded_at=self._at,
                    command_id=submission.command_id,
                    commit=self._commit,
                    epoch=shard.epochs[lease],
                    trace=trace,
                )
                self._entries.append(Entry(stream=submission.stream, version=number, envelope=envelope))
            self._changed[submission.stream] = Hosted(state=state, version=version)
            # Until the append gives the position, the reply holds the index of its last event.
            return Accepted(version=version, position=-len(self._entries))

        def _located(self, reply: Reply, positions: Sequence[int]) -> Reply:
            if isinstance(reply, Accepted):
                return Accepted(version=reply.version, position=positions[-reply.position - 1])
            return reply

        def _snapshots(self) -> list[Snapshot]:
            every = self._shard._settings.snapshot_every
            return [
                Snapshot(stream=stream, version=hosted.version, shape=kind.shape, state=_encoded(hosted.state))
                for stream, hosted in self._changed.items()
                if hosted.version // every > self._version_before(stream) // every
                and (kind := self._shard._kind(stream)) is not None
            ]

        def _version_before(self, stream: str) -> int:
            return self._shard._hosted[stream].version


def _encoded(state: Any) -> bytes:  # noqa: ANN401 - the state of any aggregate
    try:
        return msgspec.msgpack.encode(state)
    except ENCODING_ERRORS as error:
        raise TerminalError(f"the state cannot be encoded: {error}") from error
