"""Generations over HTTP: one is built and promoted while questions are asked and facts come, and taken back again."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from domain.errors import TerminalError
from gateway.rebuilding import follow
from tests.stack.stack import Json, Stack, api_key, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

TENANTS = ("acme", "globex")
PER_SECOND = 50
# From the switch until the gateway has heard of it.
HEARD_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("promotion"), TENANTS) as running:
        for tenant in TENANTS:
            for number in range(20):
                publish(running, tenant, number, "days")
        yield running


def publish(stack: Stack, tenant: str, number: int, unit: str) -> int:
    text = f"Refunds of matter {number} take {number + 2} {unit} at {tenant}."
    body = {"title": f"Matter {number} of {tenant}", "text": text}
    response = stack.client(tenant).put(f"/v1/{tenant}/documents/matter-{number}", json=body)
    assert response.status_code == httpx.codes.OK, response.text
    position: int = response.json()["position"]
    return position


def generations(stack: Stack, tenant: str = "acme") -> Json:
    return stack.get(f"/v1/{tenant}/generations", tenant)


def stages(found: Json) -> dict[int, str]:
    return {each["generation"]: each["stage"] for each in found["generations"]}


class Said:
    """An answer and when its question left and it came back."""

    def __init__(self, tenant: str, asked_s: float, body: dict[str, Any]) -> None:
        self.tenant = tenant
        self.asked_s = asked_s
        self.came_s = time.perf_counter()
        self.generation: int = body["generation"]
        self.cached: bool = body["cached"]
        self.body = body


async def ask_steadily(stack: Stack, done: asyncio.Event) -> tuple[list[Said], list[str]]:
    """Questions at a steady rate, whatever the answers take; what came, and what failed."""
    said: list[Said] = []
    failed: list[str] = []
    clients = {
        tenant: httpx.AsyncClient(
            base_url=stack.url, headers={"Authorization": f"Bearer {api_key(tenant)}"}, timeout=20
        )
        for tenant in TENANTS
    }

    async def ask(tenant: str, number: int) -> None:
        # Every third is a question that was asked before, which the cache may know.
        words = "again" if number % 3 == 0 else f"asked as number {number}"
        question = {"question": f"How long do refunds of matter {number % 20} take at {tenant}, {words}?"}
        asked_s = time.perf_counter()
        response = await clients[tenant].post(f"/v1/{tenant}/ask", json=question)
        if response.status_code != httpx.codes.OK:
            failed.append(f"{response.status_code} {response.text}")
            return
        said.append(Said(tenant, asked_s, response.json()))

    async with asyncio.TaskGroup() as asking:
        number = 0
        while not done.is_set():
            asking.create_task(ask(TENANTS[number % 2], number))
            number += 1
            await asyncio.sleep(1 / PER_SECOND)
    for client in clients.values():
        await client.aclose()
    return said, failed


async def promote_under_load(stack: Stack) -> tuple[list[Said], list[str]]:
    done = asyncio.Event()
    asking = asyncio.create_task(ask_steadily(stack, done))
    try:
        await asyncio.sleep(1)
        before = await asyncio.to_thread(generations, stack)
        response = await asyncio.to_thread(stack.client("acme").post, "/v1/acme/generations", json={"reason": "test"})
        assert response.status_code == httpx.codes.ACCEPTED, response.text
        number = 0
        while (found := await asyncio.to_thread(generations, stack))["active"] == before["active"]:
            assert "abandoned" not in stages(found).values(), [each["abandoned_for"] for each in found["generations"]]
            # The live ones are written to meanwhile.
            await asyncio.to_thread(publish, stack, "acme", number % 20, "nights")
            number += 1
        await asyncio.sleep(HEARD_WITHIN_S + 1)
    finally:
        done.set()
    return await asking


def test_a_promotion_under_load_fails_no_question_and_mixes_nothing(stack: Stack) -> None:
    before = generations(stack)
    first, second = before["active"], max(stages(before)) + 1

    said, failed = asyncio.run(promote_under_load(stack))

    assert failed == []
    assert len(said) > 2 * PER_SECOND
    acme = [each for each in said if each.tenant == "acme"]
    assert {each.generation for each in acme} == {first, second}
    switched_s = min(each.came_s for each in acme if each.generation == second)
    assert [
        each.body for each in acme if each.generation == first and each.asked_s > switched_s and not each.cached
    ] == []
    late = switched_s + HEARD_WITHIN_S
    assert [each.body for each in acme if each.generation == first and each.asked_s > late] == []
    assert {each.generation for each in said if each.tenant == "globex"} == {1}
    for each in said:
        other = TENANTS[1 - TENANTS.index(each.tenant)]
        assert other not in each.body["answer"]
        assert f"at {each.tenant}" in each.body["answer"], each.body


def test_rolling_back_is_one_command_and_loses_nothing(stack: Stack) -> None:
    before = generations(stack)
    if before["before"] == 0:
        stack.client("acme").post("/v1/acme/generations", json={})
        before = until(lambda: (found := generations(stack))["before"] and found, "a generation is promoted")
    parking = {"title": "Parking", "text": "Visitors park behind the building."}
    position = stack.client("acme").put("/v1/acme/documents/parking", json=parking).json()["position"]

    response = stack.client("acme").post("/v1/acme/generations/rollback", json={"reason": "worse answers"})

    assert response.status_code == httpx.codes.ACCEPTED, response.text
    found = follow(response.json(), look=lambda: generations(stack), talk=quiet())
    assert (found["active"], found["before"]) == (before["before"], before["active"])
    question = {"question": "Where do visitors park?", "min_position": position}
    answer = stack.client("acme").post("/v1/acme/ask", json=question).json()
    assert answer["generation"] == found["active"]
    assert "behind the building" in answer["answer"]


def test_what_cannot_be_done_is_said_with_a_code(stack: Stack) -> None:
    response = stack.client("globex").post("/v1/globex/generations/rollback", json={})
    assert (response.status_code, response.json()["code"]) == (409, "index.nothing_to_roll_back_to")
    assert stack.client("globex").get("/v1/acme/generations").status_code == 404
    assert stages(generations(stack, "globex")) == {1: "active"}


def test_a_build_that_is_given_up_is_an_error_of_the_command() -> None:
    def found(stage: str) -> dict[str, Any]:
        build = {"generation": 2, "stage": stage, "abandoned_for": "documents: 1 of 3 are missing: refunds"}
        return {"active": 1, "before": 0, "generations": [build], "position": 3, "target": 9}

    with pytest.raises(TerminalError, match="1 of 3 are missing"):
        follow(found("building"), look=lambda: found("abandoned"), talk=quiet())


def quiet() -> Any:
    from rich.console import Console  # noqa: PLC0415 - one test's

    return Console(quiet=True)
