"""One trial: all is well, a fault strikes, bites and is taken back, all is well again; and what it was worth.

The phases are those of the Chaos Toolkit (hypothesis, method, rollbacks, hypothesis), with a bite check after the
injection and invariants at the end.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from typing import Literal

import msgspec

from domain.errors import RetryableError, TerminalError
from simulations.chaos.activities import Carried, carry_out
from simulations.chaos.experiment import AbortIf, Activity, Experiment, PythonProvider
from simulations.chaos.faults import fault_named, inject
from simulations.chaos.injection import BITE_WITHIN_S, Injection, Place, bites
from simulations.chaos.invariants import Checks
from simulations.chaos.load import Load, bins
from simulations.chaos.noticing import Noticed, Notices
from simulations.chaos.processes import available_bytes
from simulations.chaos.scoring import Measured, Status, dip_of, score

LOOK_EVERY_S = 0.1
# A part that is away is noticed within two and a half seconds.
STEADY_S = 3.5
SETTLE_MAX_S = 60.0

Phase = Literal["settling", "injecting", "suffering", "recovering", "checking", "over"]


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a trial.

    Args:
        experiment: its name.
        seed: of the trial.
        status: `done` counts; `void` did not bite, `aborted` went too far, `failed` did not come to its end.
        score: 0 to 100, of one that is done.
        backend: what injected the fault.
        measured: what the score is made of.
        reason: why it is not done, or what broke.
        performance: by half seconds from the settling on: operations that were well done, and all.
        struck_at_s: when the fault struck, in seconds of the trial; `healed_at_s`, `recovered_at_s` likewise.
        noticed: what noticed it, in order.
        taken: the webhooks that it took meanwhile.
        told: the notifications that its merchant had, of all trials so far.
        carried: the activities.
    """

    experiment: str
    seed: int
    status: Status
    score: float | None = None
    backend: str = ""
    measured: Measured | None = None
    reason: str = ""
    performance: dict[int, tuple[int, int]] = {}
    struck_at_s: float | None = None
    healed_at_s: float | None = None
    recovered_at_s: float | None = None
    noticed: list[Noticed] = []
    taken: int = 0
    told: int = 0
    carried: list[Carried] = []


class _VoidError(Exception):
    """The fault did not bite."""


class _AbortError(Exception):
    """It goes too far."""


