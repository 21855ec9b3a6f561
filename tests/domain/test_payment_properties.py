"""The fold over every kind of disorder: it depends on the set of facts and on nothing else.

Facts are drawn for every provider, kind and status, with clocks from a few seconds, so that ties are the normal case.
"""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Rejection
from domain.fact import Fact, RecordedFact, Source
from domain.lifecycle import LIFECYCLES
from domain.payment import fold, registers, view
from domain.payment_saga import Payment, PaymentDecider, RecordFact
from domain.timeline import timeline
from tests.domain.examples import PAYMENT, START, at, recorded

DECIDER = PaymentDecider()
SECONDS = st.integers(0, 3)
OBJECTS = {
    "intent": ["intent"],
    "charge": ["charge:ch_1", "charge:ch_2"],
    "refund": ["refund:re_1", "refund:re_2"],
    "dispute": ["dispute:dp_1"],
    "payout": ["payout:po_1"],
}
# A provider without tables must be as orderly as one with them.
STATUSES = {
    **{key: sorted(table.moves) for key, table in LIFECYCLES.items()},
    **{("otherpay", kind): ["captured", "failed", "settled?"] for kind in OBJECTS},
}
SUBJECTS = [
    (provider, key, status)
    for (provider, kind), statuses in STATUSES.items()
    for key in OBJECTS[kind]
    for status in statuses
]
AMOUNTS_MINOR = [(0, 0, 0, 0), (4900, 4900, 0, 0), (4900, 4900, 4900, 0), (4900, 4900, 4900, 1900), (1900, 0, 500, 500)]
WEBHOOK: tuple[Source, int | None] = ("webhook", None)
DELIVERIES: list[tuple[Source, int | None]] = [*[WEBHOOK] * 6, ("webhook", 1), ("webhook", 2), ("pull", None)]
RELATIONS: list[tuple[str, str, tuple[str, ...]]] = [
    ("", "EUR", ()),
    ("cus_1", "EUR", ("charge:ch_1",)),
    ("cus_2", "USD", ("intent",)),
]


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    """A fact from whole rows of the tables above: a few draws each, so that a set of them is cheap."""
    provider, key, status = draw(st.sampled_from(SUBJECTS))
    amount_minor, authorized_minor, captured_minor, refunded_minor = draw(st.sampled_from(AMOUNTS_MINOR))
    source, sequence = draw(st.sampled_from(DELIVERIES))
    customer_id, currency, refers_to = draw(st.sampled_from(RELATIONS))
    return Fact(
        fact_id=f"{provider}:evt_{draw(st.integers(0, 10_000))}",
        provider=provider,
        payment_id=PAYMENT,
        object=key,
        status=status,
        occurred_at=at(draw(SECONDS)),
        source=source,
        sequence=sequence,
        amount_minor=amount_minor,
        currency=currency,
        authorized_minor=authorized_minor,
        captured_minor=captured_minor,
        refunded_minor=refunded_minor,
        customer_id=customer_id,
        refers_to=refers_to,
    )


# Ids may collide. Which of two contents under one id was first is then a matter of arrival, and the saga refuses the
# second; so a set of facts has one content per id.
FACT_SETS = st.lists(facts(), min_size=1, max_size=8, unique_by=lambda each: each.fact_id)


def delivered(deliveries: Sequence[Fact]) -> Mapping[str, Fact]:
    """What the saga keeps of the deliveries, by fact id."""
    state: Payment = DECIDER.initial()
    for fact in deliveries:
        try:
            for event in DECIDER.decide(state, RecordFact(fact=fact), START):
                state = DECIDER.evolve(state, event)
        except Rejection as rejection:
            if rejection.code != "fact.id_reused":
                raise
    return state.facts


@given(FACT_SETS.flatmap(lambda those: st.tuples(st.just(those), st.permutations(those))))
def test_the_order_of_the_deliveries_does_not_matter(story: tuple[list[Fact], list[Fact]]) -> None:
    told, shuffled = story

    assert fold(PAYMENT, shuffled) == fold(PAYMENT, told)


@given(FACT_SETS, st.data())
def test_delivering_again_changes_nothing(told: list[Fact], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(told), max_size=8))
    shuffled = data.draw(st.permutations([*told, *again]))

    assert fold(PAYMENT, [*delivered(shuffled).values()]) == fold(PAYMENT, told)


@given(FACT_SETS, st.data())
def test_it_does_not_matter_how_the_facts_were_grouped_before_they_met(told: list[Fact], data: st.DataObject) -> None:
    """Orphans: facts gather under several references, overlap, and are united in any order."""
    groups = data.draw(st.lists(st.lists(st.sampled_from(told)), max_size=3))
    groups = data.draw(st.permutations([*groups, told]))
    united: dict[str, Fact] = {}
    for group in groups:
        united |= delivered(group)

    assert fold(PAYMENT, [*united.values()]) == fold(PAYMENT, told)


@given(st.lists(facts(), min_size=1, max_size=8))
def test_the_first_content_of_an_id_is_kept_and_a_second_is_refused(deliveries: list[Fact]) -> None:
    first: dict[str, Fact] = {}
    for fact in deliveries:
        first.setdefault(fact.fact_id, fact)

    assert delivered(deliveries) == first


@given(FACT_SETS, FACT_SETS)
def test_what_was_known_at_a_position_never_changes(told: list[Fact], later: list[Fact]) -> None:
    before = recorded(*told)
    after = before + recorded(*later, first=len(told) + 1)

    for position in range(len(told) + 1):
        assert view(PAYMENT, after, known_at=position) == view(PAYMENT, before, known_at=position)


@given(FACT_SETS, SECONDS)
def test_what_occurs_later_does_not_change_what_was_so_before(told: list[Fact], second: int) -> None:
    known = recorded(*told)
    until = [each for each in known if each.fact.occurred_at <= at(second)]

    assert view(PAYMENT, known, as_of=at(second)) == view(PAYMENT, until)


@given(FACT_SETS)
def test_every_object_rests_on_a_fact_about_it(told: list[Fact]) -> None:
    state = registers(told)

    assert set(state) == {each.object for each in told}
    assert all(current.winner in told and current.winner.object == key for key, current in state.items())


@given(FACT_SETS)
def test_money_is_never_negative_and_refunds_are_what_succeeded(told: list[Fact]) -> None:
    payment = fold(PAYMENT, told)

    assert min(payment.amount_minor, payment.authorized_minor, payment.captured_minor, payment.refunded_minor) >= 0
    assert payment.refunded_minor == sum(each.amount_minor for each in payment.refunds if each.status == "succeeded")


@given(FACT_SETS.flatmap(lambda those: st.tuples(st.just(those), st.permutations(those))))
def test_the_timeline_tells_every_fact_once_in_the_order_of_the_log(story: tuple[list[Fact], list[Fact]]) -> None:
    known = recorded(*story[0])
    shuffled: list[RecordedFact] = sorted(known, key=lambda each: story[1].index(each.fact))

    assert [each.position for each in timeline(known)] == [each.position for each in known]
    assert timeline(shuffled) == timeline(known)
