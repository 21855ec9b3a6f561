"""Index generations of one tenant: building -> caught up -> checked -> active -> retired -> removed.

Rollback is an event too: a retired generation is recalled, and active again when it has caught up. A build that fails
its checks is abandoned. What a generation is made with (the embedding model, the layout of what is stored) is in the
log, so that a program that makes them otherwise knows that it has to build.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event

Stage = Literal["building", "caught_up", "checked", "active", "retired", "recalled", "abandoned", "removed"]
UNDER_WAY: frozenset[Stage] = frozenset({"building", "caught_up", "checked", "recalled"})
STREAM_KEY = "generations"


class StartGeneration(Command, frozen=True, kw_only=True, tag="index.start_generation"):
    """Build generation `generation` beside the active one; `reason` says why, `model` and `layout` with what."""

    generation: int
    reason: str
    model: str = ""
    layout: str = ""


class ReportCaughtUp(Command, frozen=True, kw_only=True, tag="index.report_caught_up"):
    """The building generation has applied the log up to `position`."""

    generation: int
    position: int


class ReportChecked(Command, frozen=True, kw_only=True, tag="index.report_checked"):
    """The generation passed its checks: `counts` by collection, `checksum` over (id, version)."""

    generation: int
    counts: Mapping[str, int]
    checksum: str


class ActivateGeneration(Command, frozen=True, kw_only=True, tag="index.activate_generation"):
    """Readers use it from now on. A retired generation may be activated again: that is a rollback."""

    generation: int


class RecallGeneration(Command, frozen=True, kw_only=True, tag="index.recall_generation"):
    """Go back to the generation that was active before the active one; it is to catch up first."""

    reason: str


class AbandonGeneration(Command, frozen=True, kw_only=True, tag="index.abandon_generation"):
    """Give a build up, because it failed its checks or is not wanted any more."""

    generation: int
    reason: str


class RemoveGeneration(Command, frozen=True, kw_only=True, tag="index.remove_generation"):
    """The retired generation's files may go: nobody can roll back to it any more."""

    generation: int


IndexCommand = (
    StartGeneration
    | ReportCaughtUp
    | ReportChecked
    | ActivateGeneration
    | RecallGeneration
    | AbandonGeneration
    | RemoveGeneration
)


class GenerationStarted(Event, frozen=True, kw_only=True, tag="index.generation_started"):
    generation: int
    reason: str
    model: str = ""
    layout: str = ""


class GenerationCaughtUp(Event, frozen=True, kw_only=True, tag="index.generation_caught_up"):
    generation: int
    position: int


class GenerationChecked(Event, frozen=True, kw_only=True, tag="index.generation_checked"):
    generation: int
    counts: Mapping[str, int]
    checksum: str


class GenerationActivated(Event, frozen=True, kw_only=True, tag="index.generation_activated"):
    """`retires` is the generation that was active before, 0 if none."""

    generation: int
    retires: int = 0


class GenerationRecalled(Event, frozen=True, kw_only=True, tag="index.generation_recalled"):
    generation: int
    reason: str


class GenerationAbandoned(Event, frozen=True, kw_only=True, tag="index.generation_abandoned"):
    generation: int
    reason: str


class GenerationRemoved(Event, frozen=True, kw_only=True, tag="index.generation_removed"):
    generation: int


IndexEvent = (
    GenerationStarted
    | GenerationCaughtUp
    | GenerationChecked
    | GenerationActivated
    | GenerationRecalled
    | GenerationAbandoned
    | GenerationRemoved
)


class Generation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One generation: how far it has come, why it was begun, with what, and what its checks counted.

    `abandoned_for` says why a build was given up.
    """

    stage: Stage
    reason: str
    model: str = ""
    layout: str = ""
    counts: Mapping[str, int] = {}
    checksum: str = ""
    abandoned_for: str = ""


class Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Every generation, the active one (0 before the first), and the one before it, while one can roll back to it."""

    generations: Mapping[int, Generation] = {}
    active: int = 0
    before: int = 0

    @property
    def newest(self) -> int:
        """The number that was given last, 0 before the first."""
        return max(self.generations, default=0)

    @property
    def under_way(self) -> int:
        """The generation that is being built or recalled, 0 if none is."""
        return next((number for number, each in self.generations.items() if each.stage in UNDER_WAY), 0)

    def stage(self, generation: int) -> Stage | None:
        """How far a generation is, `None` for one that was never begun."""
        found = self.generations.get(generation)
        return found.stage if found is not None else None


