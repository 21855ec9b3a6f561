"""What must hold of what is done in the world: once, no more than was asked for, and to an end or up to a person."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from domain.answer import AnswerInvalidated
from domain.effects import EffectRequested, effect_key
from domain.ids import split_stream_id, stream_id
from domain.payment import PaymentView
from domain.payment_policy import unreturned
from domain.payment_saga import Payment, PaymentStarted
from gateway.corrections import ways_of
from simulations.oracle import History
from simulations.provider import Provider
from simulations.stripe_life import Truth

if TYPE_CHECKING:
    from simulations.world import World

# A runner, and the key of an effect.
Hand = tuple[str, str]


class SagaChecks:
    """Compares what was done with what the log asked for, and with the books of those to whom it was done.

    Args:
        history: the log refolded.
        violated: told the name of an invariant and what was seen.
    """

    def __init__(self, history: History, violated: Callable[[str, str], None]) -> None:
        self._history = history
        self._violated = violated
        self._in_hand: set[Hand] = set()

    def begins(self, hand: Hand) -> None:
        """An effect is begun. A runner that has it in hand does not begin it again."""
        if hand in self._in_hand:
            self._violated("leases", f"{hand[0]} begins {hand[1]} while it has it in hand")
        self._in_hand.add(hand)

    def ends(self, hand: Hand) -> None:
        """It is over."""
        self._in_hand.discard(hand)

    def at_the_end(self, world: "World") -> None:
        """Everything that can be said once nothing moves any more."""
        for tenant in world.tenants:
            if tenant in world.merchants.accounts:
                self._books(world, tenant, world.merchants.accounts[tenant])
            if world.options.is_correcting:
                self._published(world, tenant)
                self._notified(world, tenant)

    def _books(self, world: "World", tenant: str, account: Provider) -> None:
        """The provider's books balance, and so does what is known of each payment that was started."""
        truth = account.truth()
        for violation in truth.violations:
            self._violated("money", f"{tenant}: {violation}")
        for payment_id, books in truth.payments.items():
            where = f"{tenant}/{payment_id}"
            events = self._history.events.get(stream_id("payment", tenant, payment_id), [])
            if not any(isinstance(event, PaymentStarted) for event in events):
                self._violated("sagas", f"{where} was never started")
            asked = sum(isinstance(event, EffectRequested) and event.effect.kind == "refund" for event in events)
            if len(books.refunds) > asked:
                self._violated("effects", f"{where}: {len(books.refunds)} refunds were made, and {asked} asked for")
            state = self._history.saga(tenant, payment_id)
            if state.outstanding or not (state.progress.escalation or state.progress.settled):
                self._violated("sagas", f"{where} is stuck: {state.progress}")
            view = self._history.view(tenant, payment_id)
            if view is not None and not state.progress.escalation:
                self._ended_as(where, state, view, books, is_all_told="provider_never" not in world.options.rates)
        self._escalations(world, tenant)

    def _ended_as(self, where: str, state: Payment, view: PaymentView, books: Truth, *, is_all_told: bool) -> None:
        """A saga that nobody was asked about ended as the books say. What is told by nobody later, nobody knows.

        Nor which of two contradictory webhooks is true, when a person closed the saga before the provider was read.
        """
        known, kept = (view.status, view.captured_minor), (books.status, books.captured_minor)
        is_known = is_all_told and not (view.certainty == "conflicting" and state.progress.settled == "closed")
        if is_known and known != kept:
            self._violated("money", f"{where} is {known} and should be {kept}")
        match state.progress.settled:
            case "compensated" if books.status != "canceled" and unreturned(view):
                self._violated("money", f"{where} is compensated, and {unreturned(view)} was not returned")
            case "confirmed" if books.status != "captured":
                self._violated("money", f"{where} is confirmed, and it is {books.status}")

    def _escalations(self, world: "World", tenant: str) -> None:
        """Whoever asks what waits for a person is told exactly that."""
        effects = world.effects()
        assert effects is not None, "at rest everybody is up"
        listed = {each.payment_id for each in effects.outbox.escalations(tenant, limit=1_000)}
        open_ = {
            key
            for category, of_tenant, key in map(split_stream_id, self._history.events)
            if (category, of_tenant) == ("payment", tenant) and self._history.saga(tenant, key).progress.escalation
        }
        if listed != open_:
            self._violated("sagas", f"{tenant}: {sorted(listed)} are escalated and should be {sorted(open_)}")

    def _published(self, world: "World", tenant: str) -> None:
        """The last word about every answer that was judged was published, and nothing that is not in the log."""
        said = [
            msgspec.json.decode(payload) for subject, payload in world.published if subject == f"corrections.{tenant}"
        ]
        words = {
            (answer_id, position, isinstance(event, AnswerInvalidated))
            for (of_tenant, answer_id), told in self._history.answers.items()
            if of_tenant == tenant
            for position, event in told.judged
        }
        published = {(each["answer_id"], each["position"], each["type"] == "answer.invalidated") for each in said}
        if not published <= words:
            self._violated(
                "corrections", f"{tenant}: {sorted(published - words)} were published and are not in the log"
            )
        for (of_tenant, answer_id), told in self._history.answers.items():
            if of_tenant == tenant and told.judged:
                position, event = told.judged[-1]
                if (answer_id, position, isinstance(event, AnswerInvalidated)) not in published:
                    self._violated("corrections", f"{tenant}: {answer_id} at {position} was not published")

    def _notified(self, world: "World", tenant: str) -> None:
        """Who wants to hear of wrong answers is to be told of each, and heard of nothing twice and of nothing else."""
        is_wanted = "notify" in ways_of(world.tenants[tenant])
        asked: set[str] = set()
        for (of_tenant, answer_id), told in self._history.answers.items():
            for position, event in told.judged if of_tenant == tenant else []:
                key = effect_key(tenant, answer_id, f"notify-{position}")
                is_asked = stream_id("effect", tenant, key) in self._history.events
                asked |= {key} if is_asked else set()
                is_last = (position, event) == told.judged[-1]
                if is_wanted and is_last and isinstance(event, AnswerInvalidated) and not is_asked:
                    self._violated("corrections", f"{tenant}: nobody is told that {answer_id} was wrong")
        streams = [
            key
            for category, of, key in map(split_stream_id, self._history.events)
            if (category, of) == ("effect", tenant)
        ]
        if set(streams) != asked or (streams and not is_wanted):
            self._violated("corrections", f"{tenant}: {sorted(streams)} are sent and should be {sorted(asked)}")
        heard = list(world.merchants.notified[tenant].values())
        if len(set(heard)) != len(heard):
            self._violated("effects", f"{tenant}: one notification came under several ids")
