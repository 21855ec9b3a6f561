"""What a node can see of its troubles and do about them: the conditions and actions that runbooks name."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, assert_never

import msgspec

from domain.errors import RetryableError, TerminalError
from domain.runbook import Action, Condition
from gateway.tally import Tallied

BROKER = "nats"
ACT_TIMEOUT_S = 120.0
STUCK_AFTER_S = 10.0
# A source is spoilt if more than half of what it sent lately was put aside, and it was not just a few.
SPOILT_WINDOW_S = 30.0
SPOILT_MIN = 20
SPOILT_SHARE = 0.5
# A few probes fit into it.
CANARY_WINDOW_S = 300.0
# What was put aside because of us, not of what it says: it may be taken in once the trouble is over.
RETRYABLE_CODE = "command.failed"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found: the targets that something is to be done about, and what was seen, in words."""

    targets: tuple[str, ...]
    found: str


class Parts(Protocol):
    """What the remedies need of a node."""

    def silent_hosts(self) -> Sequence[str]:
        """Hosts that do not answer."""
        ...

    def stuck_hosts(self, after_s: float) -> Sequence[str]:
        """Index hosts whose projection has stood still for longer."""
        ...

    async def broker_trouble(self) -> str:
        """Why the bus takes nothing although a restart might help; empty if it works, or is not ours."""
        ...

    def tallied(self) -> Sequence[Tallied]:
        """What came of every source, and what of it was put aside, since the start."""
        ...

    async def retryable(self) -> Mapping[str, int]:
        """Tenant -> how many open entries of its quarantine are worth another try."""
        ...

    def pollable(self) -> Sequence[str]:
        """`tenant/source` of every API that can be asked."""
        ...

    def wrong_canaries(self) -> tuple[str, float]:
        """The canary tenant, and how often it was answered wrongly since the start."""
        ...

    async def unfinished_build(self, tenant: str) -> str:
        """What keeps the tenant's newest generation from being finished; empty if nothing does."""
        ...

    async def rebuild(self, tenant: str) -> None:
        """Have the next generation built beside the active one."""
        ...

    async def roll_back(self, tenant: str) -> None:
        """Go back to the generation before the active one."""
        ...

    async def restart_host(self, name: str) -> None: ...

    async def restart_broker(self) -> None: ...

    async def requeue(self, tenant: str) -> int:
        """Send in again what is worth it; returns how many."""
        ...

    async def poll(self, source: str) -> int:
        """Ask `tenant/source` now; returns how many messages were new."""
        ...

    def pause(self, source: str) -> float:
        """Hold up `tenant/source`; returns for how many seconds."""
        ...

    def resume(self, source: str) -> None: ...

    def open_circuit(self, account: str) -> float:
        """Leave `tenant/account` alone; returns for how many seconds."""
        ...

    def wanted_intakes(self) -> Sequence[str]:
        """The intake to be started next, if those that there are have been behind for long."""
        ...

    def spare_intakes(self) -> Sequence[str]:
        """The intake to be ended next, if there has been little to do for long."""
        ...

    def unhelpful_intakes(self) -> Sequence[str]:
        """The intake that was started last, unless it is better with it."""
        ...

    def missed_intakes(self) -> Sequence[str]:
        """The intake that was ended last, unless it is well without it."""
        ...

    def intake_load(self) -> str:
        """What the intakes had to do lately, in words."""
        ...

    async def start_intake(self, name: str) -> None: ...

    async def stop_intake(self, name: str) -> None:
        """Have an intake finish what it has, and end it."""
        ...


