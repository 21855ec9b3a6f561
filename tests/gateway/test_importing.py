"""An export on its way into the log: every row once, also after a kill, and nothing twice."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from rich.console import Console

from actors.recorder import LogRecorder
from domain.errors import RetryableError, TerminalError
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.bus import STREAM, connect, ensure_stream
from gateway.importing import CHUNK_ROWS, Import, Summary, import_file
from gateway.importing_rows import Dialect
from gateway.intake import CORRELATION_HEADER, Incoming, Intake, Settled
from gateway.nats_server import NatsServer
from gateway.quarantine import Quarantine
from gateway.sources import Sources
from tests.gateway.nats import BYTES_MAX, Told, running
from tests.gateway.sources.exports import ACTIVITY, BALANCE, PERSONAL
from tests.spec import NOON
from tests.worlds import facts_in, handled, new_log, new_shard

pytestmark = pytest.mark.stack

SOURCES = Sources(
    {"acme": TenantSettings(sources={"reports": SourceSettings(kind="stripe-csv"), "paypal-csv": SourceSettings()})}
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with running(tmp_path / "nats", Told()) as started:
        yield started


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    connected = await connect(server.url, name="test")
    await ensure_stream(connected, bytes_max=BYTES_MAX)
    yield connected
    await connected.close()


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


def csv_of(*rows: dict[str, str] | str) -> str:
    """A file with a header; a text is a line as it is."""
    lines = [",".join(BALANCE)]
    lines += [row if isinstance(row, str) else ",".join(f'"{text}"' for text in row.values()) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def charges(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        names = {"source_id": f"ch_{number}", "charge_id": f"ch_{number}", "payment_intent_id": f"pi_{number}"}
        yield BALANCE | names | {"balance_transaction_id": f"txn_{number}"}


async def run(server: NatsServer, file: Path, folder: Path, source: str = "reports", **dialect: str) -> Summary:
    job = Import(tenant="acme", source=source, file=file, dialect=Dialect(**dialect))
    talk = Console(file=io.StringIO())
    return await import_file(job, url=server.url, sources=SOURCES, folder=folder, talk=talk)


async def published(client: Client) -> list[dict[str, Any]]:
    """The bodies of everything in the stream, in order."""
    context = client.jetstream()
    last = (await context.stream_info(STREAM)).state.last_seq
    return [json.loads((await context.get_msg(STREAM, each)).data or b"") for each in range(1, last + 1)]


async def taken_in(client: Client, recorder: LogRecorder, quarantine: Quarantine) -> Settled:
    """What the intake makes of everything in the stream."""
    intake = Intake(handled(new_shard(recorder)), quarantine, sources=SOURCES, clock=lambda: NOON)
    bodies = await published(client)
    messages = [
        Incoming(subject="ingest.acme.reports", body=json.dumps(body).encode(), headers={}, sequence=number)
        for number, body in enumerate(bodies, start=1)
    ]
    return await intake.settle([intake.read(each) for each in messages])


async def test_every_row_becomes_a_fact_and_a_bad_one_goes_to_quarantine_with_its_line(
    server: NatsServer, client: Client, recorder: LogRecorder, quarantine: Quarantine, tmp_path: Path
) -> None:
    first, second, third = charges(3)
    file = tmp_path / "balance.csv"
    file.write_text(csv_of(first, "half,a,row", second | {"created_utc": "yesterday"}, third))

    summary = await run(server, file, tmp_path / "imports")

    assert (summary.rows, summary.published, summary.unreadable, summary.resumed_at_line) == (4, 4, 1, 0)
    assert summary.bytes == file.stat().st_size
    settled = await taken_in(client, recorder, quarantine)
    assert (settled.recorded, settled.quarantined) == (2, 2)
    assert facts_in(recorder).keys() >= {"pi_0", "pi_2"}
    assert {each.detail[:7] for each in quarantine.listed("acme")} == {"line 3:", "line 4:"}
    assert not list((tmp_path / "imports").glob("*"))


async def test_only_what_is_read_leaves_the_machine(server: NatsServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "balance.csv"
    file.write_text(csv_of(BALANCE))

    await run(server, file, tmp_path / "imports")

    [body] = await published(client)
    assert (body["file"], body["line"]) == ("balance.csv", 2)
    assert body["row"]["source_id"] == "ch_1"
    assert [each for each in PERSONAL if each in json.dumps(body)] == []
    headers = (await client.jetstream().get_msg(STREAM, 1)).headers or {}
    assert headers[CORRELATION_HEADER].endswith("-2")


async def test_the_same_file_twice_changes_nothing(
    server: NatsServer, client: Client, recorder: LogRecorder, quarantine: Quarantine, tmp_path: Path
) -> None:
    file = tmp_path / "balance.csv"
    file.write_text(csv_of(*charges(5)))

    for _ in range(2):
        assert (await run(server, file, tmp_path / "imports")).published == 5

    settled = await taken_in(client, recorder, quarantine)
    assert (settled.recorded, settled.unchanged) == (5, 5)
    assert all(len(facts) == 1 for facts in facts_in(recorder).values() if facts)


async def test_an_empty_export_is_fine(server: NatsServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "balance.csv"
    file.write_text(csv_of())

    summary = await run(server, file, tmp_path / "imports")

    assert (summary.rows, summary.published, await published(client)) == (0, 0, [])


async def test_an_import_that_a_full_stream_ended_goes_on_where_it_was(
    server: NatsServer, client: Client, tmp_path: Path
) -> None:
    count = 2 * CHUNK_ROWS + 500
    file, folder = tmp_path / "balance.csv", tmp_path / "imports"
    file.write_text(csv_of(*charges(count)))
    await ensure_stream(client, bytes_max=1_600_000)

    with pytest.raises(RetryableError, match=f"goes on at line {CHUNK_ROWS + 2}"):
        await run(server, file, folder)
    await ensure_stream(client, bytes_max=BYTES_MAX)
    summary = await run(server, file, folder)

    assert (summary.resumed_at_line, summary.rows) == (CHUNK_ROWS + 2, count - CHUNK_ROWS)
    assert {body["line"] for body in await published(client)} == set(range(2, count + 2))
    assert not list(folder.glob("*"))


async def test_a_file_that_has_changed_begins_anew(server: NatsServer, client: Client, tmp_path: Path) -> None:
    file, folder = tmp_path / "balance.csv", tmp_path / "imports"
    file.write_text(csv_of(*charges(2 * CHUNK_ROWS)))
    await ensure_stream(client, bytes_max=1_600_000)
    with pytest.raises(RetryableError):
        await run(server, file, folder)
    await ensure_stream(client, bytes_max=BYTES_MAX)

    file.write_text(csv_of(*charges(3)))
    assert (await run(server, file, folder)).resumed_at_line == 0


async def test_a_killed_import_goes_on(server: NatsServer, client: Client, tmp_path: Path) -> None:
    count = 12_000
    file, data = tmp_path / "balance.csv", tmp_path / "var"
    file.write_text(csv_of(*charges(count)))
    config = tmp_path / "recount.toml"
    config.write_text('[tenants.acme]\napi_keys = ["acme-dev-key"]\n[tenants.acme.sources.stripe-csv]\n')
    command = [sys.executable, "-m", "simulations", "import", "acme", "stripe-csv", str(file), "--nats", server.url]
    command += ["--config", str(config), "--data", str(data)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECOUNT_")}

    killed = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(60):
        while not list((data / "imports").glob("*.json")):
            # Rows are in the stream before it is written down how many; asking takes the time that waiting must.
            await client.jetstream().stream_info(STREAM)
    killed.kill()
    assert await killed.wait() == -signal.SIGKILL

    again = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    said, _ = await again.communicate()
    assert again.returncode == 0
    summary = json.loads(said)

    assert summary["resumed_at_line"] >= CHUNK_ROWS + 2
    assert summary["rows"] == summary["published"] == count - (summary["resumed_at_line"] - 2)
    state = (await client.jetstream().stream_info(STREAM)).state
    assert count <= state.messages <= count + CHUNK_ROWS


@pytest.mark.parametrize(
    ("text", "source", "why"),
    [
        ("a,b,c\n1,2,3\n", "reports", "it has no column"),
        ("", "reports", "the file is empty"),
        (csv_of(BALANCE), "stripe", "reads no exports"),
        (csv_of(BALANCE), "nonsense", "there is no source"),
        (csv_of(BALANCE), "../etc", "lower-case"),
        (",".join(ACTIVITY) + "\n" + ",".join(f'"{each}"' for each in ACTIVITY.values()), "paypal-csv", "`dates`"),
    ],
)
async def test_what_is_no_such_export_is_told_before_anything_is_published(
    text: str, source: str, why: str, server: NatsServer, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "export.csv"
    file.write_text(text)

    with pytest.raises(TerminalError) as refused:
        await run(server, file, tmp_path / "imports", source)

    assert why in refused.value.reason
    assert await published(client) == []


async def test_a_file_or_a_server_that_is_not_there_is_told(server: NatsServer, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match=r"gone\.csv"):
        await run(server, tmp_path / "gone.csv", tmp_path / "imports")
    with pytest.raises(TerminalError, match="encoding"):
        await run(server, tmp_path / "gone.csv", tmp_path / "imports", encoding="utf-16")
