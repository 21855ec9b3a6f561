"""Index generations of one tenant: building -> caught up -> checked -> active -> retired. Rollback is an event too."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event

Stage = Literal["building", "caught_up", "checked", "active", "retired"]


class StartGeneration(Command, frozen=True, kw_only=True, tag="index.start_generation"):
    """Build generation `generation` beside the active one; `reason` says why."""

    generation: int
    reason: str


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


IndexCommand = StartGeneration | ReportCaughtUp | ReportChecked | ActivateGeneration


class GenerationStarted(Event, frozen=True, kw_only=True, tag="index.generation_started"):
    generation: int
    reason: str


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


IndexEvent = GenerationStarted | GenerationCaughtUp | GenerationChecked | GenerationActivated


class Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stage of every generation, and the active one (0 before the first)."""

    stages: Mapping[int, Stage] = {}
    active: int = 0


class IndexDecider:
    """One generation is active; none becomes so unchecked."""

    tag: Category = "index"

    def initial(self) -> Index:
        return Index()

    def decide(self, state: Index, command: IndexCommand, at: datetime) -> Sequence[IndexEvent]:
        stage = state.stages.get(command.generation)
        match command:
            case StartGeneration(generation=generation, reason=reason):
                if stage is not None:
                    return []
                if generation != max(state.stages, default=0) + 1:
                    raise Rejection("index.generation_out_of_turn", "generations are numbered 1, 2, 3 ...")
                return [GenerationStarted(generation=generation, reason=reason)]
            case ReportCaughtUp(generation=generation, position=position):
                _require(stage, {"building", "caught_up"}, "caught up")
                return [] if stage == "caught_up" else [GenerationCaughtUp(generation=generation, position=position)]
            case ReportChecked(generation=generation, counts=counts, checksum=checksum):
                _require(stage, {"caught_up", "checked"}, "checked")
                if stage == "checked":
                    return []
                return [GenerationChecked(generation=generation, counts=counts, checksum=checksum)]
            case ActivateGeneration(generation=generation):
                _require(stage, {"checked", "active", "retired"}, "activated")
                if stage == "active":
                    return []
                return [GenerationActivated(generation=generation, retires=state.active)]
            case _:
                assert_never(command)

    def evolve(self, state: Index, event: IndexEvent) -> Index:
        stages = dict(state.stages)
        match event:
            case GenerationStarted(generation=generation):
                stages[generation] = "building"
            case GenerationCaughtUp(generation=generation):
                stages[generation] = "caught_up"
            case GenerationChecked(generation=generation):
                stages[generation] = "checked"
            case GenerationActivated(generation=generation, retires=retires):
                if retires:
                    stages[retires] = "retired"
                stages[generation] = "active"
                return Index(stages=stages, active=generation)
            case _:
                assert_never(event)
        return msgspec.structs.replace(state, stages=stages)


def _require(stage: Stage | None, allowed: set[Stage], wish: str) -> None:
    if stage not in allowed:
        raise Rejection("index.wrong_stage", f"a generation that is {stage or 'unknown'} cannot be {wish}")
