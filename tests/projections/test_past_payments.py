"""A list as it was: the payments that existed then, of the customer whose they were then, in the order of then."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.fact import Fact, RecordedFact
from domain.payment import PaymentView, view
from domain.payment_saga import FactRecorded, PaymentLinked
from projections import past_payments
from projections.feed import LogEntry
from projections.past_payments import PastList, payments_at
from projections.payment_view import PaymentStore, micros
from tests.domain.examples import at, fact
from tests.worlds import Entries


@pytest.fixture
def payments(tmp_path: Path) -> Iterator[PaymentStore]:
    store = PaymentStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def entries() -> Entries:
    return Entries()


def captured(number: int, seconds: float = 0, **fields: Any) -> Fact:
    given = {"payment_id": f"pi_{number}", "customer_id": "cus_1", "amount_minor": 4900, **fields}
    status = given.pop("status", "captured")
    return fact(f"stripe:evt_{number}_{status}_{seconds}", "intent", status, seconds, **given)


def pages(payments: PaymentStore, *, limit: int = 50, **wanted: Any) -> list[list[PaymentView]]:
    found = []
    cursor = ""
    while True:
        page = payments_at(payments, PastList(limit=limit, cursor=cursor, **wanted))
        assert len(page.payments) <= limit
        found.append(page.payments)
        cursor = page.cursor
        if not cursor:
            return found


def listed(payments: PaymentStore, **wanted: Any) -> list[str]:
    """The ids of all pages, in order."""
    return [each.payment_id for page in pages(payments, **wanted) for each in page]


def test_payments_that_were_not_known_then_are_not_in_the_list(payments: PaymentStore, entries: Entries) -> None:
    payments.apply([entries.fact(captured(number, number)) for number in (1, 3, 2)], 3)

    assert listed(payments, known_at=3) == ["pi_3", "pi_2", "pi_1"]
    assert listed(payments, known_at=2) == ["pi_3", "pi_1"]
    assert listed(payments, as_of=at(2)) == ["pi_2", "pi_1"]
    assert listed(payments, as_of=at(2), known_at=2) == ["pi_1"]
    assert listed(payments, known_at=0) == []


def test_a_payment_is_listed_by_the_status_that_it_had_then(payments: PaymentStore, entries: Entries) -> None:
    payments.apply([entries.fact(captured(1, 0, status="processing")), entries.fact(captured(1, 5))], 2)

    assert listed(payments, known_at=1, status="processing") == ["pi_1"]
    assert listed(payments, known_at=1, status="captured") == []
    assert listed(payments, as_of=at(4), status="processing") == ["pi_1"]
    [[then]] = pages(payments, known_at=1)
    assert (then.status, then.position, then.facts) == ("processing", 1, 1)


def test_a_payment_whose_customer_changed_later_is_its_former_customers_then(
    payments: PaymentStore, entries: Entries
) -> None:
    payments.apply(
        [entries.fact(captured(1, 0, status="processing")), entries.fact(captured(1, 5, customer_id="cus_2"))], 2
    )

    assert listed(payments, customer_id="cus_1", known_at=1) == ["pi_1"]
    assert listed(payments, customer_id="cus_1", as_of=at(4)) == ["pi_1"]
    assert listed(payments, customer_id="cus_1", known_at=2) == []
    assert listed(payments, customer_id="cus_2", known_at=1) == []
    assert listed(payments, customer_id="cus_2", known_at=2) == ["pi_1"]


def test_an_orphan_is_a_customers_payment_until_it_is_linked(payments: PaymentStore, entries: Entries) -> None:
    refund = fact("stripe:evt_r", "refund:re_1", "succeeded", 9, payment_id="ch_1", customer_id="cus_1")
    payments.apply([entries.fact(captured(1)), entries.fact(refund), entries.link("ch_1", "pi_1")], 3)

    assert listed(payments, customer_id="cus_1", known_at=2) == ["ch_1", "pi_1"]
    [[linked]] = pages(payments, customer_id="cus_1", known_at=3)
    assert (linked.payment_id, linked.refunded_minor, linked.position) == ("pi_1", refund.amount_minor, 3)


def test_a_fact_that_was_overtaken_does_not_list_its_payment_twice(payments: PaymentStore, entries: Entries) -> None:
    """An intent that succeeded before it was created: its time is that of the fact that decides."""
    payments.apply([entries.fact(captured(1, 1)), entries.fact(captured(1, 3, status="pending"))], 2)
    payments.apply([entries.fact(captured(2, 2))], 3)

    assert listed(payments, known_at=3, limit=1) == ["pi_2", "pi_1"]


def test_many_payments_of_one_second_are_paged(payments: PaymentStore, entries: Entries) -> None:
    log = [entries.fact(captured(number, 7)) for number in range(250)]
    payments.apply(log, 250)

    ids = listed(payments, known_at=250, limit=40)

    assert ids == sorted((f"pi_{number}" for number in range(250)), reverse=True)


def test_a_page_that_finds_little_ends_early_and_goes_on(
    payments: PaymentStore, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_payments, "FOLDS_MAX", 10)
    log = [entries.fact(captured(number, number // 3)) for number in range(60)]
    log[4] = Entries().fact(captured(4, 1, status="failed"))
    payments.apply([*log[:4], *log[5:]], 60)
    payments.apply([entries.fact(captured(4, 1, status="failed"))], 61)

    found = pages(payments, known_at=61, status="failed", limit=5)

    assert len(found) > 3
    assert [each.payment_id for page in found for each in page] == ["pi_4"]


def test_a_page_of_the_past_stays_what_it_is_while_payments_come(payments: PaymentStore, entries: Entries) -> None:
    payments.apply([entries.fact(captured(number, number)) for number in range(6)], 6)
    first = payments_at(payments, PastList(known_at=6, limit=3))
    payments.apply([entries.fact(captured(number, number - 6.5)) for number in range(6, 12)], 12)

    second = payments_at(payments, PastList(known_at=6, limit=3, cursor=first.cursor))

    assert [each.payment_id for each in second.payments] == ["pi_2", "pi_1", "pi_0"]
    assert second.cursor == ""


REFERENCES = ["pi_1", "pi_2", "ch_1", "ch_2"]
TOLD = st.builds(
    lambda number, reference, kind, status, seconds, customer: fact(
        f"f{number}", kind, status, seconds, payment_id=reference, customer_id=customer
    ),
    st.integers(0, 6),
    st.sampled_from(REFERENCES),
    st.just("intent"),
    st.sampled_from(["pending", "processing", "captured", "failed"]),
    st.integers(0, 4),
    st.sampled_from(["", "cus_1", "cus_2"]),
)
LINKS = st.sampled_from([("ch_1", "pi_1"), ("ch_2", "pi_2"), ("ch_2", "ch_1"), ("pi_2", "pi_1")])


def expected(log: Sequence[LogEntry], as_of: datetime | None, known_at: int) -> list[PaymentView]:
    """Every payment folded from what the log says up to a position, newest first."""
    links: dict[str, str] = {}
    for entry in log[:known_at]:
        if isinstance(linked := entry.envelope().event, PaymentLinked):
            links.setdefault(entry.key, linked.payment_id)
    facts: dict[str, dict[str, RecordedFact]] = {}
    for entry in log[:known_at]:
        envelope = entry.envelope()
        if isinstance(envelope.event, FactRecorded):
            root = entry.key
            while root in links:
                root = links[root]
            recorded = RecordedFact(fact=envelope.event.fact, position=entry.position, recorded_at=envelope.recorded_at)
            facts.setdefault(root, {}).setdefault(recorded.fact.fact_id, recorded)
    views = [view(payment_id, list(each.values()), as_of=as_of) for payment_id, each in facts.items()]
    there = [each for each in views if each is not None]
    return sorted(there, key=lambda each: (micros(each.occurred_at), each.payment_id), reverse=True)


@pytest.mark.long
@given(st.lists(TOLD | LINKS, min_size=1, max_size=12), st.data())
@settings(max_examples=40)
def test_any_past_list_is_the_fold_of_what_was_known_then(
    tmp_path_factory: pytest.TempPathFactory, story: list[Fact | tuple[str, str]], data: st.DataObject
) -> None:
    payments = PaymentStore(tmp_path_factory.mktemp("lists"))
    make = Entries()
    log = [make.fact(each) if isinstance(each, Fact) else make.link(*each) for each in story]
    payments.apply(log, len(log))
    known_at = data.draw(st.integers(0, len(log)))
    as_of = data.draw(st.none() | st.integers(0, 4).map(at))
    customer = data.draw(st.sampled_from(["", "cus_1", "cus_2"]))
    limit = data.draw(st.integers(1, 4))

    found = [
        each for page in pages(payments, limit=limit, known_at=known_at, as_of=as_of, customer_id=customer)
        for each in page
    ]  # fmt: skip

    wanted = [each for each in expected(log, as_of, known_at) if customer in {"", each.customer_id}]
    assert [(each.payment_id, each.status, each.facts) for each in found] == [
        (each.payment_id, each.status, each.facts) for each in wanted
    ]
    for each in found:
        assert payments.payment_at(each.payment_id, as_of=as_of, known_at=known_at) == each or as_of is None
    payments.close()
