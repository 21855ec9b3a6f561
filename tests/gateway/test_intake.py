"""Every message ends in the log or in quarantine, and only then is it settled."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.recorder import LogRecorder
from actors.router import Router
from domain.codec import Submission
from domain.errors import RetryableError
from domain.message import Failed, Reply, Trace
from domain.tenant_settings import TenantSettings
from gateway.intake import (
    CORRELATION_HEADER,
    QUARANTINE_HEADER,
    RETRY_MAX_S,
    TRACEPARENT_HEADER,
    Incoming,
    Intake,
    Settled,
)
from gateway.quarantine import Quarantine
from gateway.sources import Sources
from tests.gateway.sources.examples import charge, event, intent, refund
from tests.spec import NOON
from tests.worlds import LocalHost, entries_in, facts_in, handled, new_log, new_shard

INTENT = event("payment_intent.succeeded", intent(latest_charge="ch_1"))
REUSED = event("payment_intent.succeeded", intent(amount=5000))
CHARGE = event("charge.succeeded", charge(), id="evt_2")
SIGHTING = event("customer.updated", {"object": "customer", "id": "cus_1"}, id="evt_3")


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


@pytest.fixture
def quarantine(tmp_path: Path) -> Iterator[Quarantine]:
    opened = Quarantine(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def intake(recorder: LogRecorder, quarantine: Quarantine) -> Intake:
    return new_intake(handled(new_shard(recorder)), quarantine)


def new_intake(submit: Any, quarantine: Quarantine, **options: Any) -> Intake:
    return Intake(
        submit,
        quarantine,
        sources=Sources({"acme": TenantSettings(), "globex": TenantSettings()}),
        clock=lambda: NOON,
        **options,
    )


def message(body: bytes, *, subject: str = "ingest.acme.stripe", sequence: int = 7, **headers: str) -> Incoming:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Incoming(subject=subject, body=body, headers=named, sequence=sequence)


async def take_in(intake: Intake, *messages: Incoming) -> Settled:
    return await intake.settle([intake.read(each) for each in messages])


def codes(quarantine: Quarantine, tenant: str = "acme") -> dict[str, int]:
    return quarantine.counts(tenant)


async def test_a_message_becomes_facts_with_their_cause(intake: Intake, recorder: LogRecorder) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {CORRELATION_HEADER: "c-42", TRACEPARENT_HEADER: trace}

    settled = await take_in(intake, Incoming(subject="ingest.acme.stripe", body=INTENT, headers=headers, sequence=9))

    assert settled == Settled(recorded=1)
    (entry,) = entries_in(recorder)
    assert entry.stream == "payment:acme/pi_1"
    envelope = entry.envelope()
    assert envelope.trace == Trace(correlation_id="c-42", traceparent=trace)
    assert (envelope.command_id, envelope.event.fact.raw) == ("stripe:evt_1", "INGEST:9")  # type: ignore[union-attr]  # a fact


async def test_a_message_without_a_correlation_id_is_named_by_its_place(intake: Intake) -> None:
    assert intake.read(message(INTENT, sequence=12)).trace == Trace(correlation_id="ingest-12")


async def test_a_message_that_comes_again_changes_nothing(intake: Intake, recorder: LogRecorder) -> None:
    settled = await take_in(intake, message(INTENT), message(CHARGE), message(INTENT, sequence=8))

    assert settled == Settled(recorded=2, unchanged=1)
    assert await take_in(intake, message(INTENT), message(SIGHTING)) == Settled(recorded=1, unchanged=1)
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1", "stripe:evt_2"]}


async def test_what_is_no_fact_of_money_is_kept_as_seen(intake: Intake, recorder: LogRecorder) -> None:
    assert await take_in(intake, message(SIGHTING)) == Settled(recorded=1)
    assert [entry.topic for entry in entries_in(recorder)] == ["webhook.seen"]


@pytest.mark.parametrize(
    ("bad", "tenant", "code"),
    [
        (message(b"{"), "acme", "body.not_json"),
        (message(INTENT, subject="ingest.initech.stripe"), "initech", "tenant.unknown"),
        (message(INTENT, subject="ingest.ACME/..stripe"), "ACME/", "tenant.unknown"),
        (message(INTENT, subject="ingest.globex.pigeon"), "globex", "source.unknown"),
        (message(REUSED), "acme", "fact.id_reused"),
    ],
)
async def test_what_cannot_be_taken_in_is_put_aside_with_its_reason_and_the_rest_goes_on(
    bad: Incoming, tenant: str, code: str, intake: Intake, quarantine: Quarantine, recorder: LogRecorder
) -> None:
    settled = await take_in(intake, message(INTENT), bad, message(CHARGE))

    assert settled == Settled(recorded=2, quarantined=1)
    (entry,) = quarantine.listed(tenant)
    assert (entry.code, entry.state) == (code, "open")
    assert entry.detail
    kept = quarantine.message(tenant, entry.id)
    assert kept is not None
    assert kept.raw == bad.body
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1", "stripe:evt_2"]}


async def test_a_message_of_which_one_command_is_refused_is_put_aside_although_the_others_are_recorded(
    intake: Intake, quarantine: Quarantine, recorder: LogRecorder
) -> None:
    await take_in(intake, message(CHARGE))
    # The charge is said to be another payment's: its fact is new there, and its link is refused.
    elsewhere = event("charge.succeeded", charge(payment_intent="pi_2"), id="evt_9")

    assert await take_in(intake, message(elsewhere)) == Settled(quarantined=1)
    assert codes(quarantine) == {"payment.linked_elsewhere": 1}
    assert facts_in(recorder)["pi_2"] == ["stripe:evt_9"]


async def test_what_a_shard_cannot_handle_is_put_aside(recorder: LogRecorder, quarantine: Quarantine) -> None:
    async def submit(batch: Sequence[Submission]) -> list[Reply]:
        return [Failed(reason="the log refuses it", retryable=False) for _ in batch]

    assert await take_in(new_intake(submit, quarantine), message(INTENT)) == Settled(quarantined=1)
    (entry,) = quarantine.listed("acme")
    assert (entry.code, entry.detail) == ("command.failed", "the log refuses it")


async def test_what_fails_for_now_is_sent_again_until_it_succeeds(
    recorder: LogRecorder, quarantine: Quarantine
) -> None:
    host = LocalHost(new_shard(recorder), failures=[RetryableError("no answer")] * 9)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    intake = new_intake(Router([host]).submit, quarantine, pause=pause)

    assert await take_in(intake, message(INTENT), message(b"{"), message(CHARGE)) == Settled(recorded=2, quarantined=1)
    assert len(pauses) == 9
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_MAX_S
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1", "stripe:evt_2"]}


async def test_only_what_failed_is_sent_again(recorder: LogRecorder, quarantine: Quarantine) -> None:
    shard = new_shard(recorder)
    sent: list[list[str]] = []

    async def submit(batch: Sequence[Submission]) -> list[Reply]:
        sent.append([each.command_id for each in batch])
        failed = Failed(reason="not hosted here", retryable=True)
        return [failed if len(sent) == 1 and "_2" in each.command_id else shard.handle([each])[0] for each in batch]

    async def pause(_: float) -> None:
        return

    intake = new_intake(submit, quarantine, pause=pause)

    assert await take_in(intake, message(INTENT), message(CHARGE), message(SIGHTING)) == Settled(recorded=3)
    assert sent == [["stripe:evt_1", "stripe:evt_2", "link:ch_1", "evt_3"], ["stripe:evt_2"]]


async def test_a_message_that_was_sent_in_again_and_taken_in_is_marked_as_applied(
    intake: Intake, quarantine: Quarantine
) -> None:
    unknown = message(INTENT, subject="ingest.globex.stripe2")
    await take_in(intake, unknown)
    (entry,) = quarantine.listed("globex")
    quarantine.mark("globex", [entry.id], "requeued")

    for expected in (Settled(recorded=1), Settled(unchanged=1)):
        again = Incoming(subject="ingest.globex.stripe", body=INTENT, headers={QUARANTINE_HEADER: entry.id}, sequence=8)
        quarantine.mark("globex", [entry.id], "requeued")
        assert await take_in(intake, again) == expected
        assert [each.state for each in quarantine.listed("globex", state=None)] == ["applied"]


async def test_a_message_that_was_sent_in_again_and_refused_again_is_open_again(
    intake: Intake, quarantine: Quarantine
) -> None:
    await take_in(intake, message(b"{"))
    (entry,) = quarantine.listed("acme")
    quarantine.mark("acme", [entry.id], "requeued")

    again = Incoming(subject="ingest.acme.stripe", body=b"{", headers={QUARANTINE_HEADER: entry.id}, sequence=8)
    assert await take_in(intake, again) == Settled(quarantined=1)

    assert [(each.id, each.state, each.deliveries) for each in quarantine.listed("acme")] == [(entry.id, "open", 2)]


async def test_tenants_do_not_meet(intake: Intake, recorder: LogRecorder) -> None:
    await take_in(intake, message(INTENT), message(REUSED, subject="ingest.globex.stripe"))

    assert {entry.stream for entry in entries_in(recorder)} == {"payment:acme/pi_1", "payment:globex/pi_1"}


async def test_the_facts_are_the_same_in_whatever_order_and_number_the_messages_come(
    tmp_path: Path, quarantine: Quarantine
) -> None:
    messages = [message(INTENT), message(CHARGE), message(event("refund.created", refund(), id="evt_4"))]
    ended = []
    for number, order in enumerate(([0, 1, 2], [2, 1, 0], [1, 2, 1, 0, 0, 2])):
        (tmp_path / str(number)).mkdir()
        recorder = new_log(tmp_path / str(number))
        intake = new_intake(handled(new_shard(recorder)), quarantine)
        for index in order:
            await take_in(intake, messages[index])
        ended.append({key: sorted(found) for key, found in facts_in(recorder).items()})
        recorder.datastore.close()

    assert ended == [{"pi_1": ["stripe:evt_1", "stripe:evt_2", "stripe:evt_4"]}] * 3


async def test_a_batch_is_acknowledged_after_it_is_durable(intake: Intake, recorder: LogRecorder) -> None:
    durable_then: list[dict[str, list[str]]] = []

    async def acknowledge() -> None:
        durable_then.append(facts_in(recorder))

    await intake.take_in([intake.read(message(INTENT)), intake.read(message(CHARGE))], acknowledge)

    assert durable_then == [{"pi_1": ["stripe:evt_1", "stripe:evt_2"]}]


async def test_a_batch_that_was_interrupted_is_not_acknowledged(quarantine: Quarantine) -> None:
    async def interrupted(_: Sequence[Submission]) -> list[Reply]:
        raise ConnectionResetError

    async def acknowledge() -> None:
        pytest.fail("acknowledged, and not durable")

    intake = new_intake(interrupted, quarantine)
    with pytest.raises(ConnectionResetError):
        await intake.take_in([intake.read(message(INTENT))], acknowledge)
