"""A signed question from a chat is answered in its conversation, with evidence, once, also when the gateway crashes."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from domain.answer import AnswerGiven, AnswerRecord
from domain.conversation import MessageAnswered, MessageReceived
from tests.gateway.sources.examples import event, intent
from tests.gateway.sources.zalo_examples import event as chat_event
from tests.gateway.sources.zalo_examples import signed
from tests.stack.processes import alive
from tests.stack.stack import Json, Stack, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TENANT = "acme"
SECRET = "oa_secret_of_acme"
ZALO = f'[tenants.{TENANT}.sources.zalo]\nsecrets = ["{SECRET}"]\n'
ACCOUNT = "388613280878808645"
PHONE = "0912 345 678"
POLICY = "A refund takes 5 to 10 business days to appear on the customer's statement."
QUESTION = "Did my payment go through?"


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a chat account, a policy and a captured payment of `cus_1`."""
    with Stack(tmp_path_factory.mktemp("chatting"), (TENANT,), more=ZALO) as running:
        published = running.client(TENANT).put(
            f"/v1/{TENANT}/documents/refunds", json={"title": "Refunds", "text": POLICY}
        )
        assert published.status_code == 200
        assert running.post(event("payment_intent.succeeded", intent()), TENANT).status_code == 202
        running.drained()
        yield running


def send(stack: Stack, user: str, event_name: str = "user_send_text", **fields: Any) -> httpx.Response:
    """What Zalo sends when a user does something, now."""
    body = json.dumps(
        chat_event(
            event_name, sender={"id": user}, recipient={"id": ACCOUNT}, timestamp=f"{time.time_ns() // 10**6}", **fields
        )
    ).encode()
    return post(stack, body)


def post(stack: Stack, body: bytes) -> httpx.Response:
    return stack.client().post(f"/v1/{TENANT}/webhooks/zalo", content=body, headers=signed(body, SECRET))


def conversation(stack: Stack, user: str) -> Json | None:
    response = stack.client(TENANT).get(f"/v1/{TENANT}/conversations/zalo:{user}")
    found: Json = response.json()
    return found if response.is_success else None


def answer_to(stack: Stack, user: str, message_id: str) -> Json | None:
    """The answer that the conversation has to a message."""
    found = conversation(stack, user)
    said = [each for each in found["transcript"] if each["message_id"] == message_id] if found else []
    answer: Json | None = said[0]["answer"] if said else None
    return answer


def answered(stack: Stack, user: str) -> list[MessageAnswered]:
    """The answers in a conversation, as often as they are in the log."""
    stream = f"conversation:{TENANT}/zalo:{user}"
    return [each.event for _, name, each in stack.log() if name == stream and isinstance(each.event, MessageAnswered)]


def given(stack: Stack, user: str) -> list[AnswerRecord]:
    """The answers in the ledger to somebody who writes under this id or as this customer."""
    records = [each.event.record for _, _, each in stack.log() if isinstance(each.event, AnswerGiven)]
    return [record for record in records if record.customer_id == user]


def test_a_customer_who_is_known_gets_one_answer_with_its_evidence(chatting: Stack) -> None:
    named = chatting.client(TENANT).put(f"/v1/{TENANT}/conversations/zalo:101/customer", json={"customer_id": "cus_1"})
    assert named.json() == {"conversation_id": "zalo:101", "customer_id": "cus_1"}
    body = json.dumps(
        chat_event(
            "user_send_text",
            sender={"id": "101"},
            recipient={"id": ACCOUNT},
            timestamp=f"{time.time_ns() // 10**6}",
            message={"msg_id": "q_101", "text": f"{QUESTION} Call {PHONE}."},
        )
    ).encode()

    assert [post(chatting, body).status_code for _ in range(3)] == [200] * 3
    answer: Json = until(lambda: answer_to(chatting, "101", "q_101"), "the question is answered")

    chatting.drained()
    (recorded,), (record,) = answered(chatting, "101"), given(chatting, "cus_1")
    assert (recorded.answer_id, recorded.text) == (answer["answer_id"], answer["text"])
    assert (record.answer_id, record.answer) == (answer["answer_id"], answer["text"])
    assert (record.stated[0].payment_id, record.stated[0].status) == ("pi_1", "captured")
    assert record.fact_ids == ("stripe:evt_1",)
    assert PHONE not in json.dumps(conversation(chatting, "101"))
    assert all(PHONE.encode() not in file.read_bytes() for file in chatting.data.glob("log.sqlite*"))


