"""The payment shard as its host sees it: bytes in, bytes out, on the node's own log."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from actors.log import place_of
from actors.payment_shard import Health, PaymentShard, ShardPlace
from domain.codec import Submission, decode_replies, encode_submissions
from domain.errors import FencedError
from domain.ids import stream_id
from domain.message import Accepted, Failed, Unchanged
from domain.webhook import RecordSighting
from tests.spec import NOON
from tests.worlds import TENANT, facts_in, new_log, record

ROOT = Path(__file__).parents[2]


def hosted(data: Path, shard: int = 0, shard_count: int = 1) -> PaymentShard:
    log = place_of("sqlite", data)
    return PaymentShard(msgspec.msgpack.encode(ShardPlace(log=log, shard=shard, shard_count=shard_count)))


def sighting() -> Submission:
    seen = RecordSighting(source="stripe", event_id="evt_9", event_type="customer.updated", occurred_at=NOON)
    return Submission(stream=stream_id("webhook", TENANT, "stripe/evt_9"), command=seen)


@pytest.mark.long
def test_a_shard_on_sqlite_does_not_wait_for_the_driver_of_postgresql(tmp_path: Path) -> None:
    program = (
        "import sys; from actors.log import log_at; import actors.payment_shard, actors.index_shard; "
        f"log_at({str(tmp_path / 'log.sqlite')!r}); print('psycopg' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_commands_as_bytes_are_decided_and_kept(tmp_path: Path) -> None:
    shard = hosted(tmp_path)
    batch = encode_submissions([record(1), sighting(), sighting()])

    replies = decode_replies(shard.handle(batch))

    assert replies == [Accepted(version=1, position=1), Accepted(version=1, position=2), Unchanged(version=1)]
    recorder = new_log(tmp_path)
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1"]}
    recorder.datastore.close()


def test_a_host_says_how_it_is(tmp_path: Path) -> None:
    shard = hosted(tmp_path)
    shard.handle(encode_submissions([record(1), record(1)]))

    health = msgspec.msgpack.decode(shard.ping(), type=Health)

    assert health.pid == os.getpid()
    assert (health.stats["commands"], health.stats["events"], health.stats["unchanged"]) == (2, 1, 1)


def test_every_stream_is_hosted_by_one_of_the_shards(tmp_path: Path) -> None:
    shards = [hosted(tmp_path, number, 3) for number in range(3)]
    for number in range(30):
        batch = encode_submissions([record(1, f"pi_{number}")])
        replies = [decode_replies(shard.handle(batch))[0] for shard in shards]
        assert sorted(type(reply).__name__ for reply in replies) == ["Accepted", "Failed", "Failed"]
        assert all(reply.retryable for reply in replies if isinstance(reply, Failed))


def test_a_second_host_takes_over(tmp_path: Path) -> None:
    first = hosted(tmp_path)
    hosted(tmp_path)

    with pytest.raises(FencedError):
        first.handle(encode_submissions([record(1)]))
