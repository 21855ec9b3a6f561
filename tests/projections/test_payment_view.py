"""The payments view is the fold of all facts of each payment, however they came, and says what it changed."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.fact import Fact, RecordedFact
from domain.ids import stream_id
from domain.payment import PaymentView, view
from domain.payment_saga import DeadlinePassed, FactRecorded, PaymentLinked
from projections.feed import LogEntry
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector
from tests.domain.examples import at, fact
from tests.projections.test_projector import Memory
from tests.spec import NOON
from tests.worlds import TENANT, Entries


@pytest.fixture
def entries() -> Entries:
    return Entries()


@pytest.fixture
def payments(tmp_path: Path) -> Iterator[PaymentStore]:
    store = PaymentStore(tmp_path)
    yield store
    store.close()


def apply(payments: PaymentStore, *batch: LogEntry) -> set[str]:
    """Apply the entries as one batch; returns the keys of what changed."""
    return payments.apply(batch, batch[-1].position)


def intent(status: str = "captured", seconds: float = 0, *, id: str = "", **fields: object) -> Fact:  # noqa: A002 - Stripe's own name
    given = {"payment_id": "pi_1", "amount_minor": 4900, "customer_id": "cus_1", **fields}
    return fact(f"stripe:{id or f'evt_{status}'}", "intent", status, seconds, **given)


def refund(status: str = "succeeded", seconds: float = 60, **fields: object) -> Fact:
    given = {"payment_id": "ch_1", "amount_minor": 1900, **fields}
    return fact(f"stripe:evt_{status}_refund", "refund:re_1", status, seconds, **given)


def found(payments: PaymentStore, payment_id: str) -> PaymentView:
    payment = payments.payment(payment_id)
    assert payment is not None
    return payment


def listed(payments: PaymentStore, *, limit: int = 50, **filters: str) -> list[str]:
    """The ids of all pages, in order."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = payments.payments(limit=limit, cursor=cursor, **filters)
        assert len(page.payments) <= limit
        ids += [payment.payment_id for payment in page.payments]
        cursor = page.cursor
        if not cursor:
            return ids


def test_a_payment_is_the_fold_of_its_facts_and_knows_its_last_position(
    payments: PaymentStore, entries: Entries
) -> None:
    apply(payments, entries.fact(intent("pending", 0)), entries.fact(intent("captured", 5)))

    payment = found(payments, "pi_1")

    assert (payment.status, payment.amount_minor, payment.facts, payment.position) == ("captured", 4900, 2, 2)
    assert payments.count() == 1
    assert payments.payment("pi_2") is None


def test_a_fact_keeps_its_position_time_and_cause(payments: PaymentStore, entries: Entries) -> None:
    apply(payments, entries.fact(intent()))

    assert payments.facts("pi_1") == [
        RecordedFact(fact=intent(), position=1, recorded_at=NOON + timedelta(seconds=1), correlation_id="c-1")
    ]


def test_applying_again_changes_nothing(payments: PaymentStore, entries: Entries) -> None:
    batch = [entries.fact(intent()), entries.fact(refund()), entries.link("ch_1", "pi_1")]
    apply(payments, *batch)
    before = found(payments, "pi_1")

    apply(payments, *batch)

    assert (found(payments, "pi_1"), payments.count()) == (before, 1)


def test_a_batch_that_fails_leaves_nothing_behind_in_memory_either(payments: PaymentStore, entries: Entries) -> None:
    apply(payments, entries.fact(intent("pending", 0)))
    good = entries.fact(intent("captured", 5))
    no_fact = entries("payment:acme/pi_1", DeadlinePassed(deadline_at=NOON))
    with pytest.raises(AssertionError):
        apply(payments, good, no_fact)
    payments.store._connection.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON payments BEGIN SELECT raise(ABORT, 'not now'); END"
    )
    with pytest.raises(Exception, match="not now"):
        apply(payments, good)
    payments.store._connection.execute("DROP TRIGGER refuse")
    assert (found(payments, "pi_1").status, payments.store.position()) == ("pending", 1)

    apply(payments, entries.fact(refund(payment_id="pi_1")))

    assert (found(payments, "pi_1").status, found(payments, "pi_1").facts) == ("pending", 2)


