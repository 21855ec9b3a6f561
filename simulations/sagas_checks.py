"""What must hold when the sagas of `simulations.sagas` have ended: the provider's own books are the oracle."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from domain.ids import stream_id
from domain.payment_saga import Payment, PaymentDecider, PaymentEvent
from projections.feed import LogEntry
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector
from simulations.sagas import TENANTS, Sagas, tenant_of
from simulations.stripe_life import Truth
from simulations.truth import differences

PAGE = 5_000
SHOWN_MAX = 20


class SagasReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the sagas, and whether all holds.

    Args:
        sagas: how many were started.
        seed: what was drawn is drawn from it; over real HTTP the order of the calls is not.
        took_s: real seconds.
        events: in the log.
        calls: at the provider's API.
        faulty_share: of the calls, what went wrong.
        faults: by kind.
        webhooks: delivered.
        webhooks_lost: events of which no webhook was ever sent.
        polled: messages that the events API told.
        effects: attempts by how they ended.
        ends: sagas by how they ended, or by why a person is asked.
        resolved: decisions of persons.
        refunds: made at the provider.
        refunds_failed: of those.
        ledger_violations: money made or lost, more refunded than was taken, two refunds for one key: by the books.
        stuck: sagas that are not settled and of which nobody is asked, or of which something is outstanding.
        views_off: payment views that differ from the books, one sentence for each field.
        meets_target: none of the three is there.
    """

    sagas: int
    seed: int
    took_s: float
    events: int
    calls: int
    faulty_share: float
    faults: dict[str, int]
    webhooks: int
    webhooks_lost: int
    polled: int
    effects: dict[str, int]
    ends: dict[str, int]
    resolved: int
    refunds: int
    refunds_failed: int
    ledger_violations: list[str]
    stuck: list[str]
    views_off: list[str]
    meets_target: bool


def report(sagas: Sagas, directory: Path, *, seed: int, took_s: float) -> SagasReport:
    """Everything counted and checked."""
    states = _states(sagas)
    truth = sagas.provider.truth()
    calls = sagas.provider.traffic().calls
    refunds = [status for each in truth.payments.values() for status in each.refunds.values()]
    faults = Counter(call.fault for call in calls if call.fault is not None)
    stuck = _stuck(sagas, states)
    views_off = _views_off(sagas, directory, truth.payments)
    return SagasReport(
        sagas=len(sagas.ids),
        seed=seed,
        took_s=round(took_s, 1),
        events=sagas.feed.head(),
        calls=len(calls),
        faulty_share=round(faults.total() / len(calls), 4),
        faults=dict(sorted(faults.items())),
        webhooks=sagas.webhooks,
        webhooks_lost=len(sagas.provider.webhooks.lost),
        polled=sagas.polled,
        effects=msgspec.to_builtins(sagas.runner.stats),
        ends=dict(Counter(_end(each) for each in states.values()).most_common()),
        resolved=sum(sagas.resolved.values()),
        refunds=len(refunds),
        refunds_failed=refunds.count("failed"),
        ledger_violations=truth.violations,
        stuck=stuck,
        views_off=views_off,
        meets_target=not truth.violations and not stuck and not views_off,
    )


def rows(figures: SagasReport) -> list[tuple[str, str]]:
    """The report as a table."""
    return [
        ("sagas", f"{figures.sagas:,}"),
        ("calls at the provider", f"{figures.calls:,}"),
        ("  that went wrong", f"{figures.faulty_share:.1%}"),
        ("webhooks", f"{figures.webhooks:,}"),
        ("  never sent, told by the events API", f"{figures.webhooks_lost:,}"),
        ("refunds", f"{figures.refunds:,}"),
        ("  that failed", f"{figures.refunds_failed:,}"),
        ("decisions of persons", f"{figures.resolved:,}"),
        *((f"ended: {end}", f"{count:,}") for end, count in figures.ends.items()),
        ("money made, lost or refunded twice", str(len(figures.ledger_violations))),
        ("stuck without an escalation", str(len(figures.stuck))),
        ("payment views that differ from the books", str(len(figures.views_off))),
    ]


def complaints(figures: SagasReport) -> list[str]:
    """What does not hold, at most `SHOWN_MAX` sentences of each kind."""
    kinds = (figures.ledger_violations, figures.stuck, figures.views_off)
    return [sentence for kind in kinds for sentence in kind[:SHOWN_MAX]]


def _states(sagas: Sagas) -> Mapping[str, Payment]:
    """Every payment's saga, refolded from the log."""
    decider = PaymentDecider()
    states = {payment_id: decider.initial() for payment_id in sagas.ids}
    for entry in _entries(sagas):
        if entry.stream.startswith("payment:") and entry.key in states:
            event = entry.envelope().event
            assert isinstance(event, PaymentEvent)
            states[entry.key] = decider.evolve(states[entry.key], event)
    return states


def _entries(sagas: Sagas) -> list[LogEntry]:
    found: list[LogEntry] = []
    while entries := sagas.feed.read(found[-1].position if found else 0, limit=PAGE).entries:
        found += entries
    return found


def _end(state: Payment) -> str:
    return f"asks: {state.progress.escalation}" if state.progress.escalation else state.progress.settled


def _stuck(sagas: Sagas, states: Mapping[str, Payment]) -> list[str]:
    asked = {
        stream_id("payment", tenant, each.payment_id)
        for tenant in TENANTS
        for each in sagas.outbox.escalations(tenant, limit=len(states))
    }
    found = []
    for payment_id, state in states.items():
        is_listed = stream_id("payment", tenant_of(payment_id), payment_id) in asked
        if not _end(state) or state.outstanding:
            found.append(f"{payment_id} is stuck: {state.progress}")
        if is_listed != bool(state.progress.escalation):
            found.append(f"{payment_id}: a person is asked by the {'list' if is_listed else 'log'} alone")
    return found


def _views_off(sagas: Sagas, directory: Path, books: Mapping[str, Truth]) -> list[str]:
    """Where the payments view, built from the log as a node builds it, differs from the books."""
    stores = {tenant: PaymentStore(directory / "views" / tenant) for tenant in TENANTS}
    projector = Projector(sagas.feed, topics=TOPICS, store_of=stores.get, batch_max=PAGE)
    while projector.position < sagas.feed.head():
        projector.run_once()
    found = []
    for payment_id in sagas.ids:
        view = stores[tenant_of(payment_id)].payment(payment_id)
        if view is None:
            found.append(f"{payment_id}: there is no view")
        else:
            found += differences(books[payment_id], msgspec.to_builtins(view))
    for store in stores.values():
        store.close()
    return found