class IndexDecider:
    """One generation is active; none becomes so unchecked; one at a time is under way."""

    tag: Category = "index"

    def initial(self) -> Index:
        return Index()

    def decide(self, state: Index, command: IndexCommand, at: datetime) -> Sequence[IndexEvent]:
        match command:
            case StartGeneration():
                return _start(state, command)
            case RecallGeneration(reason=reason):
                return _recall(state, reason)
            case ReportCaughtUp(generation=generation, position=position):
                stage = _required(state, generation, {"building", "caught_up"}, "caught up")
                return [] if stage == "caught_up" else [GenerationCaughtUp(generation=generation, position=position)]
            case ReportChecked(generation=generation, counts=counts, checksum=checksum):
                if _required(state, generation, {"caught_up", "checked"}, "checked") == "checked":
                    return []
                return [GenerationChecked(generation=generation, counts=counts, checksum=checksum)]
            case ActivateGeneration(generation=generation):
                if _required(state, generation, {"checked", "active", "retired", "recalled"}, "activated") == "active":
                    return []
                return [GenerationActivated(generation=generation, retires=state.active)]
            case AbandonGeneration(generation=generation, reason=reason):
                if _required(state, generation, {*UNDER_WAY, "abandoned"}, "abandoned") == "abandoned":
                    return []
                return [GenerationAbandoned(generation=generation, reason=reason)]
            case RemoveGeneration(generation=generation):
                if _required(state, generation, {"retired", "removed"}, "removed") == "removed":
                    return []
                return [GenerationRemoved(generation=generation)]
            case _:
                assert_never(command)

    def evolve(self, state: Index, event: IndexEvent) -> Index:
        match event:
            case GenerationStarted(generation=generation, reason=reason, model=model, layout=layout):
                begun = Generation(stage="building", reason=reason, model=model, layout=layout)
                return _with(state, {generation: begun})
            case GenerationCaughtUp(generation=generation):
                return _with(state, {generation: _staged(state, generation, "caught_up")})
            case GenerationChecked(generation=generation, counts=counts, checksum=checksum):
                checked = _staged(state, generation, "checked")
                passed = msgspec.structs.replace(checked, counts=counts, checksum=checksum)
                return _with(state, {generation: passed})
            case GenerationActivated(generation=generation, retires=retires):
                stages = {retires: _staged(state, retires, "retired")} if retires else {}
                active = _with(state, {**stages, generation: _staged(state, generation, "active")})
                return msgspec.structs.replace(active, active=generation, before=retires)
            case GenerationRecalled(generation=generation):
                return _with(state, {generation: _staged(state, generation, "recalled")})
            case GenerationAbandoned(generation=generation, reason=reason):
                given_up = _staged(state, generation, "abandoned")
                abandoned = _with(state, {generation: msgspec.structs.replace(given_up, abandoned_for=reason)})
                return msgspec.structs.replace(abandoned, before=0 if state.before == generation else state.before)
            case GenerationRemoved(generation=generation):
                removed = _with(state, {generation: _staged(state, generation, "removed")})
                return msgspec.structs.replace(removed, before=0 if state.before == generation else state.before)
            case _:
                assert_never(event)


def _start(state: Index, command: StartGeneration) -> Sequence[IndexEvent]:
    if command.generation in state.generations:
        return []
    if command.generation != state.newest + 1:
        raise Rejection("index.generation_out_of_turn", "generations are numbered 1, 2, 3 ...")
    if state.under_way:
        raise Rejection("index.build_under_way", f"generation {state.under_way} is under way; wait for it")
    return [
        GenerationStarted(
            generation=command.generation, reason=command.reason, model=command.model, layout=command.layout
        )
    ]


def _recall(state: Index, reason: str) -> Sequence[IndexEvent]:
    if state.stage(state.under_way) == "recalled":
        return []
    if state.stage(state.before) != "retired":
        raise Rejection("index.nothing_to_roll_back_to", "no generation from before the active one is kept")
    # What is being built beside it would be active a moment later: whoever goes back does not want that.
    ends = [GenerationAbandoned(generation=state.under_way, reason=f"rolled back: {reason}")] if state.under_way else []
    return [*ends, GenerationRecalled(generation=state.before, reason=reason)]


def _staged(state: Index, generation: int, stage: Stage) -> Generation:
    """The generation in another stage; history that skips its start is taken as it is."""
    return msgspec.structs.replace(state.generations.get(generation, Generation(stage=stage, reason="")), stage=stage)


def _with(state: Index, changed: Mapping[int, Generation]) -> Index:
    return msgspec.structs.replace(state, generations={**state.generations, **changed})


def _required(state: Index, generation: int, allowed: set[Stage], wish: str) -> Stage:
    stage = state.stage(generation)
    if stage is None or stage not in allowed:
        raise Rejection("index.wrong_stage", f"a generation that is {stage or 'unknown'} cannot be {wish}")
    return stage
