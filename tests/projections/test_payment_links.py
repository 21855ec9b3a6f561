"""A reference may lead to its payment over others: refund -> capture -> authorization -> order, in whatever order."""

from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.fact import Fact, RecordedFact
from domain.payment import PaymentView, view
from domain.payment_saga import FactRecorded, PaymentLinked
from projections.feed import LogEntry
from projections.payment_view import PaymentStore
from tests.domain.examples import fact
from tests.worlds import Entries

ORDER = fact("order", "intent", "processing", 0, provider="paypal", payment_id="order", amount_minor=4900)
CAPTURED = fact("capture", "charge:cap", "captured", 2, provider="paypal", payment_id="auth", captured_minor=4900)
REFUNDED = fact("refund", "refund:re", "succeeded", 3, provider="paypal", payment_id="cap", amount_minor=1900)
LINKS = [("re", "cap"), ("cap", "auth"), ("auth", "order")]
STORY: list[Fact | tuple[str, str]] = [ORDER, CAPTURED, REFUNDED, *LINKS]


@pytest.fixture
def payments(tmp_path: Path) -> Iterator[PaymentStore]:
    store = PaymentStore(tmp_path)
    yield store
    store.close()


def log(story: Sequence[Fact | tuple[str, str]]) -> list[LogEntry]:
    make = Entries()
    return [make.fact(each) if isinstance(each, Fact) else make.link(*each) for each in story]


def without_position(payment: PaymentView | None) -> dict[str, object]:
    """What a payment is, whenever that became known."""
    assert payment is not None
    return {name: getattr(payment, name) for name in payment.__struct_fields__ if name != "position"}


