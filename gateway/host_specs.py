"""Which hosts a node has, and what each is told."""

from pathlib import Path

import msgspec

from actors.index import ROLE as INDEX_ROLE
from actors.index_shard import IndexPlace, IndexShard
from actors.payment_shard import ROLE as PAYMENT_ROLE
from actors.payment_shard import PaymentShard, ShardPlace
from actors.remote import Hosting
from actors.supervisor import HostSpec
from actors.telemetry import Telemetry
from domain.settings import NodeSettings
from gateway.intake_host import INTAKE_HOSTING, IntakeHost, IntakePlace
from gateway.sources import without_secrets
from projections.embedder import ModelDirs

# Queries and listeners beside commands; the long waits of listeners have threads of their own.
INDEX_HOSTING = Hosting(
    groups={"queries": 4, "listeners": 4, "operators": 1},
    methods={"query": "queries", "delays": "queries", "changes": "listeners", "generations": "operators"},
)

_encode = msgspec.msgpack.Encoder().encode


def host_specs(settings: NodeSettings, data: Path, *, log: str, nats_url: str, models: ModelDirs) -> list[HostSpec]:
    """Every host of the node.

    Args:
        settings: of the node.
        data: its directory.
        log: the place of the log.
        nats_url: where the stream is.
        models: the embedding models.
    """
    indexes = settings.ray.index_shards
    specs = [
        HostSpec(
            name=f"{INDEX_ROLE}-{shard}",
            telemetry=_telemetry(settings, data, f"{INDEX_ROLE}-{shard}"),
            hosted=IndexShard,
            place=_encode(
                IndexPlace(
                    data=str(data),
                    log=log,
                    shard=shard,
                    shard_count=indexes,
                    models=models,
                    settings=settings.shard,
                    index=settings.index,
                )
            ),
            hosting=INDEX_HOSTING,
        )
        for shard in range(indexes)
    ]
    specs += [intake_spec(settings, data, nats_url, number) for number in range(settings.ray.intakes)]
    # Ray starts two processes at a time: first those that take longest.
    return [*specs, *_payment_specs(settings, data, log)]


def intake_name(number: int) -> str:
    """What an intake is called, counted from 0."""
    return f"intake-{number}"


def intake_spec(settings: NodeSettings, data: Path, nats_url: str, number: int) -> HostSpec:
    """An intake, of those that are there from the start or of those that join them."""
    name = intake_name(number)
    is_added = number >= settings.ray.intakes
    place = IntakePlace(
        name=name,
        data=str(data),
        nats_url=nats_url,
        payment_shards=settings.ray.payment_shards,
        index_hosts=tuple(f"{INDEX_ROLE}-{shard}" for shard in range(settings.ray.index_shards)),
        tenants=without_secrets(settings.tenants),
        # One that is started again knows nothing of its number: until it is told it takes the least that may be its.
        divided_by=settings.ray.intakes_limit,
        is_added=is_added,
        quarantine=settings.quarantine,
    )
    return HostSpec(
        name=name,
        telemetry=_telemetry(settings, data, name),
        hosted=IntakeHost,
        place=_encode(place),
        hosting=INTAKE_HOSTING,
    )


def _payment_specs(settings: NodeSettings, data: Path, log: str) -> list[HostSpec]:
    count = settings.ray.payment_shards
    return [
        HostSpec(
            name=f"{PAYMENT_ROLE}-{shard}",
            telemetry=_telemetry(settings, data, f"{PAYMENT_ROLE}-{shard}"),
            hosted=PaymentShard,
            place=_encode(ShardPlace(log=log, shard=shard, shard_count=count, settings=settings.shard)),
            hosting=Hosting(),
        )
        for shard in range(count)
    ]


def _telemetry(settings: NodeSettings, data: Path, host: str) -> Telemetry:
    """A host's lines are in a file of its own under `logs/`; Ray would keep them where nobody looks."""
    return Telemetry(
        host=host,
        log_file=str(data / "logs" / f"{host}.jsonl"),
        log_level=settings.telemetry.log_level,
        otlp_endpoint=settings.telemetry.otlp_endpoint,
    )
