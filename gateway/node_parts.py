"""The parts of a running node, as remedies see them and act on them."""

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
from nats.errors import Error as NatsError

from actors.generation_requests import (
    BuildGeneration,
    GenerationRefused,
    GenerationReply,
    GenerationRequest,
    GenerationsFound,
    RollBack,
    ShowGenerations,
)
from actors.index import ROLE as INDEX_ROLE
from actors.journal import Journal
from actors.payment_shard import new_id, now
from domain.errors import TerminalError
from domain.index_generation import UNDER_WAY
from gateway.prober import PROBES
from gateway.remediating import Remediator
from gateway.remediation_log import RemediationLog
from gateway.remedies import RETRYABLE_CODE, Remedies, split_target
from gateway.requeueing import AT_ONCE, send_again
from gateway.tally import Tallied

if TYPE_CHECKING:
    from gateway.node import Node

BROKER_TIMEOUT_S = 2.0
REFUSES_AFTER_S = 5.0
# Below this the disk is full for a server that writes its files in blocks: to start it again would not help.
ROOM_BYTES_MIN = 16 * 1024**2
# So says the server of a stream that has reached its limit: no restart makes it smaller.
STREAM_FULL = "maximum bytes exceeded"
REQUEUE_MAX = 1_000
_replies = msgspec.msgpack.Decoder(GenerationReply)


