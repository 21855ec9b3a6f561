"""Whatever the payments: an answer says nothing that their views do not hold, and cites what it rests on."""

import re
from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from domain.evidence import PaymentEvidence, evidence
from domain.fact import Fact
from domain.lifecycle import LIFECYCLES
from domain.money import format_amount
from gateway.answering.compose import Composition, compose
from gateway.answering.english import ENGLISH
from gateway.answering.evidence import DocumentCited, FactCited, Passage
from gateway.answering.understand import understand
from tests.domain.examples import at, recorded
from tests.gateway.answering.examples import DAY_S, REFUND_POLICY, passage

QUESTIONS = st.sampled_from(
    [
        "Where is my refund?",
        "Where is my refund for pi_1 and pi_9?",
        "Did my payments go through?",
        "Did my payment of 19.00 EUR go through?",
        "What about re_11, dp_2 and po_3?",
        "What is the status of my dispute?",
        "Why was my card declined?",
        "I was charged twice",
        "Was I charged twice for pi_1?",
        "Where is my payout?",
        "How long do refunds take?",
        "What a lovely day",
    ]
)
PASSAGES = st.lists(
    st.sampled_from(
        [REFUND_POLICY, passage("Payments are safe.", 0.4, document_id="safety", title=""), passage("?", 0.1)]
    ),
    max_size=3,
)
SECONDS = st.sampled_from([0, 1, 300, DAY_S, 40 * DAY_S])
REASONS = st.sampled_from(["", "insufficient_funds", "fraudulent", "abandoned", "failed", "won on 3 March 2099"])


@st.composite
def payment(draw: st.DrawFn, number: int) -> PaymentEvidence:
    payment_id = f"pi_{number}"
    objects = ["intent", f"charge:ch_{number}", f"refund:re_{number}1", f"refund:re_{number}2", f"dispute:dp_{number}"]
    if draw(st.integers(0, 4)) == 0:
        payment_id, objects = f"po_{number}", [f"payout:po_{number}"]
    currency = draw(st.sampled_from(["EUR", "VND"]))
    facts: list[Fact] = []
    for object_key in draw(st.lists(st.sampled_from(objects), min_size=1, max_size=7)):
        kind = object_key.partition(":")[0]
        amount_minor = draw(st.sampled_from([1900, 4900]))
        facts.append(
            Fact(
                fact_id=f"stripe:evt_{number}_{len(facts)}",
                provider=draw(st.sampled_from(["stripe", "otherpay"])),
                payment_id=payment_id,
                object=object_key,
                status=draw(st.sampled_from([*LIFECYCLES["stripe", kind].moves, "of_tomorrow"])),
                occurred_at=at(draw(SECONDS)),
                amount_minor=amount_minor,
                captured_minor=draw(st.sampled_from([0, 1200, amount_minor])) if kind in {"intent", "charge"} else 0,
                currency=currency,
                customer_id="cus_secret",
                reason=draw(REASONS),
                refers_to=draw(st.sampled_from([(), (), (), (f"charge:ch_{number}",)])),
            )
        )
    known = evidence(payment_id, recorded(*facts, first=100 * number))
    assert known is not None
    return known


PAYMENTS = st.integers(0, 4).flatmap(lambda count: st.tuples(*(payment(number) for number in range(1, count + 1))))

# What each phrase says the status of its object is. Longer phrases of other statuses contain none of these.
SAYS = {
    "has been requested and is not finished": "pending",
    "is pending": "pending",
    "is waiting since": "requires_action",
    "was refunded": "succeeded",
    "failed": "failed",
    "was canceled": "canceled",
    "is processing": "processing",
    "is authorized": "authorized",
    "was captured": "captured",
    "is an inquiry": "inquiry",
    "is open": "open",
    "is under review": "under_review",
    "was won": "won",
    "was lost": "lost",
    "is in transit": "in_transit",
    "was paid": "paid",
    "is reported as of_tomorrow": "of_tomorrow",
}


def told(composition: Composition) -> str:
    """The answer without the quotation of a document and without the reasons in parentheses."""
    text = re.sub(r' ?From (?:"[^"]*"|our documents): ".*"$', "", composition.answer, flags=re.DOTALL)
    return re.sub(r" \((?!refund re_)[^)]*\)", "", text)


def statuses(payments: Sequence[PaymentEvidence]) -> Iterator[tuple[str, str]]:
    for each in payments:
        yield each.view.payment_id, each.view.status
        for part in (*each.view.refunds, *each.view.disputes, *each.view.payouts):
            yield part.id, part.status


