"""The past over HTTP: what was known at a position stays what it was, documents included, and is told fast enough."""

import time
from typing import Any

import pytest

from tests.stack.stack import Json, Stack
from tests.stack.story import PAYMENTS, TENANT, Story

pytestmark = pytest.mark.stack

NOWHERE = 2**50


def ask(stack: Stack, question: str, **body: Any) -> Json:
    response = stack.client(TENANT).post(f"/v1/{TENANT}/ask", json={"question": question, **body})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def put(stack: Stack, document_id: str, text: str) -> int:
    body = {"title": "Parcel insurance", "text": text}
    response = stack.client(TENANT).put(f"/v1/{TENANT}/documents/{document_id}", json=body)
    assert response.status_code == 200, response.text
    position: int = response.json()["position"]
    return position


def quoted(answer: Json, document_id: str) -> list[int]:
    """The versions of a document that the answer cites."""
    return [each["version"] for each in answer["citations"] if each.get("document_id") == document_id]


def test_an_answer_at_a_past_position_quotes_what_was_current_then(stack: Stack, story: Story) -> None:
    document = f"insurance-{story.number}"
    question = "How long does the parcel insurance of zebras pay?"
    first = put(stack, document, "The parcel insurance of zebras pays within five days.")
    before = ask(stack, question, known_at=first)
    second = put(stack, document, "The parcel insurance of zebras pays within ninety days.")
    withdrawn = stack.client(TENANT).delete(f"/v1/{TENANT}/documents/{document}").json()["position"]

    assert quoted(before, document) == [1]
    assert "five days" in before["answer"]
    then = ask(stack, question, known_at=first)
    assert (then["answer"], then["citations"], then["position"]) == (before["answer"], before["citations"], first)
    assert quoted(ask(stack, question, known_at=second), document) == [2]
    assert quoted(ask(stack, question, known_at=withdrawn), document) == []
    assert quoted(ask(stack, question, min_position=withdrawn), document) == []
    assert not then["cached"]


def test_a_list_is_told_as_it_was_page_by_page(stack: Stack, story: Story) -> None:
    others = [Story(stack) for _ in range(3)]
    for age, each in enumerate(others):
        each.customer = story.customer
        each.tell("intent", "payment_intent.processing", each.intent("processing"), after_s=-age)
    position = max(each.view()["position"] for each in others)
    for each in others[1:]:
        each.tell("paid", "payment_intent.succeeded", each.intent(), after_s=60)
    story.paid()
    story.view()
    customer = {"customer_id": story.customer}

    now = stack.get(PAYMENTS, TENANT, **customer)["payments"]
    statuses = {each["payment_id"]: each["status"] for each in now}
    assert statuses == {
        story.payment: "captured",
        others[0].payment: "processing",
        others[1].payment: "captured",
        others[2].payment: "captured",
    }
    page = stack.get(PAYMENTS, TENANT, **customer, known_at=position, limit=2)
    rest = stack.get(PAYMENTS, TENANT, **customer, known_at=position, limit=2, cursor=page["cursor"])
    then = [*page["payments"], *rest["payments"]]
    assert [(each["payment_id"], each["status"]) for each in then] == [(each.payment, "processing") for each in others]
    assert (page["position"], rest["cursor"]) == (position, None)
    by_time = stack.get(PAYMENTS, TENANT, **customer, as_of="2026-03-01T13:59:59+02:00")["payments"]
    assert [each["payment_id"] for each in by_time] == [others[1].payment, others[2].payment]


def test_a_timeline_says_field_by_field_what_each_fact_changed(stack: Stack, story: Story) -> None:
    story.paid()
    known_at = story.view()["position"]
    story.tell("refund", "refund.created", story.refunded(), after_s=30)

    entries = story.timeline()

    assert {"field": "status", "before": None, "after": "captured"} in entries[0]["changed"]
    assert {"field": "refunded_minor", "before": 0, "after": 1900} in entries[-1]["changed"]
    assert {"field": f"refunds.{story.refund}.status", "before": None, "after": "succeeded"} in entries[-1]["changed"]
    assert all(entry["joined_position"] >= entry["position"] for entry in entries)
    then = stack.get(f"{PAYMENTS}/{story.payment}/timeline", TENANT, known_at=known_at)["entries"]
    assert then == entries[:-1]


def test_a_position_that_is_yet_to_come_is_refused(stack: Stack) -> None:
    """Whatever would be said of it could change."""
    client = stack.client(TENANT)
    replies = [
        client.get(f"{PAYMENTS}/pi_1", params={"known_at": NOWHERE}),
        client.get(f"{PAYMENTS}/pi_1/timeline", params={"known_at": NOWHERE}),
        client.get(PAYMENTS, params={"known_at": NOWHERE}),
        client.post(f"/v1/{TENANT}/ask", json={"question": "hi", "known_at": NOWHERE}),
    ]

    assert [(each.status_code, each.json()["code"]) for each in replies] == [(409, "position.ahead")] * 4


def test_a_position_that_was_just_written_is_waited_for(stack: Stack, story: Story) -> None:
    """No `min_position` is needed: what was known there is told once all of it is known."""
    for number in range(5):
        document = f"waited-{story.number}-{number}"
        position = put(stack, document, f"Walruses number {number} are insured for {number + 2} years.")
        answer = ask(stack, f"For how many years are walruses number {number} insured?", known_at=position)
        assert answer["position"] == position
        assert quoted(answer, document) == [1]


def test_the_past_is_told_fast_enough(stack: Stack, story: Story) -> None:
    """Bounds that a busy machine keeps; `recount bench past` measures."""
    story.paid()
    for number in range(24):
        story.refund = f"re_story{story.number}_{number}"
        story.tell(f"asked_{number}", "refund.created", story.refunded("pending", amount=100), after_s=number)
        story.tell(f"given_{number}", "refund.updated", story.refunded(amount=100), after_s=number + 30)
    known_at = story.view()["position"]

    def seconds(tell: Any) -> float:
        took = []
        for _ in range(20):
            started_s = time.perf_counter()
            tell()
            took.append(time.perf_counter() - started_s)
        return sorted(took)[18]

    assert story.view(known_at=known_at)["facts"] == 50
    assert seconds(lambda: stack.get(f"{PAYMENTS}/{story.payment}", TENANT, known_at=known_at)) < 0.25
    assert seconds(lambda: ask(stack, f"What happened to {story.payment}?", known_at=known_at)) < 2
