"""One tenant sends twenty times what it may: another's webhooks are hardly later, and nothing accepted is lost."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from domain.payment_saga import FactRecorded
from gateway.bus import OWN_LANE_PREFIX
from simulations.disorder import stripe_headers
from simulations.http_load import LoadResult, percentile, request_bytes, run_load
from tests.gateway.sources.examples import event, intent
from tests.stack.stack import Stack, secret, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

# One floods the stream, one sends webhooks without end, one goes on as ever.
FLOODING, KNOCKING, STEADY = "flooding", "knocking", "steady"
RATES_PER_S = {FLOODING: 100, KNOCKING: 20}
TIMES = 20
TRICKLE = 120
EVERY_S = 0.04
FLOOD = round(TIMES * RATES_PER_S[FLOODING] * TRICKLE * EVERY_S) + 2_400
FLOOD_HTTP_S = 5.0
DELAY_MAX_S = 0.250

figures = logging.getLogger("fairness")  # pytest -o log_cli=true --log-cli-level=INFO


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Stack]:
    """A stack on which two tenants have limits."""
    stack = Stack(tmp_path, (FLOODING, KNOCKING, STEADY))
    limits = [
        f"[tenants.{tenant}.limits]\nrate_per_s = {rate}.0\nburst = {rate}\n" for tenant, rate in RATES_PER_S.items()
    ]
    stack.config.write_text("\n".join([stack.config.read_text(), *limits]))
    with stack:
        yield stack


def unlimited(stack: Stack) -> None:
    """Let every tenant send what it likes from the next start on."""
    stack.config.write_text(stack.config.read_text().partition(f"[tenants.{FLOODING}.limits]")[0])


def paid(name: str) -> bytes:
    """A webhook about a payment of its own."""
    return event("payment_intent.succeeded", intent(id=f"pi_{name}"), id=f"evt_{name}")


def recorded(stack: Stack, tenant: str) -> dict[str, datetime]:
    """When each payment's fact was recorded."""
    return {
        stream.rpartition("/")[2]: envelope.recorded_at
        for _, stream, envelope in stack.log()
        if isinstance(envelope.event, FactRecorded) and stream.startswith(f"payment:{tenant}/")
    }


def trickle(stack: Stack, name: str) -> dict[str, datetime]:
    """Send the steady tenant's webhooks at their pace; returns when each was sent, by its payment."""
    sent: dict[str, datetime] = {}
    start_s = time.monotonic()
    for number in range(TRICKLE):
        time.sleep(max(start_s + number * EVERY_S - time.monotonic(), 0))
        sent[f"pi_{name}{number}"] = datetime.now(UTC)
        assert stack.post(paid(f"{name}{number}"), STEADY).status_code == 202
    return sent


def p95_s(stack: Stack, sent: dict[str, datetime]) -> float:
    """The 95th percentile of the time from sent to recorded."""
    until(lambda: sent.keys() <= recorded(stack, STEADY).keys(), "what the steady tenant sent is recorded")
    at = recorded(stack, STEADY)
    return percentile(sorted((at[name] - sent_at).total_seconds() for name, sent_at in sent.items()), 0.95)


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[threading.Thread]:
    """Do something in a thread meanwhile, and see that it ended well."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()
    assert not failed, failed


def test_a_flood_on_the_stream_delays_no_other_tenant_and_is_taken_in_whole(limited: Stack, tmp_path: Path) -> None:
    flood = tmp_path / "flood.jsonl"
    flood.write_bytes(b"".join(paid(f"noise{number}") + b"\n" for number in range(FLOOD)))
    trickle(limited, "warm")
    quiet_s = p95_s(limited, trickle(limited, "quiet"))

    command = ["submit", FLOODING, "stripe", str(flood), "--nats", limited.nats_url]
    with subprocess.Popen([sys.executable, "-m", "simulations", *command], stdout=subprocess.PIPE) as submit:
        until(lambda: recorded(limited, FLOODING), "the flood has begun")
        started_s = time.monotonic()
        loud_s = p95_s(limited, trickle(limited, "loud"))
        assert submit.wait(60) == 0
        figures.info("flood_per_s %.0f", FLOOD / (time.monotonic() - started_s))
    figures.info("nats: quiet_p95_ms %.0f, loud_p95_ms %.0f", quiet_s * 1000, loud_s * 1000)

    assert len(recorded(limited, FLOODING)) < FLOOD, "the flood was over before it could delay anyone"
    assert loud_s - quiet_s < DELAY_MAX_S
    assert limited.hosts_logged("lane_opened"), f"no consumer {OWN_LANE_PREFIX}* was needed"
    # The rest, faster: what was accepted outlives a stop, and the limit of that time.
    limited.stop()
    unlimited(limited)
    limited.start()
    limited.drained()
    assert len(recorded(limited, FLOODING)) == FLOOD
    assert limited.get(f"/v1/{FLOODING}/quarantine", FLOODING, state="all")["entries"] == []


def test_a_flood_of_webhooks_is_refused_above_the_rate_and_delays_no_other_tenant(limited: Stack) -> None:
    trickle(limited, "warm")
    quiet_s = p95_s(limited, trickle(limited, "quiet"))
    address = urlsplit(limited.url)
    numbers = iter(range(10**9))
    loads: list[LoadResult] = []

    def webhook() -> bytes:
        body = paid(f"noise{next(numbers)}")
        headers = stripe_headers(body, secret(KNOCKING), datetime.now(UTC))
        return request_bytes("POST", address.netloc, f"/v1/{KNOCKING}/webhooks/stripe", headers, body)

    def flood() -> None:
        assert address.hostname is not None
        assert address.port is not None
        load = run_load(address.hostname, address.port, webhook, connections=4, seconds=FLOOD_HTTP_S)
        loads.append(asyncio.run(load))

    with beside(flood):
        loud_s = p95_s(limited, trickle(limited, "loud"))
    (load,) = loads
    accepted = load.requests - load.errors
    figures.info("http: quiet_p95_ms %.0f, loud_p95_ms %.0f, %s", quiet_s * 1000, loud_s * 1000, load)

    assert load.per_second > TIMES * RATES_PER_S[KNOCKING] / 2, "the machine cannot flood itself now"
    assert accepted <= RATES_PER_S[KNOCKING] * (load.seconds + 1) + 1
    assert loud_s - quiet_s < DELAY_MAX_S
    limited.drained()
    assert len(recorded(limited, KNOCKING)) == accepted
    refused = _refused(limited)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate.exceeded")
    assert int(refused.headers["retry-after"]) >= 1


def _refused(stack: Stack) -> httpx.Response:
    """The answer to the first webhook above the rate."""
    numbers = iter(range(1_000))

    def refused() -> httpx.Response | None:
        response = stack.post(paid(f"more{next(numbers)}"), KNOCKING)
        return response if response.status_code != 202 else None

    refusal: httpx.Response = until(refused, "a webhook is above the rate")
    return refusal
