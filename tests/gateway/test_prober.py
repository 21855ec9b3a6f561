"""What the prober says of answers: against a gateway on the other side of HTTP that is right, wrong, slow or away."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import REGISTRY

from domain.watch_settings import ProberSettings
from gateway.prober import OUTCOMES, Outcome, Prober

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
Json = dict[str, Any]


class Gateway:
    """Answers as a gateway does that has understood everything, unless a test says otherwise."""

    def __init__(self) -> None:
        self.webhooks: list[Json] = []
        self.questions: list[Json] = []
        self.asked: list[str] = []
        self.status = 200
        self.takes = 202
        self.spoil: Callable[[Json], Json] = lambda answer: answer
        self.visible_after = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if "/webhooks/" in request.url.path:
            assert request.headers["stripe-signature"].startswith("t=")
            self.webhooks.append(msgspec.json.decode(request.content))
            return httpx.Response(self.takes, json={"id": "INGEST:1"})
        if request.method == "GET":
            looks = sum(each.startswith("GET") for each in self.asked)
            seen = looks > self.visible_after
            return httpx.Response(200 if seen else 404, json=self._payment(request.url.path.rsplit("/")[-1]))
        question = msgspec.json.decode(request.content)
        self.questions.append(question)
        answer = {
            "abstained": False,
            "payments": [self._payment(question["payment_id"])],
            "citations": [{"kind": "fact", "fact_id": "stripe:evt_1", "position": 1}],
        }
        return httpx.Response(self.status, json=self.spoil(answer))

    def _payment(self, payment_id: str) -> Json:
        """What is true by the webhooks: each story tells the latest of an object under the latest time."""
        bodies = sorted(self.webhooks, key=lambda each: each["created"])
        latest = {
            body["data"]["object"]["object"]: body["data"]["object"]
            for body in bodies
            if payment_id in {body["data"]["object"]["id"], body["data"]["object"].get("payment_intent")}
        }
        intent, refund = latest["payment_intent"], latest.get("refund")
        parts = [{"id": refund["id"], "status": refund["status"], "amount_minor": refund["amount"]}] if refund else []
        return {
            "payment_id": payment_id,
            "status": "captured" if intent["status"] == "succeeded" else "failed",
            "amount_minor": intent["amount"],
            "currency": "EUR",
            "certainty": "certain",
            "refunds": parts,
            "position": 7,
        }


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


Probe = Callable[[], Awaitable[list[Outcome]]]


@pytest.fixture
def probe(gateway: Gateway) -> Probe:
    names, seconds = count(1), count()
    prober = Prober(
        httpx.AsyncClient(base_url="http://node", transport=httpx.MockTransport(gateway)),
        secret="whsec_made_up",
        settings=ProberSettings(interval_s=1, deadline_s=4),
        clock=lambda: AT,
        clock_s=lambda: float(next(seconds)),
        new_name=lambda: f"canary{next(names)}",
        choose=lambda told: told[0],
    )
    return prober.probe


def counts() -> dict[str, float]:
    values = {each: REGISTRY.get_sample_value("recount_probes_total", {"outcome": each}) for each in OUTCOMES}
    return {outcome: value for outcome, value in values.items() if value}


async def test_right_answers_about_new_payments_and_old_ones(gateway: Gateway, probe: Probe) -> None:
    before = counts().get("right", 0)

    assert [await probe() for _ in range(5)] == [["right"], *[["right", "right"]] * 4]

    assert counts()["right"] == before + 9
    told = {webhook["data"]["object"].get("status") for webhook in gateway.webhooks}
    assert told >= {"succeeded", "pending", "failed", "requires_payment_method"}


async def test_every_other_question_about_an_old_payment_is_worded_anew(gateway: Gateway, probe: Probe) -> None:
    for _ in range(5):
        await probe()

    assert sum("(canary" in question["question"] for question in gateway.questions) == 2


def other_status(answer: Json) -> Json:
    return answer | {"payments": [answer["payments"][0] | {"status": "pending"}]}


def other_payment(answer: Json) -> Json:
    return answer | {"payments": [answer["payments"][0] | {"payment_id": "pi_another"}]}


def one_cent_less(answer: Json) -> Json:
    payment = answer["payments"][0]
    return answer | {"payments": [payment | {"amount_minor": payment["amount_minor"] - 1}]}


def unsure(answer: Json) -> Json:
    return answer | {"payments": [answer["payments"][0] | {"certainty": "incomplete"}]}


@pytest.mark.parametrize(
    ("spoil", "outcome"),
    [
        (other_status, "wrong"),
        (other_payment, "wrong"),
        (one_cent_less, "wrong"),
        (unsure, "wrong"),
        (lambda answer: answer | {"payments": [{}]}, "wrong"),
        (lambda answer: answer | {"payments": []}, "wrong"),
        (lambda answer: answer | {"citations": []}, "wrong"),
        (lambda answer: answer | {"abstained": True}, "abstained"),
        (lambda answer: {"no": "answer"}, "unanswered"),
    ],
)
async def test_an_answer_that_is_not_the_truth(
    gateway: Gateway, probe: Probe, spoil: Callable[[Json], Json], outcome: Outcome
) -> None:
    gateway.spoil = spoil
    before = counts()

    assert await probe() == [outcome]

    assert counts()[outcome] == before.get(outcome, 0) + 1


async def test_a_gateway_that_does_not_answer(gateway: Gateway, probe: Probe) -> None:
    gateway.status = 503

    assert await probe() == ["unanswered"]


async def test_a_webhook_that_is_not_accepted_says_nothing_about_answers(gateway: Gateway, probe: Probe) -> None:
    gateway.takes = 503

    assert await probe() == []
    assert gateway.questions == []


async def test_what_is_not_visible_in_time_is_asked_about_all_the_same(gateway: Gateway, probe: Probe) -> None:
    gateway.visible_after = 1_000

    assert await probe() == ["right"]
    assert sum(each.startswith("GET") for each in gateway.asked) == 4


async def test_nothing_is_asked_before_it_is_visible(gateway: Gateway, probe: Probe) -> None:
    gateway.visible_after = 2
    await probe()

    assert [each.split()[0] for each in gateway.asked if "webhooks" not in each] == ["GET", "GET", "GET", "POST"]
