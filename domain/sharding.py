"""Which bucket a stream belongs to, and which shard hosts the bucket.

Buckets are the unit of the lease. Their number is part of the stored data and never changes; the number of shards
is a deployment's choice.
"""

from zlib import crc32

from domain.ids import split_stream_id

BUCKET_COUNT = 256


def bucket_of(stream: str) -> int:
    """The bucket (0 to 255) of a stream: CRC-32 of its name, the same in every process and on every day."""
    return crc32(stream.encode()) % BUCKET_COUNT


def shard_of(bucket: int, shard_count: int) -> int:
    """The shard (0 to `shard_count` - 1) that hosts a bucket."""
    return bucket % shard_count


def buckets_of_shard(shard: int, shard_count: int) -> tuple[int, ...]:
    """The buckets that a shard hosts, ascending."""
    return tuple(range(shard, BUCKET_COUNT, shard_count))


def tenant_bucket_of(stream: str) -> int:
    """The bucket of a stream that lives with its tenant: one shard owns everything of a tenant's knowledge."""
    return bucket_of(split_stream_id(stream)[1])
