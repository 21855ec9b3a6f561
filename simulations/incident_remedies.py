"""What is done about the incident, step by step: each looks first, acts, and is checked; each is told in the log.

Every remedy uses the node's own parts: its poller, its supervisor, its ledger, its sagas' commands.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import msgspec

from actors.generation_requests import (
    BuildGeneration,
    GenerationRefused,
    GenerationReply,
    GenerationRequest,
    GenerationsFound,
    ShowGenerations,
)
from actors.journal import Journal
from actors.log import log_at, place_of
from actors.payment_shard import now
from domain.answer import JudgeAnswer, untrue
from domain.codec import Submission
from domain.errors import RetryableError, TerminalError
from domain.evidence import evidence
from domain.ids import stream_id
from domain.index_generation import UNDER_WAY
from domain.message import Failed, Rejected, Reply
from domain.payment_saga import ResolveEscalation
from domain.polling import PollSettings
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.answering.correcting import correction
from gateway.node import Node
from gateway.polling import Cursors, Poller, pollers_of
from simulations.incident_detection import Detection
from simulations.incident_log import IncidentLog
from simulations.incident_phases import awaited
from simulations.incident_refold import Refold, stated_by
from simulations.incident_world import TENANT, World

STEP_LIMIT_S = 40.0
PERSON = "on call, simulated"

_generations = msgspec.msgpack.Decoder(GenerationReply)
_encode = msgspec.msgpack.Encoder().encode

Submit = Callable[[Sequence[Submission]], Awaitable[list[Reply]]]


class Remedies:
    """The steps.

    Args:
        world: whose node is mended.
        incident: where it is told.
        detection: what was noticed.
        client: for the provider's API.
    """

    def __init__(self, world: World, incident: IncidentLog, detection: Detection, client: httpx.AsyncClient) -> None:
        self._world = world
        self._incident = incident
        self._detection = detection
        self._client = client
        self._node: Node = world.node
        self._poller = self._new_poller()
        # When the last damaged view was gone, and how many answers were found wrong without a late fact.
        self.rebuilt_at: datetime | None = None
        self.audited = 0

    async def hosts_answer(self) -> None:
        """The supervisor starts a host anew by itself; nothing else is begun before all answer."""
        await awaited(self._silent_hosts, STEP_LIMIT_S)
        await self._incident.checked("hosts answer", is_passed=True, detail="every host answers its supervisor")

    def _silent_hosts(self) -> str:
        silent = [host for host, health in self._node.supervisor.health().items() if health is None]
        return f"{', '.join(silent)} to answer" if silent else ""

    async def pull_missed(self) -> None:
        """Read at the provider which events no webhook has told, until there are none."""
        pulled = 0
        while sent := await self._poller.round():
            pulled += sent
        await self._incident.acted(
            "pull missed events", "stripe", "done", f"{pulled} events that no webhook had told yet"
        )

    def _new_poller(self) -> Poller:
        provider = self._world.provider
        settings = PollSettings(
            url=f"{self._world.provider_url}/v1/events",
            key=provider.scenario.api_key,
            params={"delivery_success": "false"},
            lookback_s=3_600.0,
        )
        tenants = {TENANT: TenantSettings(sources={"stripe": SourceSettings(poll=settings)})}
        journal = Journal(log_at(place_of(self._node.settings.store.url, Path(self._node.settings.data))))
        [poller] = pollers_of(
            tenants,
            client=self._client,
            publish=self._node.publisher.publish,
            cursors=Cursors(journal, self._node.payments.submit),
            clock=now,
        )
        return poller

    async def rebuild_views(self) -> None:
        """Where a view is not what the log says, the next generation is built from the log, checked, and takes over."""
        damaged = {tenant: payments for tenant, payments in self._detection.differing.items() if payments}
        for tenant in damaged:
            await ask_generations(
                self._node, BuildGeneration(tenant=tenant, reason="the view is not what the log says")
            )
        for tenant, payments in damaged.items():
            await awaited(partial(_being_built, self._node, tenant), STEP_LIMIT_S)
            self.rebuilt_at = now() if tenant == TENANT else self.rebuilt_at
            detail = f"{len(payments)} payments of it were not what the log says"
            await self._incident.acted("rebuild view", tenant, "done", detail)

    async def judge_answers(self, since_position: int) -> int:
        """Judge every answer that was given from then on by what the log says; returns how many were found wrong.

        The corrector judges an answer when something becomes known that it did not know. One from a damaged view knew
        all, and said something else.
        """
        refold = Refold(self._node.feed)
        refold.read()
        batch = []
        for record in stated_by(refold, refold.payments(TENANT)):
            if record.position < since_position or record.answer_id in refold.invalidated:
                continue
            facts = {said.payment_id: refold.facts(TENANT, said.payment_id) for said in record.stated}
            wrong = untrue(record, facts)
            if not wrong:
                continue
            known = {
                each.said.payment_id: evidence(each.said.payment_id, facts[each.said.payment_id]) for each in wrong
            }
            text = correction(
                wrong, {key: each for key, each in known.items() if each is not None}, record.basis.language
            )
            batch.append(
                Submission(
                    stream=stream_id("answer", TENANT, record.answer_id), command=JudgeAnswer(untrue=wrong, text=text)
                )
            )
        await self._decide(self._node.ledger.judge, batch)
        await self._incident.acted("judge answers", TENANT, "done", f"{len(batch)} were wrong by the log itself")
        self.audited += len(batch)
        return len(batch)

    async def retry_compensations(self) -> None:
        """A person has those sagas go on that gave up, once the provider answers again."""
        waiting = self._node.outbox.escalations(TENANT, limit=200)
        batch = [
            Submission(
                stream=stream_id("payment", TENANT, each.payment_id),
                command=ResolveEscalation(number=each.number, resolution="retry", note="the provider answers again"),
            )
            for each in waiting
        ]
        await self._decide(self._node.payments.submit, batch)
        for each in waiting:
            await self._incident.acted("retry compensation", each.payment_id, "done", each.reason, by=PERSON)

    async def _decide(self, submit: Submit, batch: list[Submission]) -> None:
        if not batch:
            return
        replies = await submit(batch)
        for reply in replies:
            if isinstance(reply, Failed | Rejected):
                raise RetryableError(f"not decided: {msgspec.to_builtins(reply)}")


async def ask_generations(node: Node, request: GenerationRequest) -> GenerationsFound:
    """What an index shard says of a tenant's generations. Raises `RetryableError` or `TerminalError`."""
    reply: GenerationReply = _generations.decode(await node.call_index(request.tenant)("generations", _encode(request)))
    if isinstance(reply, GenerationRefused):
        raise TerminalError(f"{reply.code}: {reply.detail}")
    return reply


async def _being_built(node: Node, tenant: str) -> str:
    found = await ask_generations(node, ShowGenerations(tenant=tenant))
    under_way = [each for each in found.generations if each.stage in UNDER_WAY]
    return f"generation {under_way[0].generation} of {tenant} to be active" if under_way else ""