@pytest.mark.long
@pytest.mark.parametrize("batch_max", [1, 2, 6])
def test_a_chain_of_links_ends_in_one_payment_whatever_the_order(
    batch_max: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = without_position(
        view(
            "order",
            [
                RecordedFact(fact=each, position=number, recorded_at=each.occurred_at)
                for number, each in enumerate((ORDER, CAPTURED, REFUNDED))
            ],
        )
    )
    assert (expected["refunded_minor"], expected["certainty"], expected["facts"]) == (1900, "certain", 3)
    directory = tmp_path_factory.mktemp("chains")
    # Every seventieth of the 720 orders; the property below tries any others.
    for number, story in enumerate(list(permutations(STORY))[batch_max::70]):
        payments = PaymentStore(directory / str(number))
        entries = log(story)
        for start in range(0, len(entries), batch_max):
            batch = entries[start : start + batch_max]
            payments.apply(batch, batch[-1].position)
        assert [each.payment_id for each in payments.payments().payments] == ["order"], story
        for any_id in ("order", "auth", "cap", "re"):
            assert without_position(payments.payment(any_id)) == expected, (any_id, story)
            assert len(payments.facts(any_id)) == 3
        payments.close()


def test_what_waits_behind_a_reference_without_facts_moves_with_it(payments: PaymentStore) -> None:
    """Nothing is known of `auth` itself but that it leads on."""
    entries = log([REFUNDED, ("cap", "auth"), ORDER, ("auth", "order")])
    for entry in entries[:3]:
        payments.apply([entry], entry.position)
    assert {each.payment_id for each in payments.payments().payments} == {"auth", "order"}

    changed = payments.apply(entries[3:], 4)

    assert changed >= {"auth", "order"}
    assert [each.payment_id for each in payments.payments().payments] == ["order"]
    payment = payments.payment("re")
    assert payment is not None
    assert (payment.payment_id, payment.refunded_minor, payment.facts) == ("order", 1900, 2)


def test_a_chain_is_as_long_as_was_known_at_the_time(payments: PaymentStore) -> None:
    entries = log([REFUNDED, CAPTURED, ORDER, ("cap", "auth"), ("auth", "order")])
    payments.apply(entries, 5)

    assert [payments.resolve("re", known_at=position) for position in range(6)] == [
        "re", "cap", "cap", "cap", "auth", "order",
    ]  # fmt: skip
    assert [
        found.facts if (found := payments.payment_at("re", as_of=None, known_at=position)) else 0
        for position in range(6)
    ] == [0, 1, 1, 1, 2, 3]


def test_a_payment_known_at_its_position_is_what_it_is(payments: PaymentStore) -> None:
    """A link that came after the facts counts: before it the refund was not known to be the order's."""
    entries = log([ORDER, REFUNDED, CAPTURED, ("cap", "auth"), ("auth", "order")])
    payments.apply(entries[:3], 3)
    payments.apply(entries[3:], 5)

    payment = payments.payment("order")

    assert payment is not None
    assert (payment.position, payment.facts) == (5, 3)
    assert payments.payment_at("order", as_of=None, known_at=5) == payment
    earlier = payments.payment_at("order", as_of=None, known_at=4)
    assert earlier is not None
    assert (earlier.position, earlier.facts) == (1, 1)
    assert payments.facts_of("order").joined == {"capture": 5, "refund": 5}


def test_a_fact_that_comes_late_goes_to_the_end_of_its_chain(payments: PaymentStore) -> None:
    entries = log([*LINKS, ORDER, REFUNDED])
    payments.apply(entries[:4], 4)

    assert payments.apply(entries[4:], 5) >= {"cap", "re", "order"}

    assert [each.payment_id for each in payments.payments().payments] == ["order"]
    payment = payments.payment("order")
    assert payment is not None
    assert payment.refunded_minor == 1900


@pytest.mark.parametrize("first", [0, 1, 2])
def test_links_in_a_circle_end_in_its_least_member_whatever_the_order(first: int, payments: PaymentStore) -> None:
    circle = [("b", "c"), ("c", "a"), ("a", "b")]
    links = [*circle[first:], *circle[:first], ("re", "c")]
    entries = log([*links, *(fact(each, f"refund:{each}", "succeeded", 0, payment_id=each) for each in ("b", "re"))])
    for entry in entries:
        payments.apply([entry], entry.position)

    assert [each.payment_id for each in payments.payments().payments] == ["a"]
    assert {payments.resolve(each) for each in ("a", "b", "c", "re")} == {"a"}
    assert len(payments.facts("a")) == 2


# Each of these may lead to a later one, as what was made leads to what it was made from.
NAMES = ["re", "cap", "auth", "order", "other"]


@st.composite
def tellings(draw: st.DrawFn) -> list[Fact | tuple[str, str]]:
    """Links, at most one from each reference, and facts under any of them, in any order."""
    told: list[Fact | tuple[str, str]] = []
    for number, name in enumerate(NAMES[:-1]):
        if draw(st.booleans()):
            told.append((name, draw(st.sampled_from(NAMES[number + 1 :]))))
    for number in range(draw(st.integers(1, 5))):
        reference = draw(st.sampled_from(NAMES))
        told.append(fact(f"f{number}", f"refund:r{number}", "succeeded", number, payment_id=reference))
    return draw(st.permutations(told))


@pytest.mark.long
@given(tellings(), st.data())
@settings(max_examples=40)
def test_any_chains_in_any_batches_end_in_the_union_of_their_facts(
    tmp_path_factory: pytest.TempPathFactory, story: list[Fact | tuple[str, str]], data: st.DataObject
) -> None:
    payments = PaymentStore(tmp_path_factory.mktemp("chains"))
    remaining = entries = log(story)
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        payments.apply(remaining[:size], remaining[size - 1].position)
        remaining = remaining[size:]
    known_at = data.draw(st.integers(0, len(story)))

    for until in (known_at, len(story)):
        expected: dict[str, set[str]] = {}
        links: dict[str, str] = {}
        for entry in entries[:until]:
            if isinstance(linked := entry.envelope().event, PaymentLinked):
                links[entry.key] = linked.payment_id
        for entry in entries[:until]:
            if isinstance(recorded := entry.envelope().event, FactRecorded):
                end = entry.key
                while end in links:
                    end = links[end]
                expected.setdefault(end, set()).add(recorded.fact.fact_id)
        for payment_id, ids in expected.items():
            assert {each.fact.fact_id for each in payments.facts(payment_id, known_at=until)} == ids
    for payment in payments.payments().payments:
        assert payments.payment_at(payment.payment_id, as_of=None, known_at=payment.position) == payment
    assert {each.payment_id for each in payments.payments().payments} == expected.keys()
    payments.close()