class NodeParts:
    """What remedies look at and act on."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._tenants = node.settings.tenants.keys()

    def silent_hosts(self) -> Sequence[str]:
        return [name for name, health in self._node.supervisor.health().items() if health is None]

    def stuck_hosts(self, after_s: float) -> Sequence[str]:
        stale_s = max(self._node.watch.stale_s.values(), default=0.0)
        at = {
            f"{INDEX_ROLE}-{shard}": min(each.projected.values(), default=0)
            for shard, each in enumerate(self._node.listeners)
        }
        return lagging(at, stale_s, after_s)

    def tallied(self) -> Sequence[Tallied]:
        return [*self._node.tally.totals(), *chain.from_iterable(self._node.tallied.values())]

    async def broker_trouble(self) -> str:
        if self._node.nats_server is None or shutil.disk_usage(self._node.data / "nats").free < ROOM_BYTES_MIN:
            return ""
        if not self._node.bus.is_connected:
            return "the gateway is not connected to it"
        try:
            await self._node.bus.flush(BROKER_TIMEOUT_S)  # type: ignore[arg-type]  # seconds, whatever its annotation says
        except (NatsError, TimeoutError):
            return f"it does not answer within {BROKER_TIMEOUT_S:g} s"
        publisher = self._node.publisher
        refuses_s = asyncio.get_running_loop().time() - publisher.refused_since_s
        if publisher.refusal and STREAM_FULL not in publisher.refusal and refuses_s > REFUSES_AFTER_S:
            return publisher.refusal
        return ""

    async def retryable(self) -> Mapping[str, int]:
        return {
            tenant: await asyncio.to_thread(self._node.quarantine.count, tenant, code=RETRYABLE_CODE)
            for tenant in self._tenants
        }

    def pollable(self) -> Sequence[str]:
        return list(self._node.pollers)

    def wrong_canaries(self) -> tuple[str, float]:
        [counter] = PROBES.collect()
        wrong = [each.value for each in counter.samples if each.labels.get("outcome") == "wrong"]
        return self._node.settings.prober.tenant, max(wrong, default=0.0)

    async def unfinished_build(self, tenant: str) -> str:
        found = await self._asked(ShowGenerations(tenant=tenant))
        newest = max(found.generations, key=lambda each: each.generation, default=None)
        if newest is None or newest.stage not in {*UNDER_WAY, "abandoned"}:
            return ""
        why = f": {newest.abandoned_for}" if newest.abandoned_for else ""
        return f"generation {newest.generation} of {tenant} is {newest.stage}{why}"

    async def rebuild(self, tenant: str) -> None:
        await self._asked(BuildGeneration(tenant=tenant, reason="remediation"))

    async def roll_back(self, tenant: str) -> None:
        await self._asked(RollBack(tenant=tenant, reason="remediation"))

    async def _asked(self, request: GenerationRequest) -> GenerationsFound:
        """Raises `RetryableError` while the index is away, `TerminalError` where the rules refuse it."""
        if request.tenant not in self._tenants:
            raise TerminalError(f"there is no tenant {request.tenant}")
        call = self._node.call_index(request.tenant)
        reply: GenerationReply = _replies.decode(await call("generations", msgspec.msgpack.encode(request)))
        if isinstance(reply, GenerationRefused):
            raise TerminalError(f"{reply.code}: {reply.detail}")
        return reply

    async def restart_host(self, name: str) -> None:
        await self._node.supervisor.restart(name)

    async def restart_broker(self) -> None:
        if self._node.nats_server is None:
            raise TerminalError("the server of nats.url is its operator's to restart")
        await self._node.nats_server.restart()
        self._node.publisher.refusal = ""

    async def requeue(self, tenant: str) -> int:
        entries = await asyncio.to_thread(
            self._node.quarantine.listed, tenant, code=RETRYABLE_CODE, order="last_seen_at", limit=REQUEUE_MAX
        )
        count = 0
        for start in range(0, len(entries), AT_ONCE):
            messages = {}
            for entry in entries[start : start + AT_ONCE]:
                message = await asyncio.to_thread(self._node.quarantine.message, tenant, entry.id)
                if message is not None:
                    messages[entry.id] = message
            await send_again(self._node.quarantine, self._node.publisher.publish, tenant, messages, "remediation")
            count += len(messages)
        return count

    async def poll(self, source: str) -> int:
        poller = self._node.pollers.get(source)
        if poller is None:
            raise TerminalError(f"{source} has no API to ask")
        return await poller.round()

    def pause(self, source: str) -> float:
        self._node.pauses.pause(*self._known(source), self._node.settings.remediation.pause_s)
        return self._node.settings.remediation.pause_s

    def resume(self, source: str) -> None:
        self._node.pauses.resume(*split_target(source))

    def open_circuit(self, account: str) -> float:
        return self._node.effects.open_circuit(self._known(account))

    def wanted_intakes(self) -> Sequence[str]:
        return self._node.intakes.wanted()

    def spare_intakes(self) -> Sequence[str]:
        return self._node.intakes.spare()

    def unhelpful_intakes(self) -> Sequence[str]:
        return self._node.intakes.unhelpful()

    def missed_intakes(self) -> Sequence[str]:
        return self._node.intakes.missed()

    def intake_load(self) -> str:
        return self._node.intakes.seen()

    async def start_intake(self, name: str) -> None:
        await self._node.intakes.add(name)

    async def stop_intake(self, name: str) -> None:
        await self._node.intakes.remove(name)

    def _known(self, target: str) -> tuple[str, str]:
        tenant, source = split_target(target)
        if tenant not in self._tenants:
            raise TerminalError(f"there is no tenant {tenant}")
        return tenant, source


def lagging(projected: Mapping[str, int], stale_s: float, after_s: float) -> list[str]:
    """The hosts (name -> position) that are furthest behind, if something has been stale for longer than `after_s`."""
    if stale_s <= after_s or not projected:
        return []
    behind = min(projected.values())
    return [name for name, position in projected.items() if position == behind]


def make_remediator(node: "Node", journal: Journal) -> Remediator:
    """Who takes the steps of runbooks on a node."""
    return Remediator(
        RemediationLog(journal, node="gateway", clock=now, new_id=new_id),
        Remedies(NodeParts(node), clock_s=time.monotonic),
        settings=node.settings.remediation,
        clock=now,
        clock_s=time.monotonic,
        new_id=new_id,
    )
