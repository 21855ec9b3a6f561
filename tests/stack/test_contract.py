"""The contract's routes with real data: the shapes, both clocks, citations, documents, and an answer that changes."""

import json
import re
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from tests.gateway.sources.examples import dispute, event, recorded
from tests.stack.stack import Json, Stack
from tests.stack.story import PAYMENTS, TENANT, Story

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
VIEW = set(
    "payment_id provider customer_id status amount_minor currency authorized_minor captured_minor refunded_minor "
    "refunds disputes certainty facts occurred_at as_of position".split()
)
ENTRY = set("fact_id source object status occurred_at recorded_at position effect".split())
ANSWER = set("answer_id answer abstained payments citations position lag_ms generation as_of cached".split())
POLICY = "A refund takes 5 to 10 business days to appear on the customer's statement."


def ask(stack: Stack, question: str, **options: Any) -> Json:
    response = stack.client(TENANT).post(f"/v1/{TENANT}/ask", json={"question": question, **options})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def cited(answer: Json) -> set[str]:
    return {each["fact_id"] for each in answer["citations"] if each["kind"] == "fact"}


def test_a_payment_view_is_as_the_contract_shows_it(story: Story) -> None:
    story.paid()
    story.tell("refund", "refund.created", story.refunded(), after_s=10)
    story.tell("refund_failed", "refund.failed", story.refunded("failed", failure_reason="declined"), after_s=20)
    story.tell(
        "dispute",
        "charge.dispute.closed",
        dispute("lost", id=f"dp_{story.number}", charge=story.charge, payment_intent=story.payment),
        after_s=30,
    )

    view = story.view()

    assert view.keys() >= VIEW
    assert view.keys() - VIEW == {"payouts", "reason"}, "what is added to the contract is added knowingly"
    assert {name: view[name] for name in VIEW - {"as_of", "position"}} == {
        "payment_id": story.payment,
        "provider": "stripe",
        "customer_id": story.customer,
        "status": "captured",
        "amount_minor": 4900,
        "currency": "EUR",
        "authorized_minor": 4900,
        "captured_minor": 4900,
        "refunded_minor": 0,
        "refunds": [{"id": story.refund, "status": "failed", "amount_minor": 1900, "reason": "declined"}],
        "disputes": [{"id": f"dp_{story.number}", "status": "lost", "amount_minor": 4900, "reason": "fraudulent"}],
        "certainty": "certain",
        "facts": 5,
        "occurred_at": "2026-03-01T12:00:30.000000Z",
    }
    assert TIME.fullmatch(view["as_of"])
    assert isinstance(view["position"], int)


def test_a_payment_is_found_by_the_ids_of_its_objects(stack: Stack, story: Story) -> None:
    story.paid()
    story.tell("refund", "refund.created", story.refunded(), after_s=10)
    of_payment = story.view()

    for name in (story.charge, story.refund):
        assert stack.get(f"{PAYMENTS}/{name}", TENANT) | {"as_of": ""} == of_payment | {"as_of": ""}


def test_the_timeline_tells_both_clocks_and_what_each_fact_did(stack: Stack, story: Story) -> None:
    told: Sequence[tuple[str, str, Json, int]] = [
        ("processing", "payment_intent.processing", story.intent("processing"), 0),
        ("succeeded", "payment_intent.succeeded", story.intent(), 20),
        ("succeeded_again", "payment_intent.succeeded", story.intent(), 20),
        ("created", "payment_intent.created", story.intent("requires_payment_method"), -10),
        ("charge", "charge.succeeded", story.charged(), 10),
        ("refund_failed", "refund.failed", story.refunded("failed"), 40),
        ("refund_canceled", "refund.updated", story.refunded("canceled"), 40),
    ]
    for name, event_type, body, after_s in told:
        story.tell(name, event_type, body, after_s=after_s)
        stack.drained()

    entries = story.timeline()

    assert all(entry.keys() >= ENTRY for entry in entries)
    assert [(entry["fact_id"].removeprefix("stripe:"), entry["effect"]) for entry in entries] == [
        (story.event_id("processing"), "applied"),
        (story.event_id("succeeded"), "applied"),
        (story.event_id("succeeded_again"), "duplicate"),
        (story.event_id("created"), "superseded"),
        (story.event_id("charge"), "late"),
        (story.event_id("refund_failed"), "applied"),
        (story.event_id("refund_canceled"), "conflicting"),
    ]
    assert [entry["position"] for entry in entries] == sorted(entry["position"] for entry in entries)
    assert entries[0]["occurred_at"] == "2026-03-01T12:00:00.000000Z"
    assert all(TIME.fullmatch(entry["recorded_at"]) for entry in entries)
    assert story.view()["certainty"] == "conflicting"


