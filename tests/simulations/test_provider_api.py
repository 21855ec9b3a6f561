"""The simulated provider's API: idempotency keys, errors, lists and faults as Stripe documents them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from simulations.provider import Provider
from simulations.provider_http import InProcess
from simulations.provider_scenario import CallFault, CallShares, ExactCallFault, Opened, RefundFates, Scenario

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
KEY = "sk_test_recount"


def provider(*steps: str, amount: int = 4_900, **scenario: Any) -> Provider:
    opened = Opened(id="pi_1", amount=amount, customer="cus_1", steps=steps or ("succeed",))
    return Provider(Scenario(start=START, is_frozen=True, payments=(opened,), **scenario))


def client(simulated: Provider, key: str = KEY) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=InProcess(simulated), base_url="http://stripe.example", auth=(key, ""))


async def refund(
    simulated: Provider, amount: int | str | None = 1_900, *, key: str = "", **fields: str
) -> httpx.Response:
    data = {"payment_intent": "pi_1", **({"amount": str(amount)} if amount is not None else {}), **fields}
    async with client(simulated) as sender:
        return await sender.post("/v1/refunds", data=data, headers={"Idempotency-Key": key} if key else {})


async def get(simulated: Provider, path: str) -> Any:
    async with client(simulated) as sender:
        return (await sender.get(path)).json()


def error(response: httpx.Response) -> tuple[int, str, str]:
    told = response.json()["error"]
    return response.status_code, told["type"], told.get("code", "")


async def test_the_same_key_gives_the_same_answer_and_does_nothing_twice() -> None:
    simulated = provider()

    first, again = await refund(simulated, key="k"), await refund(simulated, key="k")
    other = await refund(simulated, key="another")

    assert first.status_code == 200
    assert first.content == again.content != other.content
    assert first.headers["request-id"] == again.headers["request-id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert simulated.books.truth()["pi_1"].refunded_minor == 3_800


async def test_a_refusal_is_kept_like_a_success() -> None:
    simulated = provider("authorize", "capture:3000")
    refused = await refund(simulated, 3_001, key="k")
    await refund(simulated, key="another")

    again = await refund(simulated, 3_001, key="k")

    assert error(refused) == (400, "invalid_request_error", "")
    # Judged anew, it would name what is left now.
    assert again.content == refused.content


@pytest.mark.parametrize(("fault", "refunded_minor"), [("error_before", 0), ("error_after", 1_900)])
async def test_a_500_is_the_answer_for_a_day(fault: CallFault, refunded_minor: int) -> None:
    simulated = provider(call_faults=(ExactCallFault(call="POST /v1/refunds", fault=fault),))

    statuses = [(await refund(simulated, key="k")).status_code for _ in range(2)]
    assert simulated.books.truth()["pi_1"].refunded_minor == refunded_minor
    simulated.advance(timedelta(hours=24))
    statuses.append((await refund(simulated, key="k")).status_code)

    assert statuses == [500, 500, 200]


async def test_a_key_with_other_parameters_or_another_endpoint_is_an_error() -> None:
    simulated = provider()
    await refund(simulated, key="k")

    other_amount = await refund(simulated, 100, key="k")
    async with client(simulated) as sender:
        other_path = await sender.post("/v1/payment_intents/pi_1/cancel", headers={"Idempotency-Key": "k"})

    assert error(other_amount) == error(other_path) == (400, "idempotency_error", "")


async def test_a_key_that_is_in_use_is_a_conflict() -> None:
    arrived, may_go_on = asyncio.Event(), asyncio.Event()

    async def pause(_: float) -> None:
        arrived.set()
        await may_go_on.wait()

    scenario = Scenario(is_frozen=True, payments=(Opened(id="pi_1", amount=4_900, steps=("succeed",)),))
    simulated = Provider(scenario, pause=pause)
    first = asyncio.create_task(refund(simulated, key="k"))
    await arrived.wait()

    meanwhile = await refund(simulated, key="k")
    may_go_on.set()

    assert error(meanwhile) == (409, "idempotency_error", "idempotency_key_in_use")
    assert (await first).status_code == 200
    assert (await refund(simulated, key="k")).content == (await first).content


@pytest.mark.parametrize("fault", ["rate_limited", "unavailable", "locked", "timeout_before"])
async def test_what_never_reached_the_api_is_not_kept(fault: CallFault) -> None:
    simulated = provider(call_faults=(ExactCallFault(call="POST /v1/refunds", fault=fault),))

    try:
        status = (await refund(simulated, key="k")).status_code
    except httpx.ReadTimeout:
        status = 0
    again = await refund(simulated, key="k")

    assert status in {0, 409, 429, 503}
    assert again.status_code == 200
    assert "idempotent-replayed" not in again.headers


async def test_what_cannot_be_a_request_is_not_kept() -> None:
    simulated = provider()

    unknown = await refund(simulated, key="k", colour="red")
    not_a_number = await refund(simulated, "a lot", key="k")
    corrected = await refund(simulated, key="k")

    assert error(unknown) == (400, "invalid_request_error", "parameter_unknown")
    assert error(not_a_number) == (400, "invalid_request_error", "parameter_invalid_integer")
    assert corrected.status_code == 200


async def test_a_refund_beyond_what_was_captured_is_refused() -> None:
    simulated = provider("authorize", "capture:3000")

    over = await refund(simulated, 3_001)
    rest = await refund(simulated, None)
    nothing = await refund(simulated, 1)

    assert error(over) == (400, "invalid_request_error", "")
    assert over.json()["error"]["param"] == "amount"
    assert rest.json()["amount"] == 3_000
    assert error(nothing) == (400, "invalid_request_error", "charge_already_refunded")


@pytest.mark.parametrize("steps", [("decline",), ("authorize",), ("debit",)])
async def test_what_was_not_captured_is_not_refunded(steps: tuple[str, ...]) -> None:
    response = await refund(provider(*steps), 1)

    assert error(response) == (400, "invalid_request_error", "payment_intent_unexpected_state")


async def test_what_succeeded_is_not_canceled_and_the_error_shows_the_payment() -> None:
    async with client(provider()) as sender:
        response = await sender.post("/v1/payment_intents/pi_1/cancel")

    assert error(response) == (400, "invalid_request_error", "payment_intent_unexpected_state")
    assert response.json()["error"]["payment_intent"]["status"] == "succeeded"


async def test_a_wrong_key_and_what_does_not_exist_are_told_apart() -> None:
    simulated = provider()
    async with client(simulated, "sk_test_wrong_one") as sender:
        wrong = await sender.get("/v1/payment_intents/pi_1")
    async with client(simulated) as sender:
        missing = await sender.get("/v1/refunds/re_0")
        nowhere = await sender.get("/v1/accounts")

    assert wrong.status_code == 401
    assert "wrong_one" not in wrong.text
    assert error(missing) == (404, "invalid_request_error", "resource_missing")
    assert error(nowhere) == (404, "invalid_request_error", "")


async def test_objects_are_the_ones_that_webhooks_carried() -> None:
    simulated = provider()
    refund_id = (await refund(simulated)).json()["id"]
    last = {
        event["data"]["object"]["object"]: event["data"]["object"]
        for event in (msgspec.json.decode(each.body) for each in simulated.webhooks.due)
    }

    intent = await get(simulated, "/v1/payment_intents/pi_1?expand[]=latest_charge")

    assert intent | {"latest_charge": intent["latest_charge"]["id"]} == last["payment_intent"]
    assert intent["latest_charge"] == last["charge"] == await get(simulated, f"/v1/charges/{last['charge']['id']}")
    assert last["refund"] == await get(simulated, f"/v1/refunds/{refund_id}")


async def test_events_are_paged_both_ways_and_narrowed() -> None:
    simulated = provider("decline", "succeed")
    every = [each.event_id for each in reversed(simulated.books.events)]

    older, names = "", []
    while True:
        page = await get(simulated, f"/v1/events?limit=2{older}")
        names += [each["id"] for each in page["data"]]
        older = f"&starting_after={names[-1]}"
        if not page["has_more"]:
            break
    newer = await get(simulated, f"/v1/events?limit=2&ending_before={every[-1]}")
    charges = await get(simulated, "/v1/events?types[]=charge.failed&types[]=charge.succeeded")
    undelivered = await get(simulated, "/v1/events?delivery_success=false&limit=100")
    lost_cursor = await get(simulated, "/v1/events?starting_after=evt_0")

    assert names == every
    assert [each["id"] for each in newer["data"]] == every[-3:-1]
    assert [each["type"] for each in charges["data"]] == ["charge.succeeded", "charge.failed"]
    assert len(undelivered["data"]) == len(every)
    assert lost_cursor["error"]["code"] == "resource_missing"


@pytest.mark.long
async def test_money_is_conserved_through_a_thousand_calls_that_go_wrong() -> None:
    shares = CallShares(
        timeout_before=0.02,
        timeout_after=0.02,
        error_before=0.02,
        error_after=0.02,
        unavailable=0.02,
        rate_limited=0.02,
        locked=0.02,
        cut_before=0.02,
        cut_after=0.02,
        key_in_use=0.02,
    )
    fates = RefundFates(pending=0.2, fails_later=0.2)
    payments = tuple(Opened(id=f"pi_{number}", amount=1_000, steps=("succeed",)) for number in range(25))
    simulated = Provider(Scenario(seed=3, start=START, is_frozen=True, payments=payments, calls=shares, refunds=fates))
    async with client(simulated) as sender:
        for number in range(500):
            data = {"payment_intent": f"pi_{number % 25}", "amount": str(100 + number % 7 * 50)}
            for _ in range(2):
                try:
                    await sender.post("/v1/refunds", data=data, headers={"Idempotency-Key": f"k{number}"})
                except (httpx.ReadTimeout, httpx.ReadError):
                    continue
            if number % 100 == 0:
                simulated.advance(timedelta(days=40))
    simulated.advance(timedelta(days=40))

    truth = simulated.books.truth().values()
    statuses = {status for each in truth for status in each.refunds.values()}
    assert simulated.books.violations() == []
    assert statuses == {"succeeded", "failed"}
    assert all(each.refunded_minor <= each.captured_minor for each in truth)
    assert {each.fault for each in simulated.stripe.made} >= {*shares.__struct_fields__}


async def test_the_books_notice_money_from_nowhere_and_a_refund_made_twice() -> None:
    simulated = provider()
    first, second = [(await refund(simulated, 100, key=key)).json()["id"] for key in ("a", "b")]
    assert simulated.books.violations() == []

    simulated.books.refund_keys[second] = simulated.books.refund_keys[first]
    simulated.books.ledger.movements.clear()
    simulated.books.ledger._merchant_minor["pi_1"] += 1

    assert len(simulated.books.violations()) == 2