@pytest.mark.parametrize("link_at", [0, 1, 2])
@pytest.mark.parametrize("batch_max", [1, 3])
def test_facts_under_a_reference_join_the_payment_that_it_is_linked_to(
    link_at: int,
    batch_max: int,
    payments: PaymentStore,
    entries: Entries,
) -> None:
    story = [intent(), refund()]
    batch = []
    for number in range(3):
        if number == link_at:
            batch.append(entries.link("ch_1", "pi_1"))
        if number < len(story):
            batch.append(entries.fact(story[number]))
    for start in range(0, len(batch), batch_max):
        apply(payments, *batch[start : start + batch_max])

    payment = found(payments, "pi_1")

    assert (payment.refunded_minor, payment.facts) == (1900, 2)
    assert listed(payments) == ["pi_1"]
    assert [found(payments, each) for each in ("ch_1", "re_1")] == [payment, payment]


def test_an_orphan_is_a_payment_of_its_own_until_it_is_linked(payments: PaymentStore, entries: Entries) -> None:
    apply(payments, entries.fact(refund()))
    assert listed(payments) == ["ch_1"]
    assert payments.resolve("re_1") == "ch_1"

    apply(payments, entries.link("ch_1", "pi_1"))
    assert listed(payments) == ["pi_1"]
    assert found(payments, "ch_1").refunded_minor == 1900


def test_a_reference_that_is_linked_to_itself_is_a_payment_as_any_other(
    payments: PaymentStore, entries: Entries
) -> None:
    apply(payments, entries.fact(refund()))
    apply(payments, entries.link("ch_1", "ch_1"))

    assert (listed(payments), found(payments, "ch_1").facts) == (["ch_1"], 1)


def test_a_fact_that_came_under_two_references_is_one_fact_known_since_the_first(
    payments: PaymentStore, entries: Entries
) -> None:
    apply(payments, entries.fact(intent()), entries.fact(refund()), entries.fact(refund(), under="pi_1"))
    apply(payments, entries.link("ch_1", "pi_1"))

    assert [(each.fact.object, each.position) for each in payments.facts("pi_1")] == [("intent", 1), ("refund:re_1", 2)]
    assert (found(payments, "pi_1").facts, found(payments, "pi_1").refunded_minor) == (2, 1900)


def test_the_object_of_two_references_belongs_to_the_first_whatever_the_batch(tmp_path: Path, entries: Entries) -> None:
    batch = [
        entry
        for number in range(20)
        for entry in (
            entries.fact(fact(f"a{number}", f"refund:re_{number}", "succeeded", 0, payment_id="first")),
            entries.fact(fact(f"b{number}", f"refund:re_{number}", "succeeded", 0, payment_id="second")),
        )
    ]
    at_once = PaymentStore(tmp_path)

    apply(at_once, *batch)

    assert {at_once.resolve(f"re_{number}") for number in range(20)} == {"first"}
    at_once.close()


def test_a_batch_may_touch_more_payments_than_sqlite_takes_terms_in_one_compound_select(
    payments: PaymentStore, entries: Entries
) -> None:
    """The limit is 500 (https://www.sqlite.org/limits.html, SQLITE_MAX_COMPOUND_SELECT)."""
    numbers = range(600)
    links = [entries.link(f"ch_{number}", f"pi_{number}") for number in numbers]
    refunds = [
        entries.fact(fact(f"evt_{number}", f"refund:re_{number}", "succeeded", 0, payment_id=f"ch_{number}"))
        for number in numbers
    ]
    apply(payments, *refunds, *links)

    assert payments.count() == 600
    assert payments.resolve("re_599") == "pi_599"


def test_what_changed_names_payment_reference_object_and_customer(payments: PaymentStore, entries: Entries) -> None:
    assert apply(payments, entries.fact(intent())) == {"pi_1", "customer:cus_1"}
    assert apply(payments, entries.fact(refund())) == {"ch_1", "re_1", "customer:"}
    assert apply(payments, entries.link("ch_1", "pi_1")) == {"ch_1", "pi_1", "customer:cus_1"}
    assert apply(payments, entries.fact(refund("failed", 70))) == {"ch_1", "re_1", "pi_1", "customer:cus_1"}


def test_a_reference_of_which_nothing_was_known_changes_when_it_is_linked(
    payments: PaymentStore, entries: Entries
) -> None:
    """That `ch_1` is unknown may have been answered, and is not so any more."""
    apply(payments, entries.fact(intent()))
    assert payments.payment("ch_1") is None

    assert "ch_1" in apply(payments, entries.link("ch_1", "pi_1"))
    assert payments.payment("ch_1") == payments.payment("pi_1")


