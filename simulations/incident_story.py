"""The payment reconciliation incident from beginning to end, on the live stack: six phases, each on conditions."""

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from actors.generation_requests import BuildGeneration, RollBack, ShowGenerations
from actors.payment_shard import now
from domain.codec import tag_of
from domain.errors import TerminalError
from domain.incident import Impact
from domain.payment_saga import CompensationBegan
from gateway.http.views import timestamp
from simulations.incident_books import untrue_fields, word_of
from simulations.incident_checks import Verified, probes, verify
from simulations.incident_damage import Damage, ViewCheck, damage
from simulations.incident_detection import Detection
from simulations.incident_impact import impact
from simulations.incident_log import IncidentLog
from simulations.incident_phases import Phase, awaited
from simulations.incident_plan import Plan
from simulations.incident_remedies import Remedies, ask_generations
from simulations.incident_world import TENANT, World
from simulations.provider_scenario import EventShares, ExactCallFault, Opened

PHASE_LIMIT_S = 60.0
TOLD_MIN = 3
INDEX_HOST = "knowledge-0"
# The tenant's first, which is retired in the baseline.
STALE_GENERATION = 1
VERIFICATION = "verification"


class Incident:
    """One run's phases.

    Args:
        plan: how large and how fast.
        world: the node and everybody around it.
        incident: its stream in the log.
        detection: what notices.
        remedies: what is done.
        check: the views against the log.
    """

    def __init__(
        self,
        plan: Plan,
        world: World,
        incident: IncidentLog,
        detection: Detection,
        remedies: Remedies,
        check: ViewCheck,
    ) -> None:
        self._plan = plan
        self._world = world
        self._incident = incident
        self._detection = detection
        self.remedies = remedies
        self._check = check
        self._node = world.node
        self._sagas: list[str] = []
        self.began_position = 0
        self.damaged = Damage(payments=[], positions=[])
        self.damaged_at: datetime | None = None
        self.impact: Impact | None = None
        self.verified: Verified | None = None

    def phases(self) -> list[Phase]:
        """All six, in order."""
        limit_s = PHASE_LIMIT_S
        return [
            Phase(name="baseline", entry=self._ready, act=self._baseline, exit=self._baseline_held, limit_s=limit_s),
            Phase(
                name="webhooks disordered",
                entry=self._nothing_wrong,
                act=self._disorder,
                exit=self._disordered,
                limit_s=limit_s,
            ),
            Phase(
                name="compensations fail",
                entry=self._noticed,
                act=self._let_deadlines_pass,
                exit=self._given_up,
                limit_s=limit_s,
            ),
            Phase(
                name="views corrupted", entry=self._noticed, act=self._corrupt, exit=self._corrupted, limit_s=limit_s
            ),
            Phase(name="impact measured", entry=self._noticed, act=self._measure, exit=self._measured, limit_s=limit_s),
            Phase(name="recovery", entry=self._noticed, act=self._recover, exit=self._recovered, limit_s=2 * limit_s),
        ]

    def _fault(self, name: str, text: str, *, is_on: bool = True, **data: Any) -> None:  # noqa: ANN401 - what belongs to a sample
        self._world.samples.add("fault", name, at=now(), value=float(is_on), text=text, **data)

    def _ready(self) -> str:
        silent = [host for host, health in self._node.supervisor.health().items() if health is None]
        return f"{', '.join(silent)} to answer" if silent else ""

    async def _baseline(self) -> None:
        """Orders and questions; and, as from time to time, a new generation takes over from the first."""
        self._world.is_paying = self._world.is_asking = True
        await awaited(self._to_open, PHASE_LIMIT_S)
        self._world.closed = set(self._refunded()[: self._plan.damaged])
        await awaited(self._told_of_closed, PHASE_LIMIT_S)
        await ask_generations(self._node, BuildGeneration(tenant=TENANT, reason="as from time to time"))
        await awaited(partial(self._active, STALE_GENERATION + 1), PHASE_LIMIT_S)

    def _to_open(self) -> str:
        """Half of the orders, and as many with refunds as will be edited later on."""
        missing = {
            "orders": self._plan.orders // 2 - len(self._world.orders),
            "refunded orders": self._plan.damaged - len(self._refunded()),
        }
        return ", ".join(f"{count} {what}" for what, count in missing.items() if count > 0)

    def _refunded(self) -> list[str]:
        lives = self._world.provider.books.lives
        return [each for each in self._world.orders if lives[each].refunds]

    async def _told_of_closed(self) -> str:
        """Whether the view has heard all of the orders to which nothing happens any more."""
        at, lives = now(), self._world.provider.books.lives
        left = 0
        for payment_id in sorted(self._world.closed):
            view = await self._world.client.payment(payment_id)
            is_heard = view is not None and not untrue_fields(word_of(lives[payment_id]), view)
            left += not (is_heard and self._world.settled.may_ask(payment_id, at))
        return f"{left} refunds to be heard of" if left else ""

    def _baseline_held(self) -> str:
        told = self._world.told
        if told["wrong"]:
            raise TerminalError(f"{told['wrong']} answers were wrong before anything went wrong")
        missing = self._plan.right_min - told["right"]
        right = probes("right")
        if missing > 0 or right < self._plan.probes_min:
            return f"{max(missing, 0)} right answers, {max(self._plan.probes_min - right, 0)} probes"
        return ""

    def _nothing_wrong(self) -> str:
        return "no alert to fire" if self._node.watch.engine.firing().get("answer-accuracy") else ""

    async def _disorder(self) -> None:
        real_s = self._plan.real_s
        self.began_position = await asyncio.to_thread(self._node.feed.head)
        self._detection.is_on = True
        shares = EventShares(
            late=0.35,
            late_s=(real_s(40), real_s(120)),
            duplicate=0.4,
            duplicate_after_s=real_s(20),
            reordered=0.4,
            reordered_s=real_s(20),
            lost=0.18,
        )
        self._world.provider.fates.events = shares
        self._fault(
            "webhooks", "webhooks come late, twice, out of order, and some never", **msgspec.to_builtins(shares)
        )

    def _disordered(self) -> str:
        orders = self._plan.orders - len(self._world.orders)
        missing = {
            "lost webhooks": self._plan.lost_min - len(self._world.provider.webhooks.lost),
            "wrong answers": self._plan.wrong_min - self._world.told["wrong"],
            "corrections": 1 - self._node.corrector.counts["invalidated"],
            "orders": orders,
        }
        return ", ".join(f"{count} {what}" for what, count in missing.items() if count > 0)

    def _noticed(self) -> str:
        return "" if self._incident.noticed else "anybody to notice"

    async def _let_deadlines_pass(self) -> None:
        """Payments are started; some are paid too late and cannot be refunded, of others even canceling fails."""
        provider, plan = self._world.provider, self._plan
        for number in range(plan.sagas):
            payment_id = f"pi_saga{number:02}"
            is_paid_late = number % 2 == 0
            fault = "POST /v1/refunds" if is_paid_late else f"POST /v1/payment_intents/{payment_id}/cancel"
            provider.fates.expect(ExactCallFault(call=fault, fault="error_before", payment=payment_id, times=10_000))
            provider.books.open(Opened(id=payment_id, amount=4_900, customer=f"cus_{number:02}"))
            self._sagas.append(payment_id)
            await self._world.client.post(
                f"/v1/{TENANT}/payments",
                {
                    "payment_id": payment_id,
                    "amount_minor": 4_900,
                    "currency": "EUR",
                    "deadline_at": timestamp(now() + timedelta(seconds=plan.real_s(12))),
                    "provider": "stripe",
                    "on_timeout": "refund" if is_paid_late else "cancel",
                },
            )
        self._fault("provider", "refunds and cancels fail at the provider", payments=self._sagas)
        await awaited(self._to_begin, PHASE_LIMIT_S)
        for payment_id in self._sagas[::2]:
            provider.books.step(payment_id, "succeed")

    def _to_begin(self) -> str:
        """Which payments are not yet to be undone: who pays too late does so after that."""
        page = self._node.feed.read(self.began_position, limit=1_000, topics=(tag_of(CompensationBegan),))
        missing = set(self._sagas) - {entry.key for entry in page.entries}
        return f"{len(missing)} payments to be undone" if missing else ""

    def _given_up(self) -> str:
        waiting = {each.payment_id for each in self._node.outbox.escalations(TENANT, limit=200)}
        missing = [each for each in self._sagas if each not in waiting]
        return f"{len(missing)} compensations to be given up: {', '.join(missing)}" if missing else ""

    async def _corrupt(self) -> None:
        """The projector's process dies; a script edits a view meanwhile; somebody goes back to a stale generation.

        The script's edits of the tenant's retired generation are noticed by nobody, until it is active again. Of the
        prober's tenant it edits the one that answers.
        """
        health = self._node.supervisor.health()[INDEX_HOST]
        assert health is not None, "the phase begins with hosts that answer"
        os.kill(health.pid, signal.SIGKILL)
        self._fault("projector", f"{INDEX_HOST} killed", pid=health.pid)
        tenants = self._node.data / "tenants"
        canary = self._node.settings.prober.tenant
        of_canary = await asyncio.to_thread(damage, tenants / canary / "g1" / "facts.sqlite")
        self._fault("view", f"refunds of {len(of_canary.payments)} payments of {canary} edited", tenant=canary)
        self.damaged = await asyncio.to_thread(
            damage, tenants / TENANT / f"g{STALE_GENERATION}" / "facts.sqlite", self._world.closed
        )
        self.damaged_at = now()
        await awaited(self._ready_anew(health.pid), PHASE_LIMIT_S)
        await ask_generations(self._node, RollBack(tenant=TENANT, reason="the answers looked better before"))
        self._fault(
            "generation",
            f"{TENANT} rolled back to generation {STALE_GENERATION}, of which the refunds of "
            f"{len(self.damaged.payments)} payments were edited while it was retired",
            payments=self.damaged.payments,
        )
        await awaited(partial(self._active, STALE_GENERATION), PHASE_LIMIT_S)

    async def _active(self, generation: int) -> str:
        found = await ask_generations(self._node, ShowGenerations(tenant=TENANT))
        return "" if found.active == generation else f"generation {generation} of {TENANT} to be active"

    def _ready_anew(self, before: int) -> Callable[[], str]:
        def missing() -> str:
            health = self._node.supervisor.health()[INDEX_HOST]
            return "" if health is not None and health.pid != before else f"{INDEX_HOST} to be started anew"

        return missing

    def _corrupted(self) -> str:
        watches = {watch for watch, _ in self._incident.noticed}
        missing = [f"{watch} to notice" for watch in sorted({"view check", "host"} - watches)]
        if ("objective", "answer-accuracy") not in self._incident.noticed:
            missing.append("the objective of answers to be missed")
        told = self._told_of(self.damaged.payments)
        if told < TOLD_MIN:
            missing.append(f"{TOLD_MIN - told} wrong answers from the damaged view")
        return ", ".join(missing)

    def _told_of(self, payments: list[str]) -> int:
        """How many wrong answers about these were given in this phase."""
        return sum(
            each.kind == "answer"
            and each.value > 0
            and each.data["phase"] == self._world.phase
            and each.data["payment_id"] in payments
            for each in self._world.samples.all
        )

    async def _measure(self) -> None:
        await self._incident.acknowledge("automation")
        self.impact = impact(self._world)
        await self._incident.measured(self.impact)

    def _measured(self) -> str:
        wrong = self.impact.wrong if self.impact is not None else 0
        return "" if wrong else "wrong answers to be counted"

    async def _recover(self) -> None:
        without = self._plan.without
        self._world.is_paying = False
        self._world.provider.fates.forgive()
        self._world.provider.fates.events = EventShares()
        self._fault("provider", "the provider sends and answers as it should again", is_on=False)
        await self.remedies.hosts_answer()
        if "pull of missed events" not in without:
            await self.remedies.pull_missed()
        if "rebuild of the view" not in without:
            await self.remedies.rebuild_views()
        if "retry of compensations" not in without:
            await self.remedies.retry_compensations()
        await awaited(self._at_rest, PHASE_LIMIT_S)
        if "pull of missed events" not in without:
            await self.remedies.pull_missed()
        else:
            await awaited(self._told, PHASE_LIMIT_S)
        if "audit of answers" not in without:
            await self.remedies.judge_answers(self.began_position)
        self._world.is_asking = False
        await self._world.quiet()
        await self._world.client.drained()
        self._world.phase = VERIFICATION
        self.verified = await verify(self._world, self._check)
        for name, complaints in self.verified.checks.items():
            detail = complaints[0] if complaints else "as the provider's books say"
            await self._incident.checked(name, is_passed=not complaints, detail=detail)
        if not any(self.verified.checks.values()):
            await self._incident.resolve("verified against the provider's books")

    def _at_rest(self) -> str:
        """Whether nothing is outstanding in the world, and nothing is on its way at the provider."""
        effects = self._node.outbox.counts(now()).effects
        if effects and "retry of compensations" not in self._plan.without:
            return f"{effects} effects to be performed"
        lives = self._world.provider.books.lives.values()
        pending = sum(refund.status == "pending" for life in lives for refund in life.refunds.values())
        return f"{pending} refunds to be through" if pending else ""

    def _told(self) -> str:
        """Whether no webhook is late any more: what comes then was lost."""
        return "" if self._world.is_told() else "webhooks that are on their way"

    def _recovered(self) -> str:
        assert self.verified is not None, "it was looked"
        return ""
