"""What must hold in every simulated run, checked while it goes and when it has come to rest."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from actors.tenants import Tenant
from domain.answer import AnswerGiven, AnswerRepeated
from domain.codec import Submission
from domain.ids import split_stream_id
from domain.message import Accepted, Failed, Reply, Unchanged
from domain.payment import PaymentView
from domain.sharding import bucket_of, tenant_bucket_of
from gateway.asking import AnswerJson, AskRequest
from gateway.http.views import payment_json
from gateway.quarantine import Quarantine, quarantine_id
from gateway.sources import stripe
from gateway.sources.port import Unreadable
from projections.feed import Feed, LogEntry
from projections.payment_view import PaymentStore
from projections.projector import TenantStore
from simulations.oracle import History
from simulations.truth import differences

if TYPE_CHECKING:
    from simulations.world import World
    from simulations.world_people import Sent

VIOLATIONS_MAX = 20
_ROLES = {"payment": "payments", "webhook": "payments", "document": "knowledge", "index": "knowledge"}


class Checks:
    """Collects violations: a name that is stable, and what was seen."""

    def __init__(self, feed: Feed, directory: Path, tenants: Sequence[str]) -> None:
        self._feed = feed
        self._directory = directory
        self._tenants = tenants
        self._applied: dict[tuple[str, str], int] = {}
        self._left: list[tuple[str, str]] = []
        self.history = History(feed)
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

    def moved(self, host: str, projection: str, before: int, after: int) -> None:
        """A projection never goes back while its process lives."""
        if after < before:
            self.violated("tracking", f"{host} {projection} went from {before} back to {after}")

    def answer_left(self, tenant: str, request: AskRequest, answer: AnswerJson) -> None:
        """What is said of a payment is the fold of the log at the position that the answer names, cached or not."""
        self._left.append((tenant, answer.answer_id))
        if request.known_at is not None:
            return
        self.history.read()
        for said in answer.payments:
            then = self.history.view(tenant, said.payment_id, answer.position)
            if then is None or _of_view(then) != _of_json(msgspec.to_builtins(said)):
                how = "cached" if answer.cached else "fresh"
                self.violated(
                    "answers", f"{how}, {said.payment_id} at {answer.position}: {_of_json(msgspec.to_builtins(said))}"
                )

    def at_the_end(self, world: "World") -> None:
        """Everything that can be said once nothing moves any more."""
        self.history.read()
        self._log_is_in_order()
        self._accepted_is_there(world.provider.accepted)
        self._answers_are_in_the_ledger()
        digest = hashlib.sha256()
        for tenant in self._tenants:
            views = self._views_are_the_refold(tenant)
            self._money_is_the_providers(world, tenant, views)
            self._documents_are_the_refold(world, tenant)
            for view in views.values():
                if view.payment_id in world.provider.contradicted:
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

    def _answers_are_in_the_ledger(self) -> None:
        """Whatever was said is in the ledger, as often as it was said or more."""
        given: dict[tuple[str, str], int] = {}
        for tenant, key, event in self.history.answers:
            if isinstance(event, AnswerGiven):
                given[tenant, key] = given.get((tenant, key), 0) + 1
            elif isinstance(event, AnswerRepeated):
                given[tenant, key] = given.get((tenant, key), 0) + event.count
        for tenant, answer_id in dict.fromkeys(self._left):
            if given.get((tenant, answer_id), 0) < self._left.count((tenant, answer_id)):
                self.violated("ledger", f"{tenant}: {answer_id} was said more often than it was entered")

    def _generation(self, tenant: str) -> Path:
        return self._directory / "tenants" / tenant / "g1"

    def _views_are_the_refold(self, tenant: str) -> dict[str, PaymentView]:
        """The payments view as it lies in the files is the log's facts folded from nothing."""
        wanted = self.history.views(tenant)
        if not (self._generation(tenant) / "facts.sqlite").exists():
            if wanted:
                self.violated("view", f"{tenant} has no view")
            return wanted
        store = PaymentStore(self._generation(tenant))
        kept = {view.payment_id: view for view in store.payments(limit=10_000).payments}
        for payment_id in dict.fromkeys([*wanted, *kept]):
            if kept.get(payment_id) != wanted.get(payment_id):
                self.violated(
                    "view", f"{tenant}/{payment_id} is {kept.get(payment_id)} and should be {wanted.get(payment_id)}"
                )
        store.close()
        return wanted

    def _money_is_the_providers(self, world: "World", tenant: str, views: dict[str, PaymentView]) -> None:
        """Where everything was told, the provider's books say the same; and no money comes from nowhere."""
        for view in views.values():
            is_told = view.payment_id not in world.provider.untold
            if is_told and view.captured_minor and view.refunded_minor > view.captured_minor:
                self.violated("money", f"{tenant}/{view.payment_id}: more was refunded than taken")
        for payment_id, truth in world.provider.traffic[tenant].truth.items():
            if payment_id in world.provider.untold:
                continue
            told = views.get(payment_id)
            if told is None:
                self.violated("money", f"{tenant}/{payment_id} is not known")
                continue
            for difference in differences(truth, msgspec.to_builtins(payment_json(told, as_of=world.at()))):
                self.violated("money", f"{tenant}: {difference}")

    def _documents_are_the_refold(self, world: "World", tenant: str) -> None:
        """Current documents are found, and nothing of an older version or a withdrawn one."""
        current = self.history.documents(tenant)
        for each in [opened for name, opened in world.opened if name == tenant][-1:]:
            for document_id, version in self.history.versions(tenant).items():
                found = each.knowledge.document(document_id)
                if (found.version if found else None) != current.get(document_id):
                    self.violated("documents", f"{tenant}/{document_id} is {found} and should be version {version}")
            for passages in each.knowledge.search(["refund", "charge"], world.embedder, top_k=20):
                for passage in passages:
                    if current.get(passage.document_id) != passage.version:
                        self.violated("documents", f"{tenant}/{passage.document_id}: a ghost of {passage.version}")

    def _directories_are_the_tenants(self) -> None:
        for directory in sorted((self._directory / "tenants").glob("*")):
            if directory.name not in self._tenants:
                self.violated("tenancy", f"there is a directory {directory.name}")


def _of_view(view: PaymentView) -> dict[str, Any]:
    return _of_json(msgspec.to_builtins(view))


def _of_json(payment: dict[str, Any]) -> dict[str, Any]:
    """What an answer states of a payment."""
    parts = {
        name: [(part["id"], part["status"], part["amount_minor"]) for part in payment[name]]
        for name in ("refunds", "disputes")
    }
    return {
        **{name: payment[name] for name in ("status", "amount_minor", "captured_minor", "refunded_minor", "certainty")},
        **parts,
    }
