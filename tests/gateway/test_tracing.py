"""One trace follows a message from the stream over the command and the event into the projection."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from actors.journal import Journal
from actors.payment_shard import KINDS, ROLE, new_id, now
from actors.recorder import open_log
from actors.shard import Shard
from domain.codec import Submission
from domain.message import Reply
from domain.sharding import BUCKET_COUNT
from domain.tenant_settings import TenantSettings
from gateway.bus import ingest_subject
from gateway.intake import TRACEPARENT_HEADER, Incoming, Intake
from gateway.quarantine import Quarantine
from gateway.sources import Sources
from projections import tracing
from projections.feed import SqliteFeed
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector
from tests.gateway.sources.examples import charge, event

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans that end meanwhile; the provider is this test's alone."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.trace_to(provider)
    yield exporter
    tracing.trace_to(None)
    provider.shutdown()


async def test_a_message_is_one_trace_from_the_stream_to_the_view(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    log = str(tmp_path / "log.sqlite")
    shard = Shard(
        Journal(open_log(log)), KINDS, role=ROLE, buckets=range(BUCKET_COUNT), owner="test", clock=now, new_id=new_id
    )

    async def submit(commands: Sequence[Submission]) -> list[Reply]:
        return shard.handle(commands)

    intake = Intake(submit, Quarantine(tmp_path), sources=Sources({"acme": TenantSettings()}), clock=now)
    message = Incoming(
        subject=ingest_subject("acme", "stripe"),
        body=event("charge.succeeded", charge()),
        headers={TRACEPARENT_HEADER: f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
        sequence=1,
    )

    await intake.settle([intake.read(message)])
    store = PaymentStore(tmp_path / "view")
    Projector(SqliteFeed(log), topics=TOPICS, store_of=lambda _: store).run_once()

    ended = spans.get_finished_spans()
    assert {span.name for span in ended} == {"intake.read", "shard.decide", "projection.apply"}
    assert {f"{span.context.trace_id:032x}" for span in ended if span.context} == {TRACE_ID}
    parents = {span.name: span.parent.span_id for span in ended if span.parent}
    own = {span.context.span_id: span.name for span in ended if span.context}
    assert own[parents["shard.decide"]] == "intake.read"
    assert own[parents["projection.apply"]] == "shard.decide"


def test_without_an_exporter_what_came_is_carried_on_as_it_is() -> None:
    with tracing.span("anything", "00-a-b-01") as carried:
        assert carried == "00-a-b-01"
