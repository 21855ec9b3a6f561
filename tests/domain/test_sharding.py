"""The bucket of a stream is part of the stored data: it is the same in every process and for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.sharding import BUCKET_COUNT, bucket_of, buckets_of_shard, shard_of


@pytest.mark.parametrize(
    ("stream", "bucket"),
    [
        ("", 0),
        ("payment:acme/pi_1", 134),
        ("payment:acme/pi_3NXG5kDEQaroqDjs1f1zhnSr", 199),
        ("document:acme/refund-policy", 111),
        ("answer:beta/0192f0c1-8a31-7c41-9b7e-5a3e6c1d2f00", 35),
        ("webhook:acme/stripe:evt_1", 39),
        ("index:acme/index", 143),
    ],
)
def test_the_bucket_of_a_stream_never_changes(stream: str, bucket: int) -> None:
    assert bucket_of(stream) == bucket


def test_there_are_256_buckets() -> None:
    assert BUCKET_COUNT == 256


@given(st.integers(1, 64))
def test_every_bucket_is_hosted_by_exactly_one_shard(shard_count: int) -> None:
    hosted = [bucket for shard in range(shard_count) for bucket in buckets_of_shard(shard, shard_count)]

    assert sorted(hosted) == list(range(BUCKET_COUNT))


@given(st.text(), st.integers(1, 64))
def test_a_stream_goes_to_the_shard_that_hosts_its_bucket(stream: str, shard_count: int) -> None:
    bucket = bucket_of(stream)

    assert bucket in buckets_of_shard(shard_of(bucket, shard_count), shard_count)


def test_streams_spread_over_the_buckets() -> None:
    """Ten thousand payments leave no bucket empty and fill none to twice its share."""
    filled = [0] * BUCKET_COUNT
    for number in range(10_000):
        filled[bucket_of(f"payment:acme/pi_{number}")] += 1

    assert min(filled) > 0
    assert max(filled) < 2 * 10_000 / BUCKET_COUNT
