"""Whatever comes in: the right problem, nothing lost, and the same processes as before."""

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import nats
import pytest

from simulations.disorder import stripe_headers
from tests.gateway.sources.examples import charge, event, intent, refund
from tests.stack.stack import Json, Stack, api_key, secret, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TENANT = "garbled"
HOSTS = ("payments-0", "payments-1", "knowledge-0", "intake-0")
DEEP = 100_000


@pytest.fixture(autouse=True)
def unharmed(stack: Stack) -> Iterator[None]:
    """After each test the same processes run, all are ready, and no request came upon a mistake of ours."""
    before = {host: stack.pid_of(host) for host in HOSTS}
    assert all(before.values())

    yield

    assert {host: stack.pid_of(host) for host in HOSTS} == before
    ready = stack.client().get("/readyz")
    assert ready.status_code == 200, ready.text
    assert stack.logged("request_crashed") == []
    stack.drained()


def assert_problem(response: httpx.Response, status: int, code: str) -> Json:
    """A problem document (RFC 9457) with this status and code; returns it."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    problem: Json = response.json()
    assert problem.keys() == {"type", "title", "status", "detail", "code"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]
    assert response.headers["x-correlation-id"]
    return problem


def nested(depth: int) -> bytes:
    return b'{"id":"evt_deep","type":"charge.succeeded","created":1,"data":{"object":%s}}' % (
        b'{"a":' * depth + b"1" + b"}" * depth
    )


def now_signed(body: bytes, key: str, *, age_s: float = 0) -> dict[str, str]:
    return stripe_headers(body, key, datetime.now(UTC) - timedelta(seconds=age_s))


def post(
    stack: Stack, body: bytes, headers: dict[str, str], place: str = f"{TENANT}/webhooks/stripe"
) -> httpx.Response:
    return stack.client().post(f"/v1/{place}", content=body, headers=headers)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "signature.missing"),
        ({"Stripe-Signature": ""}, "signature.missing"),
        ({"Stripe-Signature": "t=now,v1=abc"}, "signature.malformed"),
        ({"Stripe-Signature": "t=1772366400,v1=\x80\xff"}, "signature.mismatch"),
        (now_signed(b"{}", "whsec_of_somebody"), "signature.mismatch"),
        (now_signed(b"{} ", secret(TENANT)), "signature.mismatch"),
        (now_signed(b"{}", secret(TENANT), age_s=400), "signature.too_old"),
    ],
    ids=["none", "empty", "no time", "not ASCII", "another secret", "another body", "stale"],
)
def test_a_webhook_that_the_provider_did_not_sign_now_is_refused(
    stack: Stack, headers: dict[str, str], code: str
) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}

    assert_problem(post(stack, b"{}", raw), 401, code)  # type: ignore[arg-type] # bytes go as they are


def test_the_signature_of_another_tenant_is_none(stack: Stack) -> None:
    body = event("charge.succeeded", charge())

    assert_problem(post(stack, body, now_signed(body, secret("acme"))), 401, "signature.mismatch")


@pytest.mark.parametrize("place", ["nobody/webhooks/stripe", f"{TENANT}/webhooks/pigeon", f"{TENANT}/webhooks/%2e%2e"])
def test_a_webhook_for_a_place_that_does_not_exist_is_refused(stack: Stack, place: str) -> None:
    assert_problem(post(stack, b"{}", now_signed(b"{}", secret(TENANT)), place), 404, "source.unknown")


def chunked(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_of_five_megabytes_is_refused_before_it_is_read(stack: Stack, is_announced: bool) -> None:  # noqa: FBT001 - a parameter of the test
    body = b" " * 5_000_000
    content: Any = body if is_announced else chunked(body)

    response = post(stack, content, now_signed(body, secret(TENANT)))

    assert_problem(response, 413, "body.too_large")


def kept(stack: Stack, entry: str) -> bytes:
    """The raw message of a quarantined one."""
    return base64.b64decode(stack.get(f"/v1/{TENANT}/quarantine/{entry}", TENANT)["body_base64"])


def quarantined(stack: Stack, raw: bytes, state: str = "open") -> Json:
    """The entry that keeps these bytes."""
    entries: list[Json] = stack.get(f"/v1/{TENANT}/quarantine", TENANT, state=state, limit=1000)["entries"]
    (entry,) = [each for each in entries if each["bytes"] == len(raw) and kept(stack, each["id"]) == raw]
    return entry


UNREADABLE = {
    "truncated": (event("charge.succeeded", charge())[:-20], "body.not_json"),
    "empty": (b"", "body.not_json"),
    "not JSON": (b"refund=all", "body.not_json"),
    "not UTF-8": (b'{"id":"evt_1","type":"caf\xe9","created":1}', "body.not_utf8"),
    "null": (b"null", "body.wrong_shape"),
    "a list": (b"[1, 2]", "body.wrong_shape"),
    "nested lists": (b"[" * DEEP, "body.wrong_shape"),
    "nested objects": (nested(DEEP), "body.too_deep"),
    "wrong types": (b'{"id":7,"type":["charge"],"created":"soon"}', "body.wrong_shape"),
    "null for an object": (event("charge.succeeded", None), "body.wrong_shape"),
    "a word for an amount": (event("charge.succeeded", charge(amount="much")), "body.wrong_shape"),
}


@pytest.mark.parametrize(("raw", "code"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_signed_body_that_is_no_event_is_refused_and_kept(stack: Stack, raw: bytes, code: str) -> None:
    problem = assert_problem(stack.post(raw, TENANT), 400, code)

    entry = quarantined(stack, raw)
    assert (entry["code"], entry["state"], entry["source"]) == (code, "open", "stripe")
    assert entry["detail"]
    assert entry["id"] in problem["detail"]


MILLION_DIGITS = event("charge.succeeded", charge(amount=0)).replace(b'"amount": 0', b'"amount": ' + b"9" * 1_000_000)
UNBELIEVABLE = {
    "a million digits": (MILLION_DIGITS, "event.amount_out_of_range"),
    "less than nothing": (event("charge.succeeded", charge(amount=-1)), "event.amount_out_of_range"),
    "before 1970": (event("charge.succeeded", charge(), created=-1), "event.time_out_of_range"),
    "month 19": (event("charge.succeeded", charge(), created="2026-19-01T00:00:00Z"), "event.time_out_of_range"),
    "year 99999": (event("charge.succeeded", charge(), created=3_093_527_980_799), "event.time_out_of_range"),
    "a type and another object": (event("charge.succeeded", refund()), "event.type_contradicts_object"),
    "an id that is none": (event("charge.succeeded", charge(), id="../../etc"), "event.id_malformed"),
    "a currency that is none": (event("charge.succeeded", charge(currency="€€€")), "event.currency_malformed"),
}


@pytest.mark.parametrize(("raw", "code"), UNBELIEVABLE.values(), ids=UNBELIEVABLE.keys())
def test_an_event_that_cannot_be_believed_is_taken_and_put_aside_with_its_reason(
    stack: Stack, raw: bytes, code: str
) -> None:
    response = stack.post(raw, TENANT)

    assert response.status_code == 202, response.text
    stack.drained()
    entry = quarantined(stack, raw)
    assert (entry["code"], entry["state"]) == (code, "open")
    assert 0 < len(entry["detail"]) <= 200


def test_an_event_id_that_says_something_else_the_second_time_is_put_aside(stack: Stack) -> None:
    first = event("charge.succeeded", charge(id="ch_twice", payment_intent="pi_twice"), id="evt_twice")
    second = event("charge.failed", charge("failed", id="ch_twice", payment_intent="pi_twice"), id="evt_twice")

    assert stack.post(first, TENANT).status_code == 202
    stack.drained()
    assert stack.post(second, TENANT).status_code == 202
    stack.drained()

    assert quarantined(stack, second)["code"] == "fact.id_reused"
    assert stack.get(f"/v1/{TENANT}/payments/pi_twice", TENANT)["status"] == "captured"


def test_what_was_put_aside_is_sent_in_again_and_put_aside_again(stack: Stack) -> None:
    raw = event("charge.succeeded", charge(amount=-7), id="evt_again")
    assert stack.post(raw, TENANT).status_code == 202
    stack.drained()
    entry = quarantined(stack, raw)

    response = stack.client(TENANT).post(f"/v1/{TENANT}/quarantine/{entry['id']}/requeue")

    assert response.json() == {"requeued": [entry["id"]]}
    again = until(
        lambda: next((each for each in [quarantined(stack, raw, "all")] if each["deliveries"] == 2), None),
        "the entry that was sent in again is put aside again",
    )
    assert (again["state"], again["first_seen_at"]) == ("open", entry["first_seen_at"])
    assert again["last_seen_at"] > entry["last_seen_at"]


def test_all_open_entries_of_a_code_are_sent_in_again_at_once(stack: Stack) -> None:
    for number in range(3):
        assert stack.post(event("payout.paid", charge(id=f"ch_{number}")), TENANT).status_code == 202
    stack.drained()
    path, code = f"/v1/{TENANT}/quarantine", "event.type_contradicts_object"
    ids = {entry["id"] for entry in stack.get(path, TENANT, code=code)["entries"]}
    assert len(ids) >= 3

    response = stack.client(TENANT).post(f"{path}/requeue", params={"code": code})

    assert (set(response.json()["requeued"]), response.json()["remaining"]) == (ids, 0)
    stack.drained()
    assert {entry["id"] for entry in stack.get(path, TENANT, code=code)["entries"]} == ids


def test_open_entries_are_sent_in_again_by_source_and_time_some_at_a_time(stack: Stack) -> None:
    path = f"/v1/{TENANT}/quarantine"
    for number in range(3):
        assert stack.post(event("charge.succeeded", charge(amount=-number - 1)), TENANT).status_code == 202
    stack.drained()
    first, *_, last = stack.get(path, TENANT, code="event.amount_out_of_range", limit=1_000)["entries"]
    chosen = {"code": first["code"], "source": "stripe", "since": first["first_seen_at"]}

    none = stack.client(TENANT).post(f"{path}/requeue", params={**chosen, "until": first["first_seen_at"]})
    one = stack.client(TENANT).post(f"{path}/requeue", params={**chosen, "limit": 1})
    elsewhere = stack.client(TENANT).post(f"{path}/requeue", params={**chosen, "source": "pigeon"})

    assert none.json() == elsewhere.json() == {"requeued": [], "remaining": 0}
    assert len(one.json()["requeued"]) == 1
    assert one.json()["remaining"] >= 2
    stack.drained()
    assert stack.get(path, TENANT, since=last["first_seen_at"], source="stripe")["entries"] != []


def test_the_share_that_is_put_aside_is_a_metric_by_tenant_and_source(stack: Stack) -> None:
    assert stack.post(event("charge.succeeded", charge(amount=-77)), TENANT).status_code == 202
    assert stack.post(b"no event", TENANT).status_code == 400
    stack.drained()

    def counted(metric: str, host: str) -> float:
        labels = f'{{host="{host}",source="stripe",tenant="{TENANT}"}}'
        lines = stack.client().get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric + labels))

    for host in ("gateway", "intake-0"):
        messages = counted("recount_source_messages_total", host)
        assert 0 < counted("recount_source_quarantined_total", host) <= messages


async def test_what_is_published_without_a_gateway_is_put_aside_or_taken_in_and_stops_nothing(stack: Stack) -> None:
    good = event("charge.succeeded", charge(id="ch_bus", payment_intent="pi_bus"), id="evt_bus")
    garbage = [
        ("ingest.nobody.stripe", good),
        (f"ingest.{TENANT}.carrier-pigeon", good),
        (f"ingest.{TENANT}.stripe", b"\x00\xff\xfe garbage"),
        (f"ingest.{TENANT}.stripe", b""),
        (f"ingest.{TENANT}.stripe", nested(DEEP)),
        ("ingest.Not A Tenant!.stripe".replace(" ", "_"), b"1"),
        ("ingest.ünbekannt.stripe", b"2"),
        (f"ingest.{'x' * 200}.stripe", b"3"),
    ]
    client = await nats.connect(stack.nats_url)
    stream = client.jetstream()
    for subject, body in garbage:
        await stream.publish(subject, body, headers={"Recount-Quarantine-Id": "none", "Status": "503", "X": "\x7f"})
    await stream.publish(f"ingest.{TENANT}.stripe", good)
    await client.close()

    stack.drained()

    assert stack.get(f"/v1/{TENANT}/payments/pi_bus", TENANT)["status"] == "captured"
    codes = [entry["code"] for entry in stack.get(f"/v1/{TENANT}/quarantine", TENANT, limit=1000)["entries"]]
    assert {"source.unknown", "body.not_json", "body.too_deep"} <= set(codes)
    assert not (stack.data / "tenants" / "nobody").exists()
    unclaimed = stack.data / "_unclaimed" / "quarantine.sqlite"
    with closing(sqlite3.connect(f"file:{unclaimed}?mode=ro", uri=True)) as file:
        assert file.execute("SELECT code, count(*) FROM quarantine GROUP BY code").fetchall() == [("tenant.unknown", 4)]


PAYMENTS = f"/v1/{TENANT}/payments"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", f"{PAYMENTS}/%2e%2e/%2e%2e/etc", 404, "not_found"),
        ("DELETE", PAYMENTS, 405, "method.not_allowed"),
        ("GET", f"/v1/{TENANT}/ask", 405, "method.not_allowed"),
        ("PUT", f"/v1/{TENANT}/webhooks/stripe", 405, "method.not_allowed"),
        ("GET", f"{PAYMENTS}/pi_none", 404, "payment.unknown"),
        ("GET", f"{PAYMENTS}/a%00b", 400, "id.invalid"),
        ("GET", f"{PAYMENTS}/{'x' * 300}", 400, "id.invalid"),
        ("GET", f"{PAYMENTS}?limit=0", 400, "request.invalid"),
        ("GET", f"{PAYMENTS}?limit=many", 400, "request.invalid"),
        ("GET", f"{PAYMENTS}?status=paid", 400, "request.invalid"),
        ("GET", f"{PAYMENTS}?cursor=99999999999999999999.x", 400, "cursor.invalid"),
        ("GET", f"{PAYMENTS}?cursor=1", 400, "cursor.invalid"),
        ("GET", f"{PAYMENTS}/pi_1?known_at={10**30}", 400, "request.invalid"),
        ("GET", f"{PAYMENTS}/pi_1?min_position={10**30}", 400, "request.invalid"),
        ("GET", f"{PAYMENTS}/pi_1?as_of=yesterday", 400, "request.invalid"),
        ("GET", f"{PAYMENTS}/pi_1?as_of=2026-13-01T00:00:00Z", 400, "request.invalid"),
        ("GET", f"{PAYMENTS}/pi_1?as_of=2026-01-01T00:00:00", 400, "time.without_zone"),
        ("GET", f"{PAYMENTS}/pi_1?as_of=0001-01-01T00:00:00%2B23:00", 400, "time.out_of_range"),
        ("GET", f"{PAYMENTS}/pi_1?as_of=9999-12-31T23:59:59-23:00", 400, "time.out_of_range"),
        ("GET", f"/v1/{TENANT}/documents/d?min_position={10**30}", 400, "request.invalid"),
        ("GET", f"/v1/{TENANT}/documents/none", 404, "document.unknown"),
        ("DELETE", f"/v1/{TENANT}/documents/none", 404, "document.unknown"),
        ("GET", f"/v1/{TENANT}/quarantine?state=lost", 400, "request.invalid"),
        ("POST", f"/v1/{TENANT}/quarantine/none/requeue", 404, "quarantine.unknown"),
        ("GET", "/v1/nobody/payments", 404, "tenant.unknown"),
        ("GET", "/v1/NOBODY/payments", 404, "tenant.unknown"),
    ],
)
def test_a_request_that_cannot_be_served_says_why(stack: Stack, method: str, path: str, status: int, code: str) -> None:
    response = stack.client(TENANT).request(method, path)

    assert_problem(response, status, code)
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "body.not_json"),
        (b"", 400, "request.invalid"),
        (b"[]", 400, "request.invalid"),
        (b"null", 400, "request.invalid"),
        (b'{"question": 7}', 400, "request.invalid"),
        (b'{"question": null}', 400, "request.invalid"),
        (b'{"question": "hi", "top_k": "3"}', 400, "request.invalid"),
        (b'{"question": "hi", "as_of": 0}', 400, "request.invalid"),
        (b'{"question": "hi", "language": "en"}', 400, "request.invalid"),
        (b'{"question": "caf\xe9"}', 400, "body.not_utf8"),
        (b'{"question": ' + b"[" * DEEP, 400, "request.invalid"),
        (b'{"surplus": ' + b"[" * DEEP, 400, "request.invalid"),
        (b'{"question": "   "}', 400, "question.empty"),
        (json.dumps({"question": "x" * 2_001}).encode(), 400, "request.invalid"),
        (json.dumps({"question": "hi", "payment_id": "a b"}).encode(), 400, "id.invalid"),
        (json.dumps({"question": "hi", "known_at": 10**30}).encode(), 400, "position.out_of_range"),
        (json.dumps({"question": "hi", "min_position": 2**60}).encode(), 400, "position.out_of_range"),
        (json.dumps({"question": "hi", "as_of": "9999-12-31T23:59:59-23:00"}).encode(), 400, "time.out_of_range"),
        (json.dumps({"question": "hi", "as_of": "2026-19-01T00:00:00Z"}).encode(), 400, "request.invalid"),
        (json.dumps({"question": "x" * 3_000_000}).encode(), 413, "body.too_large"),
    ],
)
def test_a_question_that_is_none_says_why(stack: Stack, body: bytes, status: int, code: str) -> None:
    response = stack.client(TENANT).post(
        f"/v1/{TENANT}/ask", content=body, headers={"Content-Type": "application/json"}
    )

    assert_problem(response, status, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", PAYMENTS),
        ("GET", f"{PAYMENTS}/pi_1"),
        ("GET", f"{PAYMENTS}/pi_1/timeline"),
        ("POST", f"/v1/{TENANT}/ask"),
        ("PUT", f"/v1/{TENANT}/documents/d"),
        ("GET", f"/v1/{TENANT}/documents/d"),
        ("DELETE", f"/v1/{TENANT}/documents/d"),
        ("GET", f"/v1/{TENANT}/quarantine"),
        ("POST", f"/v1/{TENANT}/quarantine/x/requeue"),
        ("POST", f"/v1/{TENANT}/quarantine/requeue"),
    ],
)
def test_a_resource_opens_to_its_tenant_alone(stack: Stack, method: str, path: str) -> None:
    def problem(status: int, code: str, **headers: str) -> Json:
        # A body that does not fit is not looked at before the credential.
        return assert_problem(stack.client().request(method, path, content=b"{", headers=headers), status, code)

    problem(401, "credential.missing")
    problem(401, "credential.missing", Authorization=f"Basic {api_key(TENANT)}")
    problem(401, "credential.missing", Authorization=f"Bearer {api_key('nobody')}")
    problem(401, "credential.missing", Authorization="Bearer")
    of_another = problem(404, "tenant.unknown", Authorization=f"Bearer {api_key('acme')}")
    nowhere = stack.client("acme").request(method, path.replace(TENANT, "nobody"), content=b"{").json()
    assert nowhere == of_another, "what exists is not to be told from what does not"


def test_the_lag_opens_to_any_tenant_and_to_nobody_else(stack: Stack) -> None:
    assert_problem(stack.client().get("/v1/lag"), 401, "credential.missing")
    for tenant in ("acme", TENANT):
        assert stack.get("/v1/lag", tenant)["ingest_pending"] >= 0


def test_a_payment_of_another_tenant_is_not_there(stack: Stack) -> None:
    raw = event("payment_intent.succeeded", intent(id="pi_private"), id="evt_private")
    assert stack.post(raw, TENANT).status_code == 202
    stack.drained()
    assert stack.get(f"{PAYMENTS}/pi_private", TENANT)["status"] == "captured"

    client = stack.client("acme")
    assert_problem(client.get("/v1/acme/payments/pi_private"), 404, "payment.unknown")
    answer = client.post("/v1/acme/ask", json={"question": "where is the refund for pi_private?"}).json()

    assert answer["payments"] == []
    assert answer["citations"] == []