class Trial:
    """One trial of an experiment.

    Args:
        experiment: what to do.
        place: where.
        seed: of the workload.
        accepted: what the node has ever taken, by tenant; what this trial sends is added.
        on_phase: told where it is.
    """

    def __init__(
        self,
        experiment: Experiment,
        place: Place,
        seed: int,
        *,
        accepted: dict[str, list[bytes]],
        on_phase: Callable[[Phase], None] = lambda phase: None,
    ) -> None:
        self._experiment = experiment
        self._terms = experiment.terms
        self._place = place
        self._seed = seed
        self._accepted = accepted
        self._on_phase = on_phase
        self._carried: list[Carried] = []
        self._injection: Injection | None = None
        self._backend = ""
        self._begun_s = self._now_s()
        self._struck_s: float | None = None
        self._healed_s: float | None = None
        self._recovered_s: float | None = None
        self._unwell_s: float | None = None
        self._is_over_at_once = False
        self._is_mended: Callable[[], bool] = lambda: True
        self.load: Load | None = None
        self.notices: Notices | None = None

    async def run(self) -> TrialResult:
        """Run it to its end; whatever happens, what was done is taken back."""
        try:
            measured = await self._run()
        except _VoidError as error:
            return self._result("void", reason=str(error))
        except _AbortError as error:
            return self._result("aborted", reason=str(error))
        except (TerminalError, RetryableError) as error:
            return self._result("failed", reason=error.reason)
        finally:
            await self._heal()
            await self._stop_load()
            self._on_phase("over")
        reason = "; ".join(measured.broken)
        return self._result("done", measured=measured, reason=reason)

    async def _run(self) -> Measured:
        target = self._place.target
        if target is not None:
            self.load = Load(target.url, self._terms.workload, self._seed)
            self.notices = Notices(target)
            self.load.start()
        self._on_phase("settling")
        await self._settle()
        for activity in self._experiment.method:
            if activity.is_fault:
                await self._suffer(activity)
            else:
                self._carried.append(await carry_out(activity, self._names))
        for activity in self._experiment.rollbacks:
            self._carried.append(await carry_out(activity, self._names))
        self._on_phase("recovering")
        recovered = await self._recover()
        return await self._measure(recovered)

    @property
    def _names(self) -> dict[str, str]:
        """What `${...}` in an experiment stands for."""
        return {} if self._place.target is None else {"url": self._place.target.direct_url}

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _settle(self) -> None:
        """All is well for a while. Raises `TerminalError` where it never is: nothing could be said of a fault then."""
        deadline_s = self._now_s() + SETTLE_MAX_S
        well_since_s: float | None = None
        while True:
            is_well, reason = await self._is_well()
            now_s = self._now_s()
            well_since_s = (well_since_s if well_since_s is not None else now_s) if is_well else None
            if well_since_s is not None and now_s - well_since_s >= self._terms.settle_s:
                return
            if now_s > deadline_s:
                raise TerminalError(f"the steady state was not met before anything was done: {reason}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _suffer(self, activity: Activity) -> None:
        """Inject a fault, see that it bites, hold it, and take it back."""
        provider = activity.provider
        assert isinstance(provider, PythonProvider), "a fault is called as a function"
        arguments = dict(provider.arguments)
        name, hold_s = str(arguments.pop("fault", "")), float(arguments.pop("hold_s", 0.0))
        self._is_over_at_once = fault_named(name).is_over_at_once
        await asyncio.sleep(activity.pauses.before)
        self._on_phase("injecting")
        self._struck_s = self._now_s()
        self._injection = await inject(name, self._place, arguments)
        self._backend, self._is_mended = self._injection.backend, self._injection.is_mended
        await self._bite(name)
        self._on_phase("suffering")
        await self._hold(max(hold_s, activity.pauses.after))
        await self._heal()

    async def _bite(self, name: str) -> None:
        assert self._injection is not None
        if not await bites(self._injection):
            raise _VoidError(f"{name} did not bite within {BITE_WITHIN_S:g} s")
        self._carried.append(Carried(name=f"{name} bit", is_done=True, output=self._injection.backend))

    async def _hold(self, for_s: float) -> None:
        until_s = self._now_s() + for_s
        while (left_s := until_s - self._now_s()) > 0:
            self._look_out()
            await self._is_unwell()
            await asyncio.sleep(min(LOOK_EVERY_S, left_s))

    async def _heal(self) -> None:
        injection, self._injection = self._injection, None
        if injection is None or (injection.heal is None and injection.undo is None):
            return
        try:
            if injection.heal is not None:
                await injection.heal()
        finally:
            if injection.undo is not None:
                await asyncio.to_thread(self._place.journal.apply, injection.undo)
            self._healed_s = self._now_s()

    async def _recover(self) -> bool:
        """Wait until all is well and stays so, longer than it takes to notice that a part is away; whether it was."""
        deadline_s = self._now_s() + self._terms.recovery_max_s
        well_since_s: float | None = None
        while self._now_s() < deadline_s:
            self._look_out()
            is_unwell = await self._is_unwell() or not await asyncio.to_thread(self._is_mended)
            now_s = self._now_s()
            well_since_s = None if is_unwell else well_since_s if well_since_s is not None else now_s
            if well_since_s is not None and now_s - well_since_s >= STEADY_S:
                self._recovered_s = self._unwell_s if self._unwell_s is not None else self._struck_s
                return True
            await asyncio.sleep(LOOK_EVERY_S)
        return False

    async def _is_unwell(self) -> bool:
        """Whether all is not well now, and remember when that was last."""
        is_well, _ = await self._is_well()
        if not is_well:
            self._unwell_s = self._now_s()
        return not is_well

    async def _look(self) -> None:
        if self.notices is not None:
            await asyncio.to_thread(self.notices.look, self._now_s() - self._begun_s)

    async def _is_well(self) -> tuple[bool, str]:
        """Whether the steady state is met: the node's own word, the load, and the hypothesis of the experiment."""
        await self._look()
        if self.notices is not None and not self.notices.is_ready:
            return False, f"not ready: {', '.join(self.notices.unready) or 'it does not answer'}"
        if self.notices is not None and not self.notices.is_fresh:
            return False, "what was accepted is not visible"
        if self.load is not None and not self.load.is_well(self._now_s()):
            return False, "what is asked of it is not well done"
        for probe in self._experiment.hypothesis.probes:
            carried = await carry_out(probe, self._names)
            if not carried.is_met:
                return False, f"{probe.name}: {carried.output}"
        return True, ""

    def _look_out(self) -> None:
        """Raises `_AbortError` if the machine, or whoever waits, has had enough."""
        if (reason := too_far(self._terms.abort_if, self._lasted_s)) != "":
            raise _AbortError(reason)

    @property
    def _lasted_s(self) -> float:
        return 0.0 if self._struck_s is None else self._now_s() - self._struck_s

    async def _measure(self, recovered: bool) -> Measured:  # noqa: FBT001 - what the wait came to
        self._on_phase("checking")
        end_s = self._now_s()
        await self._stop_load()
        target, terms = self._place.target, self._terms
        struck_s = self._struck_s if self._struck_s is not None else self._begun_s
        broken: dict[str, list[str]] = {}
        bad_share = dip = 0.0
        if target is not None:
            assert self.load is not None
            until_s = self._recovered_s if self._recovered_s is not None else end_s
            if self._unwell_s is None and self._healed_s is not None:
                # It was well all the time: what counts is what was done while the fault was in force.
                until_s = self._healed_s
            done = self.load.between(struck_s, until_s)
            bad_share = sum(not each.is_good for each in done) / len(done) if done else 1.0
            dip = dip_of(bins(done, struck_s, until_s))
            broken = await Checks(target, self._accepted).broken(terms.invariants)
        # What the node mended by itself, before the fault was taken back, is counted from the beginning.
        is_own = self._healed_s is None or (self._recovered_s or end_s) <= self._healed_s
        from_s = struck_s if self._is_over_at_once or is_own else self._healed_s or struck_s
        return Measured(
            bad_share=bad_share,
            bad_share_max=terms.bad_share_max,
            recovery_s=max(0.0, (self._recovered_s or end_s) - from_s) if recovered else None,
            recovery_target_s=terms.recovery_s,
            dip=dip,
            detected=self._detected(),
            broken=tuple(f"{name}: {seen[0]}" for name, seen in broken.items()),
        )

    def _detected(self) -> float:
        """1 where nothing has to notice."""
        if self.notices is None or not self._terms.detected_by:
            return 1.0
        struck_s = (self._struck_s or self._begun_s) - self._begun_s
        return self.notices.detected(
            self._terms.detected_by, self._terms.runbook, from_s=struck_s, within_s=self._terms.detect_s
        )

    async def _stop_load(self) -> None:
        if self.load is None or not self.load.is_running:
            return
        await self.load.stop()
        for tenant, bodies in self.load.accepted.items():
            self._accepted.setdefault(tenant, []).extend(bodies)

    def _result(self, status: Status, *, measured: Measured | None = None, reason: str = "") -> TrialResult:
        done = self.load.done if self.load is not None else []
        return TrialResult(
            experiment=self._experiment.name,
            seed=self._seed,
            status=status,
            score=None if measured is None else score(measured),
            backend=self._backend,
            measured=measured,
            reason=reason,
            performance=bins(done, self._begun_s, self._now_s()),
            struck_at_s=self._since(self._struck_s),
            healed_at_s=self._since(self._healed_s),
            recovered_at_s=self._since(self._recovered_s),
            noticed=self.notices.noticed if self.notices is not None else [],
            taken=sum(map(len, self.load.accepted.values())) if self.load is not None else 0,
            told=self._place.target.merchant.count if self._place.target is not None else 0,
            carried=self._carried,
        )

    def _since(self, at_s: float | None) -> float | None:
        return None if at_s is None else round(at_s - self._begun_s, 3)


def too_far(limits: AbortIf, lasted_s: float) -> str:
    """Which limit is passed, in words; empty if none is."""
    if limits.lasts_s_above and lasted_s > limits.lasts_s_above:
        return f"it has lasted for {lasted_s:.0f} s"
    free = shutil.disk_usage("/").free
    if free < limits.free_disk_bytes_below:
        return f"only {free} bytes of the disk are free"
    available = available_bytes()
    if available < limits.free_memory_bytes_below:
        return f"only {available} bytes of memory are free"
    load = os.getloadavg()[0]
    if limits.load_above and load > limits.load_above:
        return f"the machine's load is {load:.1f}"
    return ""