def test_a_payment_is_told_as_of_a_time_and_as_known_at_a_position(story: Story) -> None:
    story.paid()
    known_at = story.view()["position"]
    story.tell("refund", "refund.created", story.refunded(), after_s=-5)

    assert story.view()["refunded_minor"] == 1900
    assert story.view(known_at=known_at)["refunded_minor"] == 0
    assert story.view(known_at=known_at)["facts"] == 2
    earlier = story.view(as_of="2026-03-01T13:59:55+02:00")
    assert (earlier["facts"], earlier["as_of"]) == (1, "2026-03-01T11:59:55.000000Z")
    assert earlier["certainty"] == "incomplete"


def test_a_list_goes_on_at_its_cursor_newest_first(stack: Stack) -> None:
    stories = [Story(stack) for _ in range(5)]
    customer = stories[0].customer
    for age, each in enumerate(stories):
        each.customer = customer
        status = "succeeded" if age % 2 else "processing"
        each.tell("intent", f"payment_intent.{status}", each.intent(status), after_s=-age)
    stack.drained()

    pages: list[list[str]] = []
    cursor = None
    while not pages or cursor:
        params = {"customer_id": customer, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = stack.get(PAYMENTS, TENANT, **params)
        pages.append([view["payment_id"] for view in page["payments"]])
        cursor = page["cursor"]

    assert pages == [
        [stories[0].payment, stories[1].payment],
        [stories[2].payment, stories[3].payment],
        [stories[4].payment],
    ]
    captured = stack.get(PAYMENTS, TENANT, customer_id=customer, status="captured")["payments"]
    assert [view["payment_id"] for view in captured] == [stories[1].payment, stories[3].payment]


def test_an_answer_cites_its_facts_and_is_the_same_from_the_cache(stack: Stack, story: Story) -> None:
    story.paid()
    story.tell("refund", "refund.created", story.refunded(), after_s=10)
    position = story.view()["position"]
    question = f"Where is my refund for {story.payment}?"

    first, second = (ask(stack, question, min_position=position) for _ in range(2))

    assert first.keys() >= ANSWER
    assert (
        first["answer"] == f"19.00 EUR of payment {story.payment} was refunded on 1 March 2026 (refund {story.refund})."
    )
    assert first["citations"] == [
        {"kind": "fact", "fact_id": f"stripe:{story.event_id('refund')}", "position": position}
    ]
    assert [payment["payment_id"] for payment in first["payments"]] == [story.payment]
    assert (first["abstained"], first["cached"]) == (False, False)
    assert first["position"] >= position
    assert second["cached"] is True
    same = ("answer_id", "answer", "citations", "payments", "generation")
    assert [second[name] for name in same] == [first[name] for name in same]
    assert TIME.fullmatch(second["as_of"])


@pytest.fixture
def told_failed(stack: Stack, story: Story) -> tuple[str, str]:
    """A payment whose refund succeeded, was asked about, and failed: its id and the failing event's."""
    story.paid()
    story.tell("refund", "refund.created", story.refunded(), after_s=10)
    stack.drained()
    assert_refunded(stack, story.payment)
    story.tell("failed", "refund.failed", story.refunded("failed", failure_reason="declined"), after_s=86_400)
    return story.payment, story.event_id("failed")


def assert_refunded(stack: Stack, payment_id: str) -> None:
    """The answer, and the one from the cache, is that the money was refunded."""
    for is_cached in (False, True):
        answer = ask(stack, f"Where is my refund for {payment_id}?")
        assert " was refunded on " in answer["answer"]
        assert answer["cached"] is is_cached


def assert_failed(stack: Stack, payment_id: str, event_id: str) -> None:
    """The answer is that the refund failed, it cites the fact that says so, and it is not from the cache."""
    stack.drained()
    answer = ask(stack, f"Where is my refund for {payment_id}?")
    assert " failed on " in answer["answer"]
    assert "the money has not been returned" in answer["answer"]
    assert cited(answer) == {f"stripe:{event_id}"}
    assert answer["cached"] is False
    assert answer["payments"][0]["refunds"][0]["status"] == "failed"


def test_an_answer_changes_when_the_refund_fails_and_cites_the_failure(
    stack: Stack, told_failed: tuple[str, str]
) -> None:
    assert_failed(stack, *told_failed)


def test_the_recorded_refund_that_fails_changes_the_answer(stack: Stack) -> None:
    (path,) = recorded("events-zulip-webhook/refund_event.json")
    failed = json.loads(path.read_bytes())
    body = failed["data"]["object"]
    succeeded = event(
        "refund.created",
        {**body, **failed["data"]["previous_attributes"]},
        created=failed["created"] - 86_400,
        id="evt_0",
    )
    assert stack.post(succeeded, TENANT).status_code == 202
    stack.drained()
    assert_refunded(stack, body["payment_intent"])

    assert stack.post(path.read_bytes(), TENANT).status_code == 202

    assert_failed(stack, body["payment_intent"], failed["id"])


def test_an_answer_speaks_as_of_a_time_and_as_known_at_a_position(stack: Stack, story: Story) -> None:
    story.paid()
    story.tell("refund", "refund.created", story.refunded(), after_s=10)
    known_at = story.view()["position"]
    story.tell("failed", "refund.failed", story.refunded("failed"), after_s=86_400)
    stack.drained()
    question = f"Where is my refund for {story.payment}?"

    assert " failed on " in ask(stack, question)["answer"]
    assert " was refunded on " in ask(stack, question, known_at=known_at)["answer"]
    before = ask(stack, question, as_of="2026-03-01T12:00:15Z")
    assert " was refunded on " in before["answer"]
    assert before["as_of"] == "2026-03-01T12:00:15.000000Z"
    assert before["cached"] is False


def test_a_customer_is_told_of_its_own_payments_alone(stack: Stack, story: Story) -> None:
    story.paid()
    stack.drained()
    question = f"Where is my refund for {story.payment}?"

    assert ask(stack, question, customer_id=story.customer)["payments"]
    of_another = ask(stack, question, customer_id="cus_somebody_else")
    assert of_another["payments"] == []
    assert cited(of_another) == set()


def test_a_position_that_is_not_reached_is_waited_for_and_then_said(stack: Stack) -> None:
    head = stack.drained()["head"]

    responses = [
        stack.client(TENANT).get(PAYMENTS, params={"min_position": head + 1_000_000}),
        stack.client(TENANT).post(f"/v1/{TENANT}/ask", json={"question": "hello?", "min_position": head + 1_000_000}),
    ]

    for response in responses:
        assert (response.status_code, response.json()["code"]) == (503, "position.not_reached")
        assert response.headers["retry-after"] == "1"
        assert response.elapsed.total_seconds() > 1


def publish(stack: Stack, name: str, text: str, title: str = "Refunds") -> Json:
    response = stack.client(TENANT).put(f"/v1/{TENANT}/documents/{name}", json={"title": title, "text": text})
    assert response.status_code == 200, response.text
    published: Json = response.json()
    return published


def quoted(answer: Json) -> set[tuple[str, int]]:
    return {(each["document_id"], each["version"]) for each in answer["citations"] if each["kind"] == "document"}


def test_a_document_is_quoted_until_it_is_taken_back(stack: Stack) -> None:
    path = f"/v1/{TENANT}/documents/policy"
    question = "How long does a refund take to appear?"
    first = publish(stack, "policy", POLICY)
    answer = ask(stack, question, min_position=first["position"])
    assert quoted(answer) == {("policy", first["version"])}
    assert POLICY in answer["answer"]
    (citation,) = answer["citations"]
    assert citation["quote"] == POLICY
    assert ask(stack, question)["cached"] is True

    assert publish(stack, "policy", POLICY)["version"] == first["version"], "the same again is no version"
    second = publish(stack, "policy", POLICY.replace("5 to 10", "3 to 7"))
    answer = ask(stack, question, min_position=second["position"])
    assert quoted(answer) == {("policy", first["version"] + 1)}
    assert "3 to 7" in answer["answer"]
    document = stack.get(path, TENANT, min_position=second["position"])
    assert (document["document_id"], document["version"], document["title"]) == ("policy", second["version"], "Refunds")
    assert document["text"] == POLICY.replace("5 to 10", "3 to 7")

    gone = stack.client(TENANT).delete(path).json()
    answer = ask(stack, question, min_position=gone["position"])
    assert "policy" not in {document_id for document_id, _ in quoted(answer)}
    assert "3 to 7" not in answer["answer"]
    response = stack.client(TENANT).get(path, params={"min_position": gone["position"]})
    assert (response.status_code, response.json()["code"]) == (404, "document.unknown")
    assert stack.client(TENANT).delete(path).status_code == 200, "to take back again changes nothing"


def test_the_document_of_a_tenant_is_not_quoted_to_another(stack: Stack) -> None:
    text = "A parcel that is not picked up goes back to the warehouse after 14 days."
    position = publish(stack, "parcels", text, "Parcels")["position"]
    question = {"question": "When does a parcel go back to the warehouse?", "min_position": position}
    assert ("parcels", 1) in quoted(ask(stack, question["question"], min_position=position))

    answer = stack.client("globex").post("/v1/globex/ask", json=question).json()

    assert answer["abstained"] is True
    assert answer["citations"] == []


def test_a_webhook_is_answered_with_its_place_in_the_stream(stack: Stack, story: Story) -> None:
    raw = event("payment_intent.succeeded", story.intent(), id=story.event_id("placed"))

    first, second = stack.post(raw, TENANT), stack.post(raw, TENANT)

    assert [response.status_code for response in (first, second)] == [httpx.codes.ACCEPTED] * 2
    places = [int(response.json()["id"].removeprefix("INGEST:")) for response in (first, second)]
    assert places[1] > places[0]
    assert story.view()["facts"] == 1
