"""Builds generations beside the live ones: from the log, caught up, checked, promoted by one event, rolled back to.

Everything that must survive is in the log or in the generation's own files, so a builder that was killed anywhere goes
on when it is started again. One build at a time; a step at a time, so that whoever rolls back waits for one step.
"""

import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
import structlog

from actors.tenants import Tenant, Tenants, generation_directory, vectors_directory
from domain.codec import AnyCommand, Submission, decode_replies, encode_submissions, tag_of
from domain.errors import Rejection, RetryableError
from domain.ids import stream_id
from domain.index_generation import (
    STREAM_KEY,
    AbandonGeneration,
    ActivateGeneration,
    GenerationAbandoned,
    GenerationActivated,
    GenerationCaughtUp,
    GenerationChecked,
    GenerationRecalled,
    GenerationRemoved,
    GenerationStarted,
    Index,
    IndexDecider,
    IndexEvent,
    RecallGeneration,
    RemoveGeneration,
    ReportCaughtUp,
    ReportChecked,
    StartGeneration,
)
from domain.message import Accepted, Failed, Rejected, Reply
from projections.embedder import TextEmbedder
from projections.exact_vectors import EXACT_PASSAGES_MAX, ExactIndex
from projections.feed import Feed
from projections.generation_checks import Checks, passages_of, unreachable
from projections.rebuild import LAYOUT, Backfill, Bounds

_TOPICS = tuple(
    tag_of(each)
    for each in (
        GenerationStarted,
        GenerationCaughtUp,
        GenerationChecked,
        GenerationActivated,
        GenerationRecalled,
        GenerationAbandoned,
        GenerationRemoved,
    )
)
_PAGE = 500
# Why a build is given up that another program, or the same with other settings, began. Nothing is wrong with it.
OTHERWISE = "it was begun by a program that makes it otherwise"
_INDEX = IndexDecider()
# What a replaced generation is told as, beside the keys of payments and customers: answers of it are kept no longer.
GENERATION_KEY = "generation:"

log = structlog.get_logger("builder")


class Live(Protocol):
    """What the builder needs of the projections that are live."""

    def bounds(self, tenant: Tenant) -> Bounds:
        """How far the tenant's live stores are, and what is announced of them."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is projected meanwhile; questions are answered as ever."""
        ...

    def announce(self, position: int, changed: dict[str, list[str]]) -> None:
        """Tell whoever keeps answers."""
        ...


class BuilderStats(msgspec.Struct, kw_only=True):
    """What was done since the start, and the build under way: its position and how far it has to come."""

    builds_promoted: int = 0
    builds_abandoned: int = 0
    builds_rolled_back: int = 0
    builds_removed: int = 0
    build_applied: int = 0
    build_position: int = 0
    build_target: int = 0


class OvertakenError(Exception):
    """The build is not wanted any more: somebody rolled back meanwhile."""


class _Site:
    """A generation that is not live: its stores, and what fills them."""

    def __init__(self, name: str, generation: int, tenant: Tenant, backfill: Backfill) -> None:
        self.name = name
        self.generation = generation
        self.tenant = tenant
        self.backfill = backfill


