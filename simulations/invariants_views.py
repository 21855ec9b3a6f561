"""What must hold of a tenant's files at rest: payments, documents and parked events are the log folded from nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from domain.document import DocumentPublished
from domain.payment import PaymentView
from gateway.http.views import payment_json
from projections.knowledge import KnowledgeStore
from projections.payment_view import PaymentStore
from simulations.oracle import History
from simulations.truth import differences
from simulations.world_merchants import STARTED

if TYPE_CHECKING:
    from simulations.world import World

# Words that are in all that the editor writes.
_QUESTIONS = ("refund", "charge")


class TenantAtRest:
    """One tenant of a world in which nothing moves any more.

    Args:
        world: the world.
        tenant: which tenant.
        history: the log refolded.
        violated: told the name of an invariant and what was seen.
    """

    def __init__(self, world: "World", tenant: str, history: History, violated: Callable[[str, str], None]) -> None:
        self._world = world
        self._tenant = tenant
        self._history = history
        self._violated = violated

    def check(self) -> dict[str, PaymentView]:
        """Returns the payments as they should be."""
        views = self._views_are_the_refold()
        self._money_is_the_providers(views)
        for name, opened in self._world.opened[::-1]:
            if name == self._tenant:
                self._documents_are_the_refold(opened.knowledge)
                break
        return views

    def _views_are_the_refold(self) -> dict[str, PaymentView]:
        """The payments view as it lies in the files is the log's facts folded from nothing."""
        tenant, wanted = self._tenant, self._history.views(self._tenant)
        generation = self._world.directory / "tenants" / tenant / "g1"
        if not (generation / "facts.sqlite").exists():
            if wanted:
                self._violated("view", f"{tenant} has no view")
            return wanted
        store = PaymentStore(generation)
        parked = [position for position, _, _ in store.store.parked()]
        to_park = self._history.parked.get(tenant, [])
        if parked != to_park:
            self._violated("view", f"{tenant}: {parked} are parked and should be {to_park}")
        kept = {view.payment_id: view for view in store.payments(limit=10_000).payments}
        store.close()
        for payment_id in dict.fromkeys([*wanted, *kept]):
            if kept.get(payment_id) != wanted.get(payment_id):
                self._violated(
                    "view", f"{tenant}/{payment_id} is {kept.get(payment_id)} and should be {wanted.get(payment_id)}"
                )
        return wanted

    def _money_is_the_providers(self, views: dict[str, PaymentView]) -> None:
        """Where everything was told, the provider's books say the same; and no money comes from nowhere."""
        tenant, provider = self._tenant, self._world.provider
        for view in views.values():
            is_told = view.payment_id not in provider.untold and not view.payment_id.startswith(STARTED)
            if is_told and view.captured_minor and view.refunded_minor > view.captured_minor:
                self._violated("money", f"{tenant}/{view.payment_id}: more was refunded than taken")
        for payment_id, truth in provider.traffic[tenant].truth.items():
            if payment_id in provider.untold:
                continue
            told = views.get(payment_id)
            if told is None:
                self._violated("money", f"{tenant}/{payment_id} is not known")
                continue
            for difference in differences(truth, msgspec.to_builtins(payment_json(told, as_of=self._world.at()))):
                self._violated("money", f"{tenant}: {difference}")

    def _documents_are_the_refold(self, knowledge: KnowledgeStore) -> None:
        """Current documents are there with their text and are found, and nothing older or withdrawn is."""
        tenant, versions = self._tenant, self._history.documents.get(self._tenant, {})
        for document_id, last in versions.items():
            found = knowledge.document(document_id)
            is_as = (found.version, found.text) if found else None
            should_be = (last.version, last.text) if isinstance(last, DocumentPublished) else None
            if is_as != should_be:
                self._violated("documents", f"{tenant}/{document_id} is {is_as} and should be {should_be}")
        with knowledge.store.reading() as connection:
            kept = {row[0] for row in connection.execute("SELECT document_id FROM documents")}
        if kept != versions.keys():
            self._violated("documents", f"{tenant} has {sorted(kept)} and should have {sorted(versions)}")
        current = {key: last.version for key, last in versions.items() if isinstance(last, DocumentPublished)}
        found_of: dict[str, int] = {}
        for passages in knowledge.search(_QUESTIONS, self._world.embedder, top_k=20):
            for passage in passages:
                found_of[passage.document_id] = passage.version
                if current.get(passage.document_id) != passage.version:
                    self._violated("documents", f"{tenant}/{passage.document_id}: a ghost of {passage.version}")
        if missing := sorted(current.keys() - found_of.keys()):
            self._violated("documents", f"{tenant}: {missing} are not found")
