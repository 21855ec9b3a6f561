"""The whole stack with its log in PostgreSQL, while a shard and the server are killed under it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulations.postgres_server import PostgresServer
from tests.stack.processes import alive
from tests.stack.provider import Provider
from tests.stack.stack import Stack, until
from tests.stack.traffic import assert_nothing_lost_and_nothing_twice, traffic

TENANT = "acme"
PAYMENTS = 200

pytestmark = pytest.mark.stack


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


def test_a_killed_shard_and_a_killed_server_lose_nothing_and_repeat_nothing(
    server: PostgresServer, tmp_path: Path
) -> None:
    expected = traffic(seed=55, payments=PAYMENTS)
    with Stack(tmp_path, (TENANT,), more=f'[store]\nurl = "{server.address()}"\n') as stack:
        with Provider(stack, TENANT, expected.webhooks) as provider:
            provider.wait_for(len(expected.webhooks) // 4)
            shard = stack.pid_of("payments-0")
            os.kill(shard, signal.SIGKILL)
            until(lambda: (lag := stack.lag()) and lag["ingest_pending"] > 0, "messages wait for what was killed")
            server.stop(signal.SIGQUIT)
            until(lambda: not stack.parts()["log"]["is_ready"], "the node says that its log is away")
            assert stack.client(TENANT).get("/v1/lag").status_code == 503
            server.start()
            until(lambda: stack.pid_of("payments-0") not in {0, shard}, "another process hosts the shard")

        assert_nothing_lost_and_nothing_twice(stack, TENANT, expected)
        assert stack.parts()["log"] == {"is_ready": True, "detail": f"read up to position {stack.log()[-1][0]}"}
        answer = stack.client(TENANT).post(f"/v1/{TENANT}/ask", json={"question": "Where is my refund?"})
        assert answer.is_success
        assert not (stack.data / "log.sqlite").exists()
        assert alive(stack.pid)