def test_a_stranger_hears_of_policies_and_of_nobodys_payments(chatting: Stack) -> None:
    send(chatting, "102", message={"msg_id": "q_102", "text": "What is the status of pi_1?"})
    send(chatting, "102", message={"msg_id": "q_103", "text": "How long does a refund take?"})

    of_payment: Json = until(lambda: answer_to(chatting, "102", "q_102"), "the question is answered")
    of_policy: Json = until(lambda: answer_to(chatting, "102", "q_103"), "the question is answered")

    assert "captured" not in of_payment["text"]
    assert POLICY in of_policy["text"]
    assert all(not record.stated and not record.fact_ids for record in given(chatting, "zalo:102"))


def test_a_withdrawal_is_shown_to_whoever_operates_this(chatting: Stack) -> None:
    send(chatting, "105", message={"msg_id": "q_105", "text": "Thank you."})
    assert send(chatting, "104", "user_withdraw", user_id="104").status_code == 200
    route = f"/v1/{TENANT}/conversations"

    until(lambda: conversation(chatting, "104") and conversation(chatting, "105"), "both are recorded")

    (listed,) = chatting.get(route, TENANT, erasure_requested="true")["conversations"]
    assert listed["conversation_id"] == "zalo:104"
    assert listed["erasure_requested_at"] is not None
    assert len(chatting.get(route, TENANT)["conversations"]) > 1
    until(
        lambda: [line for line in chatting.logged("erasure_requested") if line["conversation_id"] == "zalo:104"],
        "a line tells of it",
    )


def test_what_zalo_did_not_sign_is_refused(chatting: Stack) -> None:
    body = json.dumps(chat_event("user_send_text")).encode()

    refused = chatting.client().post(
        f"/v1/{TENANT}/webhooks/zalo", content=body, headers=signed(body, "another secret")
    )

    assert (refused.status_code, refused.json()["code"]) == (401, "signature.mismatch")


def test_a_question_is_answered_once_though_the_gateway_is_killed_before_the_answer(chatting: Stack) -> None:
    index = chatting.pid_of("knowledge-0")
    os.kill(index, signal.SIGSTOP)  # Nothing can be answered, and all else goes on.
    try:
        assert send(chatting, "106", message={"msg_id": "q_106", "text": QUESTION}).status_code == 200
        until(lambda: received(chatting, "106"), "the question is in the log")
        os.kill(chatting.pid, signal.SIGSTOP)
    finally:
        os.kill(index, signal.SIGCONT)
    pid = chatting.pid
    chatting.kill()
    assert not alive(pid)
    assert answered(chatting, "106") == [], "the kill came after the answer"

    chatting.start()
    answer: Json = until(lambda: answer_to(chatting, "106", "q_106"), "the question is answered after the start")

    chatting.drained()
    (recorded,), (record,) = answered(chatting, "106"), given(chatting, "zalo:106")
    assert recorded.answer_id == record.answer_id == answer["answer_id"]
    for user in ("101", "102"):
        ids = [each.message_id for each in answered(chatting, user)]
        assert len(ids) == len(set(ids)), "what was answered before the kill is not answered again"


def received(stack: Stack, user: str) -> bool:
    stream = f"conversation:{TENANT}/zalo:{user}"
    return any(name == stream and isinstance(each.event, MessageReceived) for _, name, each in stack.log())