def test_a_payment_whose_customer_changes_is_listed_with_the_new_one(payments: PaymentStore, entries: Entries) -> None:
    apply(payments, entries.fact(intent("pending", 0)))

    assert "customer:cus_2" in apply(payments, entries.fact(intent("captured", 5, customer_id="cus_2")))
    assert (listed(payments, customer_id="cus_1"), listed(payments, customer_id="cus_2")) == ([], ["pi_1"])


def test_a_payment_is_given_as_of_a_time_in_the_world(payments: PaymentStore, entries: Entries) -> None:
    apply(payments, entries.fact(intent("captured", 10)), entries.fact(intent("pending", 0)))

    def status(seconds: float) -> str | None:
        payment = payments.payment_at("pi_1", as_of=at(seconds), known_at=None)
        return payment.status if payment else None

    assert [status(seconds) for seconds in (-1, 0, 9.9, 10)] == [None, "pending", "pending", "captured"]


def test_a_payment_is_given_as_it_was_known_at_a_position(payments: PaymentStore, entries: Entries) -> None:
    apply(payments, entries.fact(intent("captured", 10)), entries.fact(refund("failed", 60, payment_id="pi_1")))

    def facts(position: int) -> int:
        payment = payments.payment_at("pi_1", as_of=None, known_at=position)
        return payment.facts if payment else 0

    assert [facts(position) for position in (0, 1, 2, 3, 2**64 - 1)] == [0, 1, 2, 2, 2]
    both = payments.payment_at("pi_1", as_of=at(30), known_at=2)
    assert both is not None
    assert both.facts == 1


def test_what_was_known_at_a_position_does_not_change_when_a_reference_is_linked_later(
    payments: PaymentStore, entries: Entries
) -> None:
    apply(payments, entries.fact(intent()), entries.fact(refund()))

    def known_at_2() -> list[PaymentView | None]:
        return [payments.payment_at(each, as_of=None, known_at=2) for each in ("pi_1", "ch_1", "re_1")]

    before = known_at_2()
    apply(payments, entries.link("ch_1", "pi_1"))

    assert known_at_2() == before
    assert [each.payment_id for each in before if each] == ["pi_1", "ch_1", "ch_1"]
    assert len(payments.facts("re_1", known_at=2)) == 1
    joined = payments.payment_at("ch_1", as_of=None, known_at=3)
    assert joined is not None
    assert (joined.payment_id, joined.facts) == ("pi_1", 2)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_cover_all_payments_once_newest_first(limit: int, payments: PaymentStore, entries: Entries) -> None:
    # Several payments in one second, and ids with the separator of the cursor in them.
    facts = [
        intent(
            "captured", number // 3, payment_id=f"pi.{number:02}", id=f"evt_{number}", customer_id=f"cus_{number % 2}"
        )
        for number in range(10)
    ]
    apply(payments, *(entries.fact(each) for each in facts))
    newest = sorted(facts, key=lambda each: (each.occurred_at, each.payment_id), reverse=True)

    assert listed(payments, limit=limit) == [each.payment_id for each in newest]
    assert listed(payments, limit=limit, customer_id="cus_1") == [
        each.payment_id for each in newest if each.customer_id == "cus_1"
    ]


def test_a_list_may_be_of_one_status_and_one_customer(payments: PaymentStore, entries: Entries) -> None:
    apply(
        payments,
        entries.fact(intent("captured", 1, payment_id="pi_1", id="1")),
        entries.fact(intent("failed", 2, payment_id="pi_2", id="2")),
        entries.fact(intent("failed", 3, payment_id="pi_3", id="3", customer_id="cus_2")),
    )

    assert listed(payments, status="failed") == ["pi_3", "pi_2"]
    assert listed(payments, status="failed", customer_id="cus_1") == ["pi_2"]
    assert listed(payments, status="canceled") == []


# Facts about two payments, under their own ids and under two references each; a reference is never a payment.
OWNERS = {"ch_1": "pi_1", "cap_1": "pi_1", "ch_2": "pi_2", "cap_2": "pi_2"}
REFERENCES = [*OWNERS, "pi_1", "pi_2"]
OBJECTS = ["intent", "charge:py_1", "refund:re_1"]
STATUSES = {"intent": ["pending", "captured"], "charge:py_1": ["captured"], "refund:re_1": ["pending", "succeeded"]}


@st.composite
def told(draw: st.DrawFn) -> FactRecorded:
    number = draw(st.integers(0, 6))
    object_key = draw(st.sampled_from(OBJECTS))
    status = draw(st.sampled_from(STATUSES[object_key]))
    reference = draw(st.sampled_from(REFERENCES))
    customer_id = draw(st.sampled_from(["", "cus_1", "cus_2"]))
    return FactRecorded(
        fact=fact(
            f"evt_{number}", object_key, status, draw(st.integers(0, 2)), payment_id=reference, customer_id=customer_id
        )
    )