class Builder:
    """One index shard's builds. `step` is called by one thread, `request` by any.

    Args:
        tenants: opens generations.
        feed: the log; the builder's own connection.
        decide: takes encoded commands to the shard that hosts the generations.
        live: the projections that are live.
        questions: embeds golden questions.
        give_way: called after every small piece of work, so that whoever asks meanwhile is not held up.
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
    """

    def __init__(
        self,
        tenants: Tenants,
        *,
        feed: Feed,
        decide: Callable[[bytes], bytes],
        live: Live,
        questions: TextEmbedder,
        give_way: Callable[[], None] = lambda: None,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._tenants = tenants
        self._feed = feed
        self._decide_bytes = decide
        self._live = live
        self._questions = questions
        self._give_way = give_way
        self._at_point = at_point
        self._position = 0
        self._states: dict[str, Index] = {}
        self._to_delete: set[tuple[str, int]] = set()
        self._site: _Site | None = None
        self._wish = threading.Event()
        self._inspected: dict[str, tuple[int, int]] = {}
        self.stats = BuilderStats()

    def start(self, name: str, reason: str) -> None:
        """Begin the next generation. Raises `Rejection` if one is under way, `RetryableError` if nobody decides now."""
        if not self._tenants.generations(name).active:
            with self._tenants.pinned(name):  # It gets its first.
                pass
        newest = self._tenants.generations(name).newest
        _expect(self._decide(name, self._start_of(newest + 1, reason)))
        self._wish.set()

    def roll_back(self, name: str, reason: str) -> None:
        """Go back to the generation before the active one. Raises as `start`; `Rejection` if there is none."""
        state = self._tenants.generations(name)
        before = state.generations.get(state.before)
        if before is not None and before.model not in ("", self._tenants.model):
            raise Rejection(
                "index.model_gone", f"generation {state.before} has the vectors of {before.model}; build a new one"
            )
        _expect(self._decide(name, RecallGeneration(reason=reason)))
        self._wish.set()

    def generations(self, name: str) -> Index:
        """A tenant's generations as the log has them."""
        return self._tenants.generations(name)

    def progress(self, name: str) -> tuple[int, int]:
        """How far the tenant's build is and how far it has to come; (0, 0) while none is being filled."""
        site = self._site
        if site is None or site.name != name:
            return 0, 0
        return site.backfill.position, site.backfill.bounds.least

    def wait(self, timeout_s: float) -> None:
        """Wait until something is wished for, or for so long."""
        self._wish.wait(timeout_s)
        self._wish.clear()

    def step(self) -> bool:
        """Do the next piece of work there is; returns whether there was any. What raises is tried again.

        Raises `FencedError` if another process owns the log's leases or the files now.
        """
        self._tenants.close_left()
        self._read()
        name = self._next()
        try:
            if name is None:
                self._leave_site()
                return self._tidy() or self._begin_outdated()
            self._work(name)
        except OvertakenError:
            log.info("build_overtaken", tenant=name)
        return True

    def close(self) -> None:
        """Release the files of what is being built."""
        self._leave_site()

    def _read(self) -> None:
        """Fold what the log has of generations since the last time."""
        while True:
            page = self._feed.read(self._position, limit=_PAGE, topics=_TOPICS)
            for entry in page.entries:
                if self._tenants.is_here(entry.tenant):
                    event = entry.envelope().event
                    assert isinstance(event, IndexEvent)
                    self._states[entry.tenant] = _INDEX.evolve(self._states.get(entry.tenant, Index()), event)
                    if isinstance(event, GenerationAbandoned | GenerationRemoved):
                        self._to_delete.add((entry.tenant, event.generation))
            self._position = page.position
            if len(page.entries) < _PAGE:
                return

    def _next(self) -> str | None:
        """The tenant whose generation is worked on: one that was promoted but not taken over, then recalled ones."""
        site = self._site
        if site is not None and self._states[site.name].active == site.generation:
            return site.name
        waiting = [name for name, state in self._states.items() if state.under_way]
        recalled = [name for name in waiting if self._states[name].stage(self._states[name].under_way) == "recalled"]
        return min(recalled or waiting, default=None)

    def _work(self, name: str) -> None:
        state = self._states[name]
        site = self._site
        if site is None or site.name != name or site.generation not in (state.under_way, state.active):
            self._leave_site()
            generation = state.under_way
            begun = state.generations[generation]
            if begun.stage != "recalled" and (begun.model, begun.layout) != (self._tenants.model, LAYOUT):
                self._abandon(name, generation, OTHERWISE)
                return
            site = self._site = self._opened(name, generation, state)
        match state.stage(site.generation):
            case "building":
                self._fill(site)
            case "caught_up":
                self._check(site)
            case "checked" | "recalled" | "active" as stage:
                self._promote(site, stage)

    def _opened(self, name: str, generation: int, state: Index) -> _Site:
        directory = generation_directory(self._tenants.directory(name), generation)
        if not directory.exists():
            with self._tenants.pinned(name) as live:
                needs_index = len(passages_of(live.knowledge)) > EXACT_PASSAGES_MAX
            if needs_index:
                # What is there decides, so that a build that goes on after a crash goes on with the same index.
                vectors_directory(directory).mkdir(parents=True)
        self._at_point("build_before_opening")
        tenant = self._tenants.open_generation(name, generation, state)
        return _Site(name, generation, tenant, self._backfill(name, tenant))

    def _backfill(self, name: str, tenant: Tenant) -> Backfill:
        return Backfill(
            self._feed,
            name,
            payments=tenant.payments,
            documents=tenant.knowledge,
            bounds=self._bounds(name),
            at_point=self._at_point,
        )

    def _bounds(self, name: str) -> Bounds:
        with self._tenants.pinned(name) as live:
            return self._live.bounds(live)

    def _fill(self, site: _Site) -> None:
        backfill = site.backfill
        backfill.bounds = self._bounds(site.name)
        applied = backfill.applied
        is_behind = backfill.run_once()
        self._give_way()
        self.stats.build_applied += backfill.applied - applied
        self.stats.build_position, self.stats.build_target = backfill.position, backfill.bounds.least
        if not is_behind:
            self._at_point("build_before_caught_up")
            self._settle(site.name, ReportCaughtUp(generation=site.generation, position=backfill.position))
            log.info("generation_caught_up", tenant=site.name, generation=site.generation, position=backfill.position)

    def _check(self, site: _Site) -> None:
        def catch_up() -> None:
            site.backfill.catch_up(self._bounds(site.name))

        catch_up()
        checks = Checks(site.tenant.payments, site.tenant.knowledge, on_page=lambda: self._still_wanted(site))
        with self._tenants.pinned(site.name) as live:
            report = checks.report(
                self._feed,
                site.name,
                site.backfill.bounds,
                live=live.knowledge if self.speaks(live) else None,
                embedder=self._questions,
                catch_up=catch_up,
            )
        self._at_point("build_before_checked")
        if report.faults:
            self._abandon(site.name, site.generation, "; ".join(report.faults))
            return
        passed = ReportChecked(generation=site.generation, counts=report.counts, checksum=report.checksum)
        self._settle(site.name, passed)
        log.info("generation_checked", tenant=site.name, generation=site.generation, counts=dict(report.counts))

    def speaks(self, tenant: Tenant) -> bool:
        """Whether a generation's vectors are of the model that questions are asked with."""
        return tenant.model in ("", self._questions.name)

    def _still_wanted(self, site: _Site) -> None:
        self._give_way()
        self._read()
        if self._states[site.name].under_way != site.generation:
            raise OvertakenError

    def _promote(self, site: _Site, stage: str) -> None:
        """Catch up while the live one goes on; then, between two of its turns, the last events and the switch."""
        site.backfill.catch_up(self._bounds(site.name))
        self._at_point("build_before_pause")
        with self._live.paused():
            site.backfill.catch_up(self._bounds(site.name))
            self._at_point("before_activation")
            if stage != "active":
                # Of an unknown outcome the log tells: then the stage is `active` at the next step.
                self._settle(site.name, ActivateGeneration(generation=site.generation))
            self._at_point("after_activation")
            with self._tenants.pinned(site.name) as live:
                retired = live.generation
            # Whatever was read of the retired generation was read before this position, and is kept no longer.
            position = self._feed.head()
            self._site = None
            self._tenants.replace(site.name, site.tenant)
        self._live.announce(position, {site.name: [f"{GENERATION_KEY}{retired}"]})
        self.stats.builds_promoted += stage != "recalled"
        self.stats.builds_rolled_back += stage == "recalled"
        log.info("generation_activated", tenant=site.name, generation=site.generation, retires=retired, stage=stage)

    def _leave_site(self) -> None:
        if self._site is not None:
            self._site.tenant.close()
            self._site = None

    def _abandon(self, name: str, generation: int, reason: str) -> None:
        self._leave_site()
        self._settle(name, AbandonGeneration(generation=generation, reason=reason[:2_000]))
        self.stats.builds_abandoned += 1
        log.error("generation_abandoned", tenant=name, generation=generation, reason=reason)

    def _tidy(self) -> bool:
        """Let go of what nobody can roll back to, and delete what nobody reads any more."""
        for name, state in self._states.items():
            for generation, each in state.generations.items():
                if each.stage == "retired" and generation != state.before:
                    self._settle(name, RemoveGeneration(generation=generation))
                    return True
        for name, generation in sorted(self._to_delete):
            directory = generation_directory(self._tenants.directory(name), generation)
            if not directory.exists():
                self._to_delete.discard((name, generation))
                continue
            if self._tenants.is_read(name, generation):
                continue
            self._at_point("build_before_deletion")
            shutil.rmtree(directory, ignore_errors=True)
            self._to_delete.discard((name, generation))
            self.stats.builds_removed += 1
            log.info("generation_removed", tenant=name, generation=generation)
            return True
        return False

    def _begin_outdated(self) -> bool:
        """Begin a build for a tenant whose generation is of another model or layout than this program's."""
        wanted = (self._tenants.model, LAYOUT)
        for name, state in self._states.items():
            active = state.generations.get(state.active)
            if active is None or (active.model, active.layout) == wanted:
                continue
            if any(
                number > state.active and (each.model, each.layout) == wanted and each.abandoned_for != OTHERWISE
                for number, each in state.generations.items()
            ):
                continue  # It failed its checks, or was rolled back from: a person is to ask for the next.
            what = "model" if active.model != self._tenants.model else "layout"
            before, after = getattr(active, what), {"model": self._tenants.model, "layout": LAYOUT}[what]
            self._settle(name, self._start_of(state.newest + 1, f"{what} {before or 'unknown'} became {after}"))
            return True
        return False

    def inspect_open(self) -> None:
        """Look at the indexes of open tenants that changed since they were looked at last: see `inspect`."""
        for name in self._tenants.open_names():
            with self._tenants.pinned(name) as live:
                seen = (live.generation, live.knowledge.store.position())
            if self._inspected.get(name) != seen:
                self.inspect(name)
                self._inspected[name] = seen

    def inspect(self, name: str) -> bool:
        """Begin a build if the active generation has lost passages, or has more than can be compared one by one.

        Returns whether it did.
        """
        with self._tenants.pinned(name) as live:
            passages = passages_of(live.knowledge)
            if isinstance(live.knowledge.index, ExactIndex):
                is_grown = len(passages) > EXACT_PASSAGES_MAX
                reason = f"grown to {len(passages)} passages" if is_grown else ""
            else:
                lost = set(unreachable(live.knowledge, passages))
                # What was replaced meanwhile is not lost.
                lost &= {chunk_id for chunk_id, _, _ in set(passages_of(live.knowledge)) & set(passages)}
                reason = f"drift: {len(lost)} passages are not found by their own vectors" if lost else ""
        if not reason or self._tenants.generations(name).under_way:
            return False
        log.warning("generation_worn", tenant=name, reason=reason)
        self.start(name, reason)
        return True

    def _start_of(self, generation: int, reason: str) -> StartGeneration:
        return StartGeneration(generation=generation, reason=reason, model=self._tenants.model, layout=LAYOUT)

    def _settle(self, name: str, command: AnyCommand) -> None:
        """Have a step recorded. One that the rules refuse was overtaken by another: the log says what is to do next."""
        reply = self._decide(name, command)
        if isinstance(reply, Rejected):
            raise OvertakenError(reply.code)
        _expect(reply)

    def _decide(self, name: str, command: AnyCommand) -> Reply:
        submission = Submission(stream=stream_id("index", name, STREAM_KEY), command=command, command_id="builder")
        [reply] = decode_replies(self._decide_bytes(encode_submissions([submission])))
        return reply


def _expect(reply: Reply) -> Accepted | None:
    """Raises `Rejection` or `RetryableError` for a command that was not taken."""
    match reply:
        case Rejected(code=code, detail=detail):
            raise Rejection(code, detail)
        case Failed(reason=reason):
            raise RetryableError(reason)
        case Accepted():
            return reply
    return None