@given(QUESTIONS, PAYMENTS, PASSAGES)
def test_every_status_is_the_views(question: str, payments: Sequence[PaymentEvidence], passages: list[Passage]) -> None:
    composition = compose(question, understand(question), payments, passages, min_score=0.35)

    held = set(statuses(payments))
    settled = [each for each in payments if each.view.certainty != "conflicting"]
    for said in filter(None, re.split(r"(?<=\.) (?=[A-Z0-9])", told(composition))):
        subject = re.search(r"\b(?:re|dp|po)_\w+", said) or re.search(r"(?<=ayment )pi_\w+", said)
        statuses_said = {status for phrase, status in SAYS.items() if phrase in said}
        if re.match(r"I see \d payments? that failed", said):
            continue
        only = re.match(
            r"(So far )?(only one|no) payment( of the amount asked about)? was captured", said, re.IGNORECASE
        )
        if only is not None:
            made = [each for each in payments if not each.view.payouts]
            captured = [each for each in settled if each.view.status == "captured" and not each.view.payouts]
            assert bool(only[3]) or len(captured) == (only[2].lower() != "no")
            assert bool(only[3]) or bool(only[1]) == any(each not in settled for each in made)
        elif statuses_said:
            assert subject is not None, said
            assert {(subject[0], status) for status in statuses_said} <= held, said
        if (none := re.match(r"There is no (refund|dispute) \w+ payment (\w+)\.", said)) is not None:
            view = next(each.view for each in settled if each.view.payment_id == none[2])
            assert not (view.refunds if none[1] == "refund" else view.disputes)
            assert view.certainty == "certain"


@given(QUESTIONS, PAYMENTS, PASSAGES)
def test_every_amount_and_day_is_the_views(
    question: str, payments: Sequence[PaymentEvidence], passages: list[Passage]
) -> None:
    composition = compose(question, understand(question), payments, passages, min_score=0.35)

    amounts, days = set(), set()
    for each in payments:
        view = each.view
        parts = [part.amount_minor for part in (*view.refunds, *view.disputes, *view.payouts)]
        amounts |= {format_amount(minor, view.currency) for minor in (view.amount_minor, view.captured_minor, *parts)}
    cited = {each.fact_id for each in composition.citations if isinstance(each, FactCited)}
    for each in payments:
        days |= {ENGLISH.day(fact.occurred_at) for fact in each.citations if fact.fact_id in cited}
    assert set(re.findall(r"[\d,.]*\d [A-Z]{3}\b", told(composition))) <= amounts
    assert set(re.findall(r"\d{1,2} [A-Z][a-z]+ \d{4}", told(composition))) <= days


@given(QUESTIONS, PAYMENTS, PASSAGES)
def test_only_what_was_given_is_cited_and_whatever_is_stated_is_cited(
    question: str, payments: Sequence[PaymentEvidence], passages: list[Passage]
) -> None:
    composition = compose(question, understand(question), payments, passages, min_score=0.35)

    given_facts = {(fact.fact_id, fact.position) for each in payments for fact in each.citations}
    cited_facts = {(each.fact_id, each.position) for each in composition.citations if isinstance(each, FactCited)}
    quotations = [each for each in composition.citations if isinstance(each, DocumentCited)]
    assert cited_facts <= given_facts
    assert len(set(composition.citations)) == len(composition.citations)
    assert len(quotations) <= 1
    for quotation in quotations:
        assert any(
            (each.document_id, each.version) == (quotation.document_id, quotation.version)
            and quotation.quote in each.text
            for each in passages
            if each.score >= 0.35
        )
        assert f'"{quotation.quote}"' in composition.answer
        assert len(quotation.quote) <= 300
    of_payment = {each.view.payment_id: each for each in payments}
    mentioned = set(re.findall(r"\b(?:pi|po)_\d\b", told(composition)))
    for payment_id in composition.payment_ids:
        facts = {(fact.fact_id, fact.position) for fact in of_payment[payment_id].citations}
        assert facts & cited_facts or payment_id not in mentioned
        is_settled = of_payment[payment_id].view.certainty != "conflicting"
        assert (payment_id in composition.stated_payment_ids) == is_settled
    assert mentioned & of_payment.keys() <= set(composition.payment_ids)
    assert composition.abstained == (
        not cited_facts and (not quotations or composition.intent not in {"policy", "unknown"})
    )
    assert "cus_secret" not in composition.answer


@given(QUESTIONS, PAYMENTS, PASSAGES, st.randoms())
def test_the_order_of_the_payments_does_not_matter(
    question: str, payments: Sequence[PaymentEvidence], passages: list[Passage], random: object
) -> None:
    shuffled = list(payments)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types its randoms loosely

    understanding = understand(question)
    first = compose(question, understanding, payments, passages, min_score=0.35)

    assert compose(question, understanding, shuffled, passages, min_score=0.35) == first
