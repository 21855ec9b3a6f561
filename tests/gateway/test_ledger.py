"""No answer leaves before it is in the ledger."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError, StoredEvent

from actors.journal import Journal
from actors.recorder import LogRecorder, Snapshot
from domain.answer import AnswerGiven, AnswerRecord, AnswerRepeated
from domain.errors import RetryableError
from domain.message import Trace
from gateway.ledger import Ledger
from tests.spec import NOON
from tests.worlds import Clock, entries_in, ids, new_log

TRACE = Trace(correlation_id="c-1")


class Fallible(LogRecorder):
    """A log that may be out of order."""

    is_broken = False

    def append(
        self, events: Sequence[StoredEvent], *, leases: Mapping[str, int], snapshots: Sequence[Snapshot] = ()
    ) -> Sequence[int]:
        if self.is_broken:
            raise OperationalError("disk I/O error")
        return super().append(events, leases=leases, snapshots=snapshots)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Fallible]:
    log = Fallible(new_log(tmp_path).datastore)
    yield log
    log.datastore.close()


@pytest.fixture
def ledger(recorder: LogRecorder) -> Ledger:
    return new_ledger(recorder)


def new_ledger(recorder: LogRecorder) -> Ledger:
    return Ledger(Journal(recorder), node="gateway", clock=Clock(), new_id=ids())


def answer(answer_id: str = "a-1") -> AnswerRecord:
    return AnswerRecord(
        answer_id=answer_id, question="where", intent="refund", answer="there", as_of=NOON, given_at=NOON
    )


def given(recorder: LogRecorder) -> dict[str, int]:
    """How often each answer was given, by the log."""
    times: dict[str, int] = {}
    for entry in entries_in(recorder):
        event = entry.envelope().event
        assert isinstance(event, AnswerGiven | AnswerRepeated)
        times[entry.key] = times.get(entry.key, 0) + (event.count if isinstance(event, AnswerRepeated) else 1)
    return times


async def test_an_answer_is_in_the_log_when_it_is_entered(ledger: Ledger, recorder: LogRecorder) -> None:
    await ledger.enter("acme", answer(), TRACE)

    (entry,) = entries_in(recorder)
    assert entry.stream == "answer:acme/a-1"
    assert entry.envelope().event == AnswerGiven(record=answer())
    assert entry.envelope().trace == TRACE


async def test_answers_entered_at_once_share_commits(ledger: Ledger, recorder: LogRecorder) -> None:
    await asyncio.gather(*(ledger.enter("acme", answer(f"a-{number}"), TRACE) for number in range(100)))

    commits = [entry.envelope().commit for entry in entries_in(recorder)]
    assert len(commits) == 100
    assert len(set(commits)) <= 3


async def test_repeats_at_once_are_one_event_that_counts_them(ledger: Ledger, recorder: LogRecorder) -> None:
    for each in ("a-1", "a-2"):
        await ledger.enter("acme", answer(each), TRACE)

    await asyncio.gather(*(ledger.repeat("acme", f"a-{1 + number % 2}") for number in range(50)))

    repeated = [entry.envelope().event for entry in entries_in(recorder)[2:]]
    assert [(type(each), each.count) for each in repeated if isinstance(each, AnswerRepeated)] == [
        (AnswerRepeated, 25),
        (AnswerRepeated, 25),
    ]
    assert given(recorder) == {"a-1": 26, "a-2": 26}


async def test_a_repeat_is_durable_when_it_returns(ledger: Ledger, recorder: LogRecorder) -> None:
    await ledger.enter("acme", answer(), TRACE)
    for times in (2, 3):
        await ledger.repeat("acme", "a-1")
        assert given(recorder) == {"a-1": times}


async def test_an_answer_that_cannot_be_entered_is_an_error(ledger: Ledger, recorder: Fallible) -> None:
    recorder.is_broken = True
    with pytest.raises(RetryableError, match="ledger cannot commit"):
        await ledger.enter("acme", answer(), TRACE)
    with pytest.raises(RetryableError, match="ledger cannot commit"):
        await asyncio.gather(*(ledger.repeat("acme", "a-1") for _ in range(3)))
    assert given(recorder) == {}

    recorder.is_broken = False
    await ledger.enter("acme", answer(), TRACE)
    await ledger.repeat("acme", "a-1")
    assert given(recorder) == {"a-1": 2}


async def test_who_goes_away_takes_nobodys_repeat_with_it(ledger: Ledger, recorder: LogRecorder) -> None:
    await ledger.enter("acme", answer(), TRACE)
    stays, leaves = (asyncio.create_task(ledger.repeat("acme", "a-1")) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()

    await stays

    # It was being given when its reader left: it counts.
    assert given(recorder) == {"a-1": 3}
    assert leaves.cancelled()


async def test_a_second_gateway_of_the_same_name_fences_the_first(ledger: Ledger, recorder: LogRecorder) -> None:
    second = new_ledger(recorder)
    with pytest.raises(RetryableError, match="fenced"):
        await ledger.enter("acme", answer("a-1"), TRACE)

    await second.enter("acme", answer("a-2"), TRACE)

    assert given(recorder) == {"a-2": 1}