LINKS = st.sampled_from([*OWNERS.items()])


def history(events: Sequence[FactRecorded | tuple[str, str]]) -> list[LogEntry]:
    """The log that the sagas make of it: per stream a fact id once and a link once."""
    make = Entries()
    seen: set[tuple[str, str]] = set()
    log = []
    for event in events:
        key, name = (event.fact.payment_id, event.fact.fact_id) if isinstance(event, FactRecorded) else (event[0], "")
        if (key, name) in seen:
            continue
        seen.add((key, name))
        stored = event if isinstance(event, FactRecorded) else PaymentLinked(payment_id=event[1])
        log.append(make(stream_id("payment", TENANT, key), stored))
    return log


def expected(log: Sequence[LogEntry]) -> dict[str, PaymentView]:
    """The fold of the union of the facts by link, written the plain way."""
    linked = {
        entry.key: (event.payment_id, entry.position)
        for entry in log
        if isinstance(event := entry.envelope().event, PaymentLinked)
    }
    facts: dict[str, dict[str, RecordedFact]] = {}
    known_since: dict[str, int] = {}
    for entry in log:
        envelope = entry.envelope()
        if isinstance(envelope.event, FactRecorded):
            payment_id, linked_at = linked.get(entry.key, (entry.key, 0))
            of_payment = facts.setdefault(payment_id, {})
            recorded = RecordedFact(fact=envelope.event.fact, position=entry.position, recorded_at=envelope.recorded_at)
            if of_payment.setdefault(recorded.fact.fact_id, recorded) is recorded:
                known_since[payment_id] = max(known_since.get(payment_id, 0), entry.position, linked_at)
    views = {payment_id: view(payment_id, list(of_payment.values())) for payment_id, of_payment in facts.items()}
    return {
        payment_id: msgspec.structs.replace(each, position=known_since[payment_id])
        for payment_id, each in views.items()
        if each is not None
    }


@pytest.mark.long
@given(st.lists(told() | LINKS, max_size=16), st.data())
@settings(max_examples=30)
def test_any_history_in_any_batches_with_restarts_ends_in_the_fold_of_all_facts(
    tmp_path_factory: pytest.TempPathFactory, events: list[FactRecorded | tuple[str, str]], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("payments")
    payments = PaymentStore(directory)
    log = remaining = history(events)
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        changed = apply(payments, *remaining[:size])
        assert {entry.key for entry in remaining[:size]} <= changed
        remaining = remaining[size:]
        if data.draw(st.booleans()):
            payments.close()
            payments = PaymentStore(directory)

    views = expected(log)
    assert {each: payments.payment(each) for each in listed(payments)} == views
    assert payments.count() == len(views)
    known_at = data.draw(st.integers(0, len(log)))
    then = expected([entry for entry in log if entry.position <= known_at])
    for payment_id in views:
        assert payments.payment_at(payment_id, as_of=None, known_at=known_at) == then.get(payment_id)
    payments.close()


def test_a_rebuild_from_the_log_is_equal(tmp_path: Path, entries: Entries) -> None:
    log = Memory(
        [
            entries.fact(refund()),
            entries.fact(intent()),
            entries.link("ch_1", "pi_1"),
            entries.fact(refund("failed", 70)),
        ]
    )
    contents = []
    for batch_max in (1, 100):
        payments = PaymentStore(tmp_path / str(batch_max))
        projector = Projector(log, topics=TOPICS, store_of={TENANT: payments}.get, batch_max=batch_max)
        while projector.position < log.head():
            projector.run_once()
        contents.append(list(payments.store._connection.iterdump()))
        payments.close()

    assert contents[0] == contents[1]
    assert any("INSERT INTO \"payments\" VALUES('pi_1'" in line for line in contents[0])


def test_a_view_that_other_code_folded_is_not_read_but_rebuilt(entries: Entries, tmp_path: Path) -> None:
    told = entries.fact(intent())
    store = PaymentStore(tmp_path / "other")
    apply(store, told)
    kept = found(store, "pi_1")
    with store.store.reading() as connection:
        connection.execute("UPDATE folded_by SET code='other'")
    store.close()
    again = PaymentStore(tmp_path / "other")

    assert (again.store.position(), again.payment("pi_1")) == (0, None)
    apply(again, told)
    assert found(again, "pi_1") == kept
    again.close()
