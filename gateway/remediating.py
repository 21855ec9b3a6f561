"""The remediator: begins runbooks when an alert fires, a symptom lasts or a person wants it, and takes their steps.

One step at a time on a node, and none that is not in the log before: while the log takes nothing, nothing is remedied.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from domain.errors import FencedError, Rejection, RetryableError, TerminalError
from domain.remediation import (
    ApproveStep,
    BeginRemediation,
    DeclineStep,
    RecordAct,
    RecordCheck,
    RecordUndo,
    RecordVerification,
    Remediation,
    RemediationCommand,
    Run,
    StartStep,
    due,
)
from domain.runbook import RUNBOOKS, Limits, Runbook
from domain.slo import SloAlert
from domain.watch_settings import RemediationSettings
from gateway.remediation_log import RemediationLog
from gateway.remedies import Finding, Remedies

LOOK_EVERY_S = 1.0
REASON_CHARS_MAX = 500

log = structlog.get_logger("remediation")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a runbook stands."""

    runbook: Runbook
    state: Remediation


class Remediator:
    """Takes the steps of runbooks.

    Args:
        kept: where each step is recorded.
        remedies: looks and acts.
        settings: how much it may do by itself.
        clock: the time.
        clock_s: a monotonic clock, for symptoms.
        new_id: names runs.
        runbooks: what it may do.
        pause: waits that many seconds.
    """

    def __init__(
        self,
        kept: RemediationLog,
        remedies: Remedies,
        *,
        settings: RemediationSettings,
        clock: Callable[[], datetime],
        clock_s: Callable[[], float],
        new_id: Callable[[], str],
        runbooks: Sequence[Runbook] = RUNBOOKS,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kept = kept
        self._remedies = remedies
        self._settings = settings
        self._clock = clock
        self._clock_s = clock_s
        self._new_id = new_id
        self._books = {book.name: book for book in runbooks}
        self._pause = pause
        self._limits = Limits(
            cool_down_s=settings.cool_down_s,
            runs_max=settings.runs_max,
            window_s=settings.window_s,
            asks=settings.mode == "ask",
        )
        self._states: dict[str, Remediation] | None = None
        self._firing: dict[tuple[str, str], SloAlert] = {}
        self._since_s: dict[str, float] = {}
        self.ends: Counter[tuple[str, str]] = Counter()

    def on_alert(self, alert: SloAlert) -> None:
        """An alert began to fire, or ended."""
        if alert.is_firing:
            self._firing[alert.slo, alert.alert] = alert
        else:
            self._firing.pop((alert.slo, alert.alert), None)

    async def run(self) -> None:
        """Look and act for as long as the task lives, or until another gateway has taken over."""
        while True:
            try:
                await self.turn()
            except FencedError as error:
                log.warning("remediation_fenced", reason=error.reason)
                return
            except (RetryableError, TerminalError) as error:
                log.warning("remediation_delayed", reason=error.reason)
            except Exception:
                log.exception("remediation_crashed")
            await self._pause(LOOK_EVERY_S)

    async def turn(self) -> None:
        """Look once: begin what is called for, and take the next step of what is under way.

        Raises `RetryableError` while the log is away, `FencedError` once another gateway has taken over.
        """
        self._remedies.look()
        states = await self._known()
        for name, book in self._books.items():
            if states[name].run is None and self._settings.mode != "off" and (trigger := await self._trigger(book)):
                await self._try_to_begin(book, trigger)
            await self._go_on(states, name)

    async def _go_on(self, states: Mapping[str, Remediation], name: str) -> None:
        """Take the step that is due; what is found is acted on at once, and looked at again in the next turn."""
        is_found = True
        while is_found and (run := states[name].run) is not None:
            is_found = due(run, self._clock()) == "checking"
            await self._step(run)

    async def standings(self) -> list[Standing]:
        """How every runbook stands. Raises `RetryableError` while the log cannot be read."""
        states = await self._known()
        return [Standing(runbook=book, state=states[name]) for name, book in self._books.items()]

    @property
    def waiting(self) -> int:
        """How many runs wait for a person."""
        return sum(each.run is not None and each.run.stage == "held" for each in (self._states or {}).values())

    async def begin(self, runbook: str, trigger: str, targets: Sequence[str] = ()) -> Remediation:
        """Begin a run because a person wants it.

        Raises `Rejection` if there is no such runbook or it may not begin now, `RetryableError` while the log is away.
        """
        book = self._books.get(runbook)
        if book is None:
            raise Rejection("remediation.unknown", f"there is no runbook {runbook}")
        return await self._begin(book, trigger, targets)

    async def settle(self, runbook: str, run_id: str, step: str, *, by: str, is_approved: bool) -> Remediation:
        """A person approves or declines the step that waits. Raises as `begin`."""
        if runbook not in self._books:
            raise Rejection("remediation.unknown", f"there is no runbook {runbook}")
        command = ApproveStep if is_approved else DeclineStep
        return await self._decide(runbook, command(run_id=run_id, step=step, by=by))

    async def _known(self) -> dict[str, Remediation]:
        if self._states is None:
            self._states = await self._kept.standing(list(self._books))
        return self._states

    async def _trigger(self, book: Runbook) -> str:
        """Why a run is called for, empty if it is not."""
        # As they are now: others may begin and end while one is looked at.
        for alert in list(self._firing.values()):
            if alert.slo in book.objectives and await self._finds_something(book):
                return f"{alert.alert} of {alert.slo} fires"
        if book.symptom is None:
            return ""
        if not (await self._remedies.find(book.symptom)).targets:
            self._since_s.pop(book.name, None)
            return ""
        lasted_s = self._clock_s() - self._since_s.setdefault(book.name, self._clock_s())
        return f"{book.symptom} for {lasted_s:.0f} s" if lasted_s >= book.symptom_s else ""

    async def _finds_something(self, book: Runbook) -> bool:
        """Whether any of its steps would have something to do: an alert may last for days, and is not its business."""
        return any([(await self._remedies.find(step.check)).targets for step in book.steps])

    async def _try_to_begin(self, book: Runbook, trigger: str) -> None:
        try:
            await self._begin(book, trigger)
        except Rejection as rejection:
            # It cools down, or flaps and a person knows: it is looked at again at the next turn.
            log.debug("remediation_not_begun", runbook=book.name, code=rejection.code, detail=rejection.detail)

    async def _begin(self, book: Runbook, trigger: str, targets: Sequence[str] = ()) -> Remediation:
        command = BeginRemediation(
            run_id=self._new_id(), trigger=trigger, runbook=book, limits=self._limits, targets=tuple(targets)
        )
        after = await self._decide(book.name, command)
        self._since_s.pop(book.name, None)
        if after.run is not None:
            log.warning("remediation_began", runbook=book.name, run_id=after.run.run_id, trigger=trigger)
        elif after.is_flapping:
            log.error("remediation_refused", runbook=book.name, trigger=trigger)
            self.ends[book.name, "refused"] += 1
        return after

    async def _decide(self, runbook: str, command: RemediationCommand) -> Remediation:
        states = await self._known()
        try:
            after = states[runbook] = await self._kept.decide(runbook, command)
        except RetryableError:
            # Whether it is in the log is not known: it is read again.
            self._states = None
            raise
        if after.run is None and after.outcome is not None and not isinstance(command, BeginRemediation):
            self.ends[runbook, after.outcome] += 1
            log.warning("remediation_ended", runbook=runbook, run_id=command.run_id, outcome=after.outcome)
        return after

    async def _step(self, run: Run) -> None:
        """Take the step that is due."""
        of_step = {"run_id": run.run_id, "step": run.step.name}
        match due(run, self._clock()):
            case "checking":
                finding = await self._remedies.find(run.step.check, run.named)
                targets = _wanted(finding, run.named)
                after = await self._decide(run.runbook, RecordCheck(**of_step, targets=targets, found=finding.found))
                if after.run is not None and after.run.stage == "held":
                    log.error("remediation_step_held", runbook=run.runbook, **of_step, reason=after.run.held_for)
            case "ready":
                await self._decide(run.runbook, StartStep(**of_step))
                is_done, found = await self._try_to_act(run)
                await self._decide(run.runbook, RecordAct(**of_step, is_done=is_done, found=found))
            case "acting":
                found = "the node ended in the middle of it"
                await self._decide(run.runbook, RecordAct(**of_step, is_done=False, found=found))
            case "verifying":
                is_well, found = await self._verify(run)
                await self._decide(run.runbook, RecordVerification(**of_step, is_well=is_well, found=found))
            case "undoing":
                is_done, found = await self._try_to_act(run, is_undone=True)
                await self._decide(run.runbook, RecordUndo(**of_step, is_done=is_done, found=found))
            case _:
                return

    async def _verify(self, run: Run) -> tuple[bool, str]:
        if run.step.verify == "named":
            return True, "there is nothing to wait for"
        finding = await self._remedies.find(run.step.verify, run.chosen)
        left = [target for target in finding.targets if target in run.chosen]
        return not left, f"{', '.join(left)}: {finding.found}" if left else finding.found

    async def _try_to_act(self, run: Run, *, is_undone: bool = False) -> tuple[bool, str]:
        action = run.step.undo if is_undone else run.step.act
        assert action is not None, f"{run.step.name} is not to be undone"
        try:
            return True, (await self._remedies.act(action, run.chosen))[:REASON_CHARS_MAX]
        except (RetryableError, TerminalError) as error:
            return False, error.reason[:REASON_CHARS_MAX]
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on, and says so
            return False, f"{type(error).__name__}: {error}"[:REASON_CHARS_MAX]


def _wanted(finding: Finding, named: Sequence[str]) -> tuple[str, ...]:
    """The targets, or those of them that whoever began the run named."""
    return tuple(target for target in finding.targets if not named or target in named)
