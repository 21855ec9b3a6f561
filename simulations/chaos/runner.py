"""Runs experiments: nodes are started for them, trials repeated, and all of it scored.

Experiments with the same kind of node share one, as long as it is well: each trial begins with the steady state anyway.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from domain.errors import RetryableError, TerminalError
from simulations.chaos.experiment import Experiment, TargetSpec, read_experiment
from simulations.chaos.faults import FAULTS, who
from simulations.chaos.injection import Place
from simulations.chaos.scoring import Kind, Scored, Suite, suite
from simulations.chaos.target import Target
from simulations.chaos.trial import Phase, Trial, TrialResult
from simulations.chaos.undo import UndoJournal, clean_up, forgotten, journals
from simulations.chaos.watchdog import Watchdog

DIRECTORY = Path(__file__).resolve().parents[2] / "ops" / "chaos"


class ExperimentResult(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment's trials."""

    name: str
    title: str
    description: str
    kind: Kind
    weight: float
    trials: list[TrialResult]

    @property
    def mean(self) -> float | None:
        """Of the trials that have a score."""
        scores = [each.score for each in self.trials if each.score is not None]
        return sum(scores) / len(scores) if scores else None


class ChaosResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that was run, by whom, with which back-ends, and what it is worth.

    `missing` says why a fault cannot be injected on this machine, `weaker` why something weaker than what injects it
    best does.
    """

    who: str
    suite: Suite
    experiments: list[ExperimentResult]
    missing: dict[str, str]
    weaker: dict[str, str] = {}


def chosen(names: Sequence[str]) -> list[Experiment]:
    """The experiments of files, or of their names in ops/chaos; `all` is all of those.

    Raises `TerminalError` for one that is not there, or does not fit.
    """
    found: list[Path] = []
    for name in names:
        if name == "all":
            found += sorted(DIRECTORY.glob("*.json"))
        else:
            path = Path(name)
            found.append(path if path.suffix == ".json" else DIRECTORY / f"{name}.json")
    return [read_experiment(path) for path in dict.fromkeys(found)]


def undo_forgotten() -> list[str]:
    """Take back what earlier runs left behind whose watchdogs did not survive either; what could not be."""
    return [failure for path in list(forgotten()) for failure in clean_up(path)]


class Runner:
    """Runs experiments one after the other.

    Args:
        experiments: what to run.
        trials: how often each, in the place of what it says itself.
        on_trial: told before each trial; its `load` and `notices` can be looked at while it runs.
        on_phase: told where a trial is.
        on_result: told what came of it.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        *,
        trials: int = 0,
        on_trial: Callable[[Experiment, Trial], None] = lambda experiment, trial: None,
        on_phase: Callable[[Phase], None] = lambda phase: None,
        on_result: Callable[[Experiment, TrialResult], None] = lambda experiment, result: None,
        on_target: Callable[[str], None] = lambda words: None,
    ) -> None:
        # Those with the same node lie together.
        self._experiments = sorted(experiments, key=lambda each: msgspec.json.encode(each.terms.target, order="sorted"))
        self._trials = trials
        self._on_trial = on_trial
        self._on_phase = on_phase
        self._on_result = on_result
        self._on_target = on_target
        self._target: Target | None = None
        self._accepted: dict[str, list[bytes]] = {}

    async def run(self) -> ChaosResult:
        """Run all. Nothing that was done is left behind, however this ends."""
        path = journals() / f"{os.getpid()}-{os.urandom(4).hex()}.jsonl"
        path.touch(mode=0o600)
        watchdog = await asyncio.to_thread(Watchdog, path)
        try:
            with closing(UndoJournal(path)) as journal:
                try:
                    results = [await self._experiment(each, journal) for each in self._experiments]
                finally:
                    await self._end_target()
        finally:
            await asyncio.to_thread(watchdog.stop)
        return ChaosResult(
            who=who(),
            suite=suite([_scored(each) for each in results]),
            experiments=results,
            missing={name: missing for name, fault in FAULTS.items() if (missing := fault.missing())},
            weaker={
                name: f"{fault.backend}, because {weaker}"
                for name, fault in FAULTS.items()
                if (weaker := fault.weaker())
            },
        )

    async def _experiment(self, experiment: Experiment, journal: UndoJournal) -> ExperimentResult:
        terms = experiment.terms
        results = []
        for number in range(self._trials or terms.trials):
            result = await self._trial(experiment, journal, terms.seed + number)
            self._on_result(experiment, result)
            results.append(result)
        return ExperimentResult(
            name=experiment.name,
            title=experiment.title,
            description=experiment.description,
            kind=terms.kind,
            weight=terms.weight,
            trials=results,
        )

    async def _trial(self, experiment: Experiment, journal: UndoJournal, seed: int) -> TrialResult:
        try:
            target = await self._target_of(experiment.terms.target, journal)
        except (TerminalError, RetryableError) as error:
            return TrialResult(experiment=experiment.name, seed=seed, status="failed", reason=error.reason)
        place = Place(journal=journal, target=target)
        trial = Trial(experiment, place, seed, accepted=self._accepted, on_phase=self._on_phase)
        self._on_trial(experiment, trial)
        result = await trial.run()
        if result.recovered_at_s is None or (result.measured is not None and result.measured.broken):
            # What is not well again, or broke, is no node for another trial.
            await self._end_target()
        return result

    async def _target_of(self, spec: TargetSpec, journal: UndoJournal) -> Target | None:
        """The node, started if there is none of this kind."""
        if self._target is not None and self._target.spec == spec:
            return self._target
        await self._end_target()
        if spec.kind == "none":
            return None
        self._on_target("a node is started")
        self._accepted = {}
        directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="recount-chaos-node-"))
        self._target = Target(spec, directory, journal)
        await self._target.start()
        return self._target

    async def _end_target(self) -> None:
        target, self._target = self._target, None
        if target is not None:
            await target.stop()


def _scored(result: ExperimentResult) -> Scored:
    return Scored(
        name=result.name,
        kind=result.kind,
        weight=result.weight,
        scores=tuple(each.score for each in result.trials if each.status == "done" and each.score is not None),
        voids=sum(each.status == "void" for each in result.trials),
        failures=sum(each.status in {"failed", "aborted"} for each in result.trials),
    )
