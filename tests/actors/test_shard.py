"""A shard answers each command for itself, keeps nothing that is not durable, and stops when it is fenced."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.recorder import LogRecorder
from actors.shard import Kind, Shard, Stats
from domain.codec import Submission
from domain.document import Document, PutDocument
from domain.errors import FencedError
from domain.fact import Fact
from domain.ids import stream_id
from domain.message import Accepted, Failed, Rejected, Reply, Unchanged
from domain.payment_saga import Payment, PaymentDecider, RecordFact
from domain.settings import BATCH_MAX
from domain.sharding import bucket_of, buckets_of_shard
from projections.code_version import code_of
from tests.worlds import (
    TENANT,
    entries_in,
    facts_in,
    link,
    new_log,
    new_shard,
    numbered,
    of_payment,
    record,
    small,
)

SURROGATE = "\udcff"


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


@pytest.fixture
def shard(recorder: LogRecorder) -> Shard:
    return new_shard(recorder)


def document(text: str) -> Submission:
    command = PutDocument(document_id="refunds", title="Refunds", text=text)
    return Submission(stream=stream_id("document", TENANT, "refunds"), command=command)


def wrong_kind() -> Submission:
    """A command that the rules of its stream do not know."""
    return of_payment("pi_1", PutDocument(document_id="refunds", title="", text="text"))


def kinds(replies: Sequence[Reply]) -> list[str]:
    return [type(reply).__name__ for reply in replies]


def states(shard: Shard, keys: Sequence[str]) -> list[Any]:
    """The aggregates as the shard knows them: loaded if they are not in memory."""
    streams = [stream_id("payment", TENANT, key) for key in keys]
    shard._prefetch([Submission(stream=stream, command=record().command) for stream in streams])
    return [shard._hosted[stream] for stream in streams]


def test_every_command_gets_its_own_reply_in_order(shard: Shard, recorder: LogRecorder) -> None:
    replies = shard.handle(
        [
            record(1),
            record(2, "pi_2"),
            record(1),
            wrong_kind(),
            record(1, amount_minor=1),
            record(3),
        ]
    )

    assert replies[:3] == [
        Accepted(version=1, position=1),
        Accepted(version=1, position=2),
        Unchanged(version=1),
    ]
    assert isinstance(replies[3], Failed)
    assert not replies[3].retryable
    assert isinstance(replies[4], Rejected)
    assert replies[4].code == "fact.id_reused"
    assert replies[5] == Accepted(version=2, position=3)
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1", "stripe:evt_3"], "pi_2": ["stripe:evt_2"]}


def test_the_second_delivery_of_a_fact_changes_nothing(shard: Shard, recorder: LogRecorder) -> None:
    shard.handle([record(1)])

    assert shard.handle([record(1)]) == [Unchanged(version=1)]
    assert len(entries_in(recorder)) == 1


def test_an_event_is_kept_with_its_time_cause_commit_and_epoch(recorder: LogRecorder) -> None:
    new_shard(recorder)
    shard = new_shard(recorder, owner="second")
    submission = record(1)

    shard.handle([submission, record(1, "pi_2")])

    first, second = (entry.envelope() for entry in entries_in(recorder))
    assert (first.trace, first.epoch, first.commit) == (submission.trace, 2, "second-1")
    assert (first.commit, first.recorded_at) == (second.commit, second.recorded_at)


def test_a_batch_is_one_append_and_one_larger_than_an_append_is_several(recorder: LogRecorder) -> None:
    shard = new_shard(recorder)
    batch = [record(number, f"pi_{number % 7}") for number in range(1, 2 * BATCH_MAX + 100)]

    replies = shard.handle(batch)

    assert [reply.position for reply in replies if isinstance(reply, Accepted)] == list(range(1, len(batch) + 1))
    assert shard.stats == Stats(commands=len(batch), events=len(batch), appends=3, aggregates=7)


class TwoEvents(PaymentDecider):
    """Rules under which a fact leads to two events that say the same."""

    def decide(self, state: Any, command: Any, at: Any) -> Any:
        return [*super().decide(state, command, at)] * 2


def test_a_batch_with_more_events_than_an_append_may_have_is_split(recorder: LogRecorder) -> None:
    shard = new_shard(recorder, kinds={"payment": Kind(decider=TwoEvents(), state=Payment)})
    batch = [record(number, f"pi_{number}") for number in range(BATCH_MAX)]

    replies = shard.handle(batch)

    assert [reply.position for reply in replies if isinstance(reply, Accepted)] == list(range(2, 2 * BATCH_MAX + 1, 2))
    assert (shard.stats.appends, shard.stats.events) == (2, 2 * BATCH_MAX)


def test_what_is_counted_is_what_was_replied(shard: Shard) -> None:
    shard.handle([record(1), record(1), wrong_kind(), record(1, amount_minor=1), record(2, customer_id=SURROGATE)])

    assert (shard.stats.commands, shard.stats.events) == (5, 1)
    assert (shard.stats.unchanged, shard.stats.rejected, shard.stats.failed) == (1, 1, 2)


@pytest.mark.parametrize("poison", [{"customer_id": SURROGATE}, {"amount_minor": 2**70}])
def test_only_the_command_that_cannot_be_encoded_fails(
    poison: dict[str, Any], shard: Shard, recorder: LogRecorder
) -> None:
    batch = [record(number, f"pi_{number % 3}") for number in range(20)]
    batch[13] = record(13, "pi_1", **poison)

    replies = shard.handle(batch)

    assert kinds(replies) == ["Accepted"] * 13 + ["Failed"] + ["Accepted"] * 6
    failed = replies[13]
    assert isinstance(failed, Failed)
    assert not failed.retryable
    assert len(entries_in(recorder)) == 19


def test_only_the_command_whose_snapshot_cannot_be_encoded_fails(recorder: LogRecorder) -> None:
    shard = new_shard(recorder, settings=small(snapshot_every=1))

    assert kinds(shard.handle([record(1), record(2, "pi_2", customer_id=SURROGATE), record(3)])) == [
        "Accepted",
        "Failed",
        "Accepted",
    ]


def test_only_the_command_that_is_too_large_for_the_store_fails(recorder: LogRecorder) -> None:
    shard = new_shard(recorder)
    with recorder.datastore.get_connection(commit=True) as connection:
        connection._sqlite_conn.setlimit(0, 2_000)  # SQLITE_LIMIT_LENGTH; the pool gives this connection again

    replies = shard.handle([record(1), record(2, reason="x" * 3_000), record(3)])

    assert kinds(replies) == ["Accepted", "Failed", "Accepted"]
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1", "stripe:evt_3"]}


def test_only_the_commands_of_a_stream_that_cannot_be_decoded_fail(shard: Shard, recorder: LogRecorder) -> None:
    shard.handle([record(1), record(1, "pi_2")])
    with recorder._writing() as cursor:
        cursor.execute("UPDATE stored_events SET state=? WHERE position=1", (b"\xc1",))

    replies = new_shard(recorder, owner="second").handle([record(2, "pi_2"), record(2), record(3, "pi_3")])

    assert kinds(replies) == ["Accepted", "Failed", "Accepted"]


def test_a_lost_race_is_decided_again_on_what_the_other_wrote(recorder: LogRecorder) -> None:
    """Two shards of different roles do not fence each other: what is left is the check of versions."""
    ours = new_shard(recorder)
    theirs = new_shard(recorder, owner="other", role="other")
    ours.handle([record(1)])
    theirs.handle([record(2), record(3)])

    assert ours.handle([record(2), record(4)]) == [Unchanged(version=3), Accepted(version=4, position=4)]
    assert ours.stats.lost_races == 1
    assert facts_in(recorder) == {"pi_1": [f"stripe:evt_{number}" for number in (1, 2, 3, 4)]}


def test_a_race_that_is_lost_again_and_again_may_be_tried_later(recorder: LogRecorder) -> None:
    theirs = new_shard(recorder, owner="other", role="other")
    numbers = iter(range(100, 200))

    def interfere(point: str) -> None:
        if point == "before_append":
            theirs.handle([record(next(numbers))])

    ours = new_shard(recorder, at_point=interfere)
    (reply,) = ours.handle([record(1)])

    assert isinstance(reply, Failed)
    assert reply.retryable
    assert "stripe:evt_1" not in facts_in(recorder)["pi_1"]


def test_a_fenced_shard_says_so_from_then_on_and_has_forgotten_everything(recorder: LogRecorder) -> None:
    zombie = new_shard(recorder)
    zombie.handle([record(1)])
    new_shard(recorder, owner="second")

    for _ in range(2):
        with pytest.raises(FencedError):
            zombie.handle([record(2)])
        assert not zombie._hosted
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1"]}


def test_a_shard_is_fenced_for_streams_that_its_successor_never_touched(recorder: LogRecorder) -> None:
    zombie = new_shard(recorder)
    new_shard(recorder, owner="second").handle([record(1)])

    with pytest.raises(FencedError):
        zombie.handle([record(1, "pi_untouched")])


def test_a_fenced_shard_does_not_answer_from_memory(recorder: LogRecorder) -> None:
    """To the old writer the text is what is published; its successor has published another one since."""
    zombie = new_shard(recorder)
    zombie.handle([document("Refunds take five days.")])
    new_shard(recorder, owner="second").handle([document("Refunds take ten days.")])

    with pytest.raises(FencedError):
        zombie.handle([document("Refunds take five days.")])


def test_shards_of_other_buckets_do_not_fence_each_other(recorder: LogRecorder) -> None:
    shards = [new_shard(recorder, buckets=buckets_of_shard(number, 2)) for number in range(2)]

    for number in range(20):
        submission = record(number, f"pi_{number}")
        assert kinds(shards[bucket_of(submission.stream) % 2].handle([submission])) == ["Accepted"]


def test_a_stream_that_is_not_hosted_here_may_be_tried_elsewhere(recorder: LogRecorder) -> None:
    here, elsewhere = record(1, "pi_1"), record(1, "pi_2")
    shard = new_shard(recorder, buckets=[bucket_of(here.stream)])
    stray = Submission(stream=stream_id("answer", TENANT, "a-1"), command=here.command)

    replies = shard.handle([here, elsewhere, stray])

    assert kinds(replies) == ["Accepted", "Failed", "Failed"]
    assert all(reply.retryable for reply in replies[1:] if isinstance(reply, Failed))
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1"]}


def test_memory_is_bounded_and_what_was_forgotten_comes_back_equal(recorder: LogRecorder) -> None:
    shard = new_shard(recorder, settings=small(aggregates_max=3, snapshot_every=2))
    keys = [f"pi_{number}" for number in range(8)]
    for number in range(5):
        for key in keys:
            shard.handle([record(number, key)])
            assert len(shard._hosted) <= 3
    assert len(recorder.select_snapshots([stream_id("payment", TENANT, key) for key in keys])) == len(keys)
    remembering = new_shard(recorder, owner="second", settings=small(snapshot_every=1_000))

    assert states(shard, keys) == states(remembering, keys)
    assert len(states(shard, keys)[0].state.facts) == 5


def test_memory_is_bounded_where_nothing_is_written(recorder: LogRecorder) -> None:
    new_shard(recorder).handle([record(1, f"pi_{number}") for number in range(10)])
    shard = new_shard(recorder, owner="second", settings=small(aggregates_max=3))
    for number in range(10):
        assert kinds(shard.handle([record(1, f"pi_{number}")])) == ["Unchanged"]

    assert len(shard._hosted) == 3


def test_the_aggregates_that_were_not_used_for_longest_are_forgotten(recorder: LogRecorder) -> None:
    shard = new_shard(recorder, settings=small(aggregates_max=2))
    shard.handle([record(1, "pi_1")])
    shard.handle([record(1, "pi_2")])
    shard.handle([record(1, "pi_1")])
    shard.handle([record(1, "pi_3")])

    assert [stream.rpartition("/")[2] for stream in shard._hosted] == ["pi_1", "pi_3"]


def broken(state: bytes) -> bytes:
    return state[: len(state) // 2]


def with_bad_text(state: bytes) -> bytes:
    return state.replace(b"stripe:evt_1", b"stripe:evt_\xff")


@pytest.mark.parametrize("damage", [broken, with_bad_text, lambda state: b"", lambda state: b"\xc1"])
def test_a_snapshot_that_cannot_be_read_is_no_loss(damage: Callable[[bytes], bytes], recorder: LogRecorder) -> None:
    shard = new_shard(recorder, settings=small(snapshot_every=3))
    shard.handle([record(number) for number in range(1, 5)])
    (snapshot,) = recorder.select_snapshots([record().stream])
    assert damage(snapshot.state) != snapshot.state
    with recorder._writing() as cursor:
        cursor.execute("UPDATE snapshots SET state=?", (damage(snapshot.state),))

    second = new_shard(recorder, owner="second")

    assert states(second, ["pi_1"]) == states(shard, ["pi_1"])


def test_a_snapshot_of_another_shape_is_not_read(recorder: LogRecorder) -> None:
    new_shard(recorder, settings=small(snapshot_every=1)).handle([record(1)])
    with recorder._writing() as cursor:
        # It would decode: every field has a default.
        cursor.execute("UPDATE snapshots SET shape='Payment(facts,renamed)', state=?", (b"\x80",))
    second = new_shard(recorder, owner="second")

    assert second.handle([record(1)]) == [Unchanged(version=1)]


def test_a_snapshot_spares_the_events_before_it(recorder: LogRecorder) -> None:
    shard = new_shard(recorder, settings=small(snapshot_every=10))
    shard.handle([record(number) for number in range(1, 13)])
    with recorder._writing() as cursor:
        cursor.execute("UPDATE stored_events SET state=? WHERE position<=10", (b"\xc1",))

    assert new_shard(recorder, owner="second").handle([record(5)]) == [Unchanged(version=12)]


def test_a_snapshot_that_other_code_folded_is_not_read(recorder: LogRecorder) -> None:
    new_shard(recorder, settings=small(snapshot_every=1)).handle([record(1)])
    with recorder._writing() as cursor:
        cursor.execute("UPDATE snapshots SET shape=substr(shape, 1, instr(shape, '@')) || 'other', state=?", (b"\x80",))
    second = new_shard(recorder, owner="second")

    assert second.handle([record(1)]) == [Unchanged(version=1)]


def test_the_shape_of_a_state_names_its_fields_and_the_code_that_folds_it(shard: Shard) -> None:
    shape = shard._kinds["document"].shape

    assert shape == f"Document(version,is_withdrawn,published,dated)@{code_of('domain.document')}"
    assert shard._kinds["document"].state is Document


@pytest.mark.parametrize("point", ["before_append", "after_append"])
def test_after_a_crash_nothing_is_lost_and_nothing_is_there_twice(point: str, recorder: LogRecorder) -> None:
    def crash(at: str) -> None:
        if at == point:
            raise KeyboardInterrupt

    batch = [record(1), record(2, "pi_2"), record(1), record(3)]
    with pytest.raises(KeyboardInterrupt):
        new_shard(recorder, at_point=crash).handle(batch)
    assert len(entries_in(recorder)) == (3 if point == "after_append" else 0)

    replies = new_shard(recorder, owner="second").handle(batch)

    assert "Failed" not in kinds(replies)
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1", "stripe:evt_3"], "pi_2": ["stripe:evt_2"]}


@pytest.mark.parametrize("point", ["before_append", "after_append"])
def test_a_shard_that_outlives_a_mistake_of_ours_claims_nothing_that_is_not_in_the_log(
    point: str, recorder: LogRecorder
) -> None:
    mistakes = [RuntimeError("a mistake")]

    def fail(at: str) -> None:
        if at == point and mistakes:
            raise mistakes.pop()

    shard = new_shard(recorder, at_point=fail)
    batch = [record(1), record(2, "pi_2")]
    with pytest.raises(RuntimeError):
        shard.handle(batch)
    written = len(entries_in(recorder))

    assert kinds(shard.handle(batch)) == (["Unchanged"] * 2 if written else ["Accepted"] * 2)
    assert facts_in(recorder) == {"pi_1": ["stripe:evt_1"], "pi_2": ["stripe:evt_2"]}


FACTS = st.builds(
    numbered,
    st.integers(0, 6),
    st.sampled_from(["pi_1", "pi_2", "ch_9"]),
    amount_minor=st.sampled_from([4900, 4901]),
)
# One content per id and payment: which of two came first is a matter of arrival.
FACT_SETS = st.lists(FACTS, max_size=10, unique_by=lambda each: (each.fact_id, each.payment_id))


@pytest.mark.long
@given(FACT_SETS, st.integers(1, 3), st.data())
@settings(max_examples=15)
def test_any_order_and_any_repetition_of_the_deliveries_ends_in_the_same_facts(
    tmp_path_factory: pytest.TempPathFactory, told: list[Fact], shard_count: int, data: st.DataObject
) -> None:
    recorder = new_log(tmp_path_factory.mktemp("log"))
    again = data.draw(st.lists(st.sampled_from(told), max_size=5)) if told else []
    deliveries = [
        *(of_payment(each.payment_id, RecordFact(fact=each)) for each in [*told, *again]),
        link("ch_9", "pi_1"),
    ]
    remaining = list(data.draw(st.permutations(deliveries)))
    shards = [new_shard(recorder, buckets=buckets_of_shard(each, shard_count)) for each in range(shard_count)]
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        batch, remaining = remaining[:size], remaining[size:]
        for number, each in enumerate(shards):
            mine = [one for one in batch if bucket_of(one.stream) % shard_count == number]
            assert {"Failed", "Rejected"}.isdisjoint(kinds(each.handle(mine)))

    expected: dict[str, list[str]] = {}
    for fact in told:
        expected.setdefault(fact.payment_id, []).append(fact.fact_id)
    assert {key: sorted(found) for key, found in facts_in(recorder).items()} == {
        key: sorted(facts) for key, facts in expected.items()
    }
    recorder.datastore.close()
