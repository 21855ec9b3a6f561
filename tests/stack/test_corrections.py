"""Over real HTTP and NATS: a late webhook invalidates the answer that it contradicts, and whoever listens hears."""

import asyncio
import time

import msgspec
import nats
import pytest

from tests.gateway.sources.examples import CREATED
from tests.stack.stack import Json, Stack
from tests.stack.story import TENANT, Story

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

CORRECTIONS = f"/v1/{TENANT}/corrections"


def ask(stack: Stack, story: Story, **options: str | int) -> Json:
    question = f"Where is my refund for {story.payment}?"
    response = stack.client(TENANT).post(f"/v1/{TENANT}/ask", json={"question": question, **options})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def refunded_and_asked(stack: Stack, story: Story) -> Json:
    """An answer that says that the refund succeeded."""
    story.paid()
    story.tell("refund", "refund.created", story.refunded(), after_s=10)
    stack.drained()
    return ask(stack, story)


def failed(stack: Stack, story: Story) -> None:
    """The webhook that the provider sent long ago comes, and is judged."""
    story.tell("failed", "refund.failed", story.refunded("failed", failure_reason="declined"), after_s=20)
    stack.drained()


def test_an_answer_that_was_wrong_is_listed_with_what_is_true(stack: Stack, story: Story) -> None:
    answer = refunded_and_asked(stack, story)
    before = stack.get(CORRECTIONS, TENANT)
    assert answer["answer_id"] not in {each["answer_id"] for each in before["corrections"]}

    failed(stack, story)

    after = stack.get(CORRECTIONS, TENANT, after=before["position"])
    (correction,) = after["corrections"]
    assert correction["answer_id"] == answer["answer_id"]
    assert correction["answer"] == answer["answer"]
    assert correction["position"] == after["position"] > before["position"]
    (wrong,) = correction["payments"]
    assert wrong["payment_id"] == story.payment
    assert wrong["fields"] == ["refunded_minor", "refunds"]
    assert [each["status"] for each in wrong["stated"]["refunds"]] == ["succeeded"]
    assert [each["status"] for each in wrong["actual"]["refunds"]] == ["failed"]
    assert [each["status"] for each in wrong["now"]["refunds"]] == ["failed"]
    assert [each["fact_id"] for each in wrong["citations"]] == [f"stripe:{story.event_id('failed')}"]
    assert f"the refund {story.refund} of 19.00 EUR for payment {story.payment} had failed" in correction["text"]
    assert stack.get(CORRECTIONS, TENANT, after=after["position"])["corrections"] == []


def test_an_answer_says_what_it_relied_on_and_whether_it_stands(stack: Stack, story: Story) -> None:
    answer = refunded_and_asked(stack, story)
    path = f"/v1/{TENANT}/answers/{answer['answer_id']}"

    given = stack.get(path, TENANT)

    assert (given["verdict"], given["correction"], given["times_given"]) == ("stands", None, 1)
    assert given["citations"] == [each for each in answer["citations"] if each["kind"] == "fact"]
    assert (given["position"], given["generation"]) == (answer["position"], answer["generation"])
    ask(stack, story)
    assert stack.get(path, TENANT)["times_given"] == 2

    failed(stack, story)

    given = stack.get(path, TENANT)
    assert given["verdict"] == "wrong"
    assert given["correction"]["answer_id"] == answer["answer_id"]


def test_an_answer_about_the_past_or_the_future_is_judged_by_what_it_could_know(stack: Stack, story: Story) -> None:
    """What was asked as known at a position, or as of a time to come, is not wrong because more happens later."""
    story.paid()
    story.tell("refund", "refund.created", story.refunded(), after_s=10)
    head = stack.drained()["head"]
    asked = [ask(stack, story, known_at=head), ask(stack, story, as_of="2999-01-01T00:00:00Z")]

    now_s = int(time.time()) - CREATED + 1
    story.tell("failed", "refund.failed", story.refunded("failed", failure_reason="declined"), after_s=now_s)
    stack.drained()

    given = [stack.get(f"/v1/{TENANT}/answers/{each['answer_id']}", TENANT) for each in asked]
    assert [(each["known_at"], each["verdict"]) for each in given] == [(head, "stands"), (None, "outdated")]
    assert asked[1]["as_of"] == "2999-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("path", "tenant", "status", "code"),
    [
        (f"/v1/{TENANT}/answers/never", TENANT, 404, "answer.unknown"),
        (f"/v1/{TENANT}/answers/a%20b", TENANT, 400, "id.invalid"),
        (f"/v1/{TENANT}/answers/never", "globex", 404, "tenant.unknown"),
        (CORRECTIONS, "globex", 404, "tenant.unknown"),
        (f"{CORRECTIONS}?after=-1", TENANT, 400, "request.invalid"),
        (f"{CORRECTIONS}?limit=0", TENANT, 400, "request.invalid"),
    ],
)
def test_what_cannot_be_read_says_why(stack: Stack, path: str, tenant: str, status: int, code: str) -> None:
    response = stack.client(tenant).get(path)

    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_correction_is_published(stack: Stack, story: Story) -> None:
    answer = await asyncio.to_thread(refunded_and_asked, stack, story)
    client = await nats.connect(stack.nats_url)
    try:
        heard = await client.subscribe(f"corrections.{TENANT}")
        hints = await client.subscribe(f"answers.{TENANT}")
        await client.flush()

        await asyncio.to_thread(failed, stack, story)

        told = msgspec.json.decode((await heard.next_msg(timeout=10)).data)
        assert (told["type"], told["answer_id"]) == ("answer.invalidated", answer["answer_id"])
        hint = msgspec.json.decode((await hints.next_msg(timeout=10)).data)
        assert hint["changed"] == [answer["answer_id"]]
    finally:
        await client.close()
    assert stack.logged("answer_invalidated")[-1]["answer_id"] == answer["answer_id"]
    metrics = (await asyncio.to_thread(stack.client().get, "/metrics")).text
    assert 'recount_corrections_total{outcome="invalidated"}' in metrics