class Remedies:
    """Looks and acts.

    Args:
        parts: the node's.
        clock_s: a monotonic clock.
    """

    def __init__(self, parts: Parts, *, clock_s: Callable[[], float]) -> None:
        self._parts = parts
        self._clock_s = clock_s
        self._seen: deque[tuple[float, dict[str, Tallied]]] = deque()
        self._wrong: deque[tuple[float, float]] = deque()

    def look(self) -> None:
        """Remember what was counted, to be compared with later; to be called every few seconds."""
        now_s = self._clock_s()
        self._seen.append((now_s, self._by_source()))
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - SPOILT_WINDOW_S:
            self._seen.popleft()
        self._wrong.append((now_s, self._parts.wrong_canaries()[1]))
        while len(self._wrong) > 1 and self._wrong[1][0] <= now_s - CANARY_WINDOW_S:
            self._wrong.popleft()

    async def find(self, condition: Condition, named: Sequence[str] = ()) -> Finding:
        """What the condition is found of. Raises `RetryableError` where that cannot be seen now."""
        match condition:
            case "host_silent":
                return _finding(self._parts.silent_hosts(), "does not answer", "every host answers")
            case "projection_stuck":
                stuck = self._parts.stuck_hosts(STUCK_AFTER_S)
                return _finding(stuck, f"stands still for {STUCK_AFTER_S:g} s", "every projection moves")
            case "broker_deaf":
                trouble = await self._parts.broker_trouble()
                return _finding([BROKER] if trouble else [], trouble, "the bus takes messages")
            case "source_spoilt":
                spoilt = self._spoilt()
                return _finding(spoilt, "sends what cannot be taken in", "no source is mostly put aside")
            case "quarantine_retryable":
                open_ = {tenant: count for tenant, count in (await self._parts.retryable()).items() if count}
                return _finding(list(open_), f"{sum(open_.values())} messages are worth another try", "none is")
            case "pollable":
                return _finding(self._parts.pollable(), "can be asked", "no source has an API to ask")
            case "canary_wrong":
                return _finding(self._wrong_canaries(), "was answered wrongly", "no canary answer was wrong")
            case "build_unfinished":
                unfinished = {tenant: await self._parts.unfinished_build(tenant) for tenant in named}
                left = [tenant for tenant, why in unfinished.items() if why]
                return _finding(left, "; ".join(filter(None, unfinished.values())), "the newest generation is finished")
            case "intakes_behind":
                return self._of_intakes(self._parts.wanted_intakes())
            case "intakes_quiet":
                return self._of_intakes(self._parts.spare_intakes())
            case "intake_unhelpful":
                return self._of_intakes(self._parts.unhelpful_intakes())
            case "intake_missed":
                return self._of_intakes(self._parts.missed_intakes())
            case "named":
                return _finding(named, "was named", "nothing was named")
            case _:
                assert_never(condition)

    async def act(self, action: Action, targets: Sequence[str]) -> str:
        """Do it to every target, one after the other, and say what was done.

        Raises `RetryableError` or `TerminalError` for the first that it could not be done to.
        """
        try:
            async with asyncio.timeout(ACT_TIMEOUT_S):
                return "; ".join([await self._act(action, target) for target in targets])
        except TimeoutError:
            raise RetryableError(f"{action} took longer than {ACT_TIMEOUT_S:g} s") from None

    async def _act(self, action: Action, target: str) -> str:
        parts = self._parts
        match action:
            case "restart_host":
                await parts.restart_host(target)
                return f"{target} was restarted"
            case "restart_broker":
                await parts.restart_broker()
                return f"{target} was restarted"
            case "requeue_quarantine":
                return f"{await parts.requeue(target)} messages of {target} were sent in again"
            case "pull_missed":
                return f"{target} was asked and had {await parts.poll(target)} new messages"
            case "rebuild_generation":
                await parts.rebuild(target)
                return f"the next generation of {target} is being built"
            case "roll_back_generation":
                await parts.roll_back(target)
                return f"{target} goes back to the generation before"
            case "pause_source":
                return f"{target} is paused for {parts.pause(target):g} s"
            case "resume_source":
                parts.resume(target)
                return f"{target} is taken again"
            case "open_circuit":
                return f"{target} is left alone for {parts.open_circuit(target):g} s"
            case "start_intake":
                await parts.start_intake(target)
                return f"{target} takes in messages"
            case "stop_intake":
                await parts.stop_intake(target)
                return f"{target} has finished and ended"
            case _:
                assert_never(action)

    def _of_intakes(self, names: Sequence[str]) -> Finding:
        load = self._parts.intake_load()
        return _finding(names, load, load)

    def _by_source(self) -> dict[str, Tallied]:
        """The counts of all hosts together."""
        together: dict[str, Tallied] = {}
        for each in self._parts.tallied():
            name = f"{each.tenant}/{each.source}"
            before = together.get(name)
            together[name] = msgspec.structs.replace(
                each,
                messages=each.messages + (before.messages if before else 0),
                quarantined=each.quarantined + (before.quarantined if before else 0),
            )
        return together

    def _wrong_canaries(self) -> list[str]:
        tenant, wrong = self._parts.wrong_canaries()
        return [tenant] if self._wrong and wrong > self._wrong[0][1] else []

    def _spoilt(self) -> list[str]:
        """The sources of which most was put aside within the window."""
        if not self._seen:
            return []
        then, found = self._seen[0][1], []
        for name, now in self._by_source().items():
            before = then.get(name)
            messages = now.messages - (before.messages if before else 0)
            quarantined = now.quarantined - (before.quarantined if before else 0)
            if quarantined >= SPOILT_MIN and quarantined > SPOILT_SHARE * messages:
                found.append(name)
        return found


def split_target(target: str) -> tuple[str, str]:
    """`tenant/source` apart. Raises `TerminalError` for what is none."""
    tenant, separator, source = target.partition("/")
    if not separator or not tenant or not source:
        raise TerminalError(f"{target!r}: write tenant/source")
    return tenant, source


def _finding(targets: Sequence[str], seen: str, well: str) -> Finding:
    return Finding(targets=tuple(targets), found=seen if targets else well)
