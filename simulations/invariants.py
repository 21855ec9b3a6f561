"""What must hold in every simulated run, checked while it goes and when it has come to rest."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from actors.tenants import Tenant
from domain.codec import Submission
from domain.ids import split_stream_id
from domain.message import Accepted, Failed, Reply, Unchanged
from domain.sharding import bucket_of, tenant_bucket_of
from gateway.asking import AnswerJson, AskRequest
from gateway.quarantine import Quarantine, quarantine_id
from gateway.sources import stripe
from gateway.sources.port import Unreadable
from projections.feed import Feed, LogEntry
from projections.projector import TenantStore
from simulations.invariants_answers import AnswerChecks
from simulations.invariants_sagas import SagaChecks
from simulations.invariants_views import TenantAtRest
from simulations.oracle import History
from simulations.world_merchants import STARTED

if TYPE_CHECKING:
    from simulations.world import World
    from simulations.world_people import Sent

VIOLATIONS_MAX = 20
_ROLES = {
    "payment": "payments",
    "webhook": "payments",
    "effect": "payments",
    "document": "knowledge",
    "index": "knowledge",
}


class Checks:
    """Collects violations: a name that is stable, and what was seen."""

    def __init__(self, feed: Feed, directory: Path, tenants: Sequence[str]) -> None:
        self._feed = feed
        self._directory = directory
        self._tenants = tenants
        self._applied: dict[tuple[str, str], int] = {}
        self.history = History(feed)
        self.answers = AnswerChecks(self.history, self.violated)
        self.sagas = SagaChecks(self.history, self.violated)
        self.violations: list[str] = []
        self.views_digest = ""

    def violated(self, invariant: str, seen: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"{invariant}: {seen}")

    def replies(self, host: str, before: int, batch: Sequence[Submission], replies: Sequence[Reply]) -> None:
        """A reply tells the truth: accepted is in the log where it says, and of what failed nothing is."""
        written: dict[str, list[LogEntry]] = {}
        for entry in self._feed.read(before, limit=10_000).entries:
            written.setdefault(entry.stream, []).append(entry)
        accepted = {each.stream for each, reply in zip(batch, replies, strict=True) if isinstance(reply, Accepted)}
        for submission, reply in zip(batch, replies, strict=True):
            of_stream = written.get(submission.stream, [])
            where = f"{host}: {submission.command_id} to {submission.stream}"
            if isinstance(reply, Accepted):
                if not any((each.position, each.version) == (reply.position, reply.version) for each in of_stream):
                    self.violated("replies", f"{where} was accepted at {reply.position} and is not there")
            elif isinstance(reply, Failed) and of_stream and submission.stream not in accepted:
                self.violated("replies", f"{where} failed ({reply.reason}), and was written")
            elif isinstance(reply, Unchanged) and reply.version == 0:
                self.violated("replies", f"{where} is said to be known, and its stream is empty")

    def watch(self, name: str, generation: int, tenant: Tenant) -> None:
        """No event is applied to the same files twice."""
        for part in (tenant.payments, tenant.knowledge):
            self._watch(f"{name}/g{generation}/{type(part).__name__}", part)

    def _watch(self, place: str, part: TenantStore) -> None:
        apply: Callable[[Sequence[LogEntry], int], set[str]] = part.apply

        def watched(entries: Sequence[LogEntry], position: int) -> set[str]:
            keys = apply(entries, position)
            for entry in entries:
                if (place, entry.stream) in self._applied and self._applied[place, entry.stream] >= entry.position:
                    self.violated("tracking", f"{place} applied position {entry.position} again")
                self._applied[place, entry.stream] = entry.position
            return keys

        part.apply = watched  # type: ignore[method-assign]  # it is this instance that is watched

    def files_lost(self, tenant: str) -> None:
        """What was applied to a tenant's files is gone with them."""
        self._applied = {place: at for place, at in self._applied.items() if not place[0].startswith(f"{tenant}/")}

    def moved(self, host: str, projection: str, before: int, after: int) -> None:
        """A projection never goes back while its process lives."""
        if after < before:
            self.violated("tracking", f"{host} {projection} went from {before} back to {after}")

    def answer_left(self, tenant: str, request: AskRequest, answer: AnswerJson) -> None:
        """An answer has left the gateway."""
        self.history.read()
        self.answers.left(tenant, request, answer)

    def at_the_end(self, world: "World") -> None:
        """Everything that can be said once nothing moves any more."""
        self.history.read()
        self._log_is_in_order()
        self._accepted_is_there(world.provider.accepted)
        self.answers.at_the_end()
        if world.options.is_correcting:
            self.answers.corrections()
        self.sagas.at_the_end(world)
        digest = hashlib.sha256()
        for tenant in self._tenants:
            at_rest = TenantAtRest(world, tenant, self.history, self.violated)
            views = at_rest.check()
            for view in views.values():
                # Of what is done in another schedule other things come.
                if view.payment_id in world.provider.contradicted or view.payment_id.startswith(STARTED):
                    continue
                digest.update(msgspec.json.encode(msgspec.structs.replace(view, position=0)))
        self._directories_are_the_tenants()
        self.views_digest = digest.hexdigest()

    def _log_is_in_order(self) -> None:
        """Versions without a gap, each fact once in its stream, and never an older epoch after a newer one."""
        versions: dict[str, int] = {}
        epochs: dict[tuple[str, int], int] = {}
        for stream, version, epoch, position in self.history.entries:
            if version != versions.get(stream, 0) + 1:
                self.violated("log", f"{stream} has version {version} after {versions.get(stream, 0)} at {position}")
            versions[stream] = version
            category = split_stream_id(stream)[0]
            role = _ROLES.get(category, category)
            lease = (role, tenant_bucket_of(stream) if role == "knowledge" else bucket_of(stream))
            if 0 < epoch < epochs.get(lease, 0):
                self.violated("log", f"{stream}: epoch {epoch} wrote position {position} after epoch {epochs[lease]}")
            epochs[lease] = max(epoch, epochs.get(lease, 0))
        for stream, fact_id in self.history.repeated:
            self.violated("log", f"{stream} has {fact_id} twice")

    def _accepted_is_there(self, accepted: Sequence["Sent"]) -> None:
        """What was accepted is a fact, a sighting or in quarantine."""
        quarantine = Quarantine(self._directory)
        for sent in accepted:
            reading = stripe.read(sent.body, headers={}, ref="")
            if isinstance(reading, Unreadable):
                is_there = False
            elif reading.sighting is not None:
                is_there = (sent.tenant, f"{sent.source}/{reading.event_id}") in self.history.seen
            else:
                is_there = all(self.history.has(sent.tenant, fact) for fact in reading.facts)
            if not is_there and quarantine.message(sent.tenant, quarantine_id(sent.source, sent.body)) is None:
                self.violated("accepted", f"{sent.tenant}: {sent.body[:80]!r} was accepted and is nowhere")
        quarantine.close()

    def _directories_are_the_tenants(self) -> None:
        for directory in sorted((self._directory / "tenants").glob("*")):
            if directory.name not in self._tenants:
                self.violated("tenancy", f"there is a directory {directory.name}")
