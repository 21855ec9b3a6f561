"""Conversations are read from the log as they are now, a tenant's own alone, the latest first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.journal import Journal
from actors.payment_shard import KINDS
from actors.recorder import LogRecorder
from domain.answer import AnswerRecord
from domain.codec import AnyCommand, Submission
from domain.conversation import IdentifyCustomer, Message, RecordMessage, RequestErasure
from domain.ids import stream_id
from domain.message import Trace
from gateway.ledger import Ledger
from projections.conversations import Conversations
from projections.feed import SqliteFeed
from tests.spec import NOON
from tests.worlds import Clock, ids, new_log, new_shard, record


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


@pytest.fixture
def conversations(recorder: LogRecorder, tmp_path: Path) -> Iterator[Conversations]:
    feed = SqliteFeed(str(tmp_path / "log.sqlite"))
    yield Conversations(feed)
    feed.close()


def told(key: str, command: AnyCommand, tenant: str = "acme") -> Submission:
    return Submission(stream=stream_id("conversation", tenant, key), command=command)


def wrote(key: str, message_id: str = "m_1", tenant: str = "acme") -> Submission:
    message = Message(message_id=message_id, author="customer", kind="text", occurred_at=NOON, text="Hello")
    return told(key, RecordMessage(message=message), tenant)


def test_a_conversation_is_all_that_was_told_of_it(recorder: LogRecorder, conversations: Conversations) -> None:
    new_shard(recorder, kinds=KINDS).handle(
        [wrote("zalo:1"), wrote("zalo:2"), told("zalo:1", IdentifyCustomer(customer_id="cus_1"))]
    )

    found = conversations.one("acme", "zalo:1")

    assert found is not None
    assert (found.conversation_id, found.position) == ("zalo:1", 3)
    assert (list(found.conversation.messages), found.conversation.customer_id) == (["m_1"], "cus_1")
    assert conversations.one("acme", "zalo:3") is None
    assert conversations.one("globex", "zalo:1") is None


def test_the_conversation_that_was_told_of_last_comes_first(
    recorder: LogRecorder, conversations: Conversations
) -> None:
    new_shard(recorder, kinds=KINDS).handle(
        [wrote("zalo:1"), wrote("zalo:2"), wrote("zalo:3"), record(1), wrote("zalo:1", "m_2")]
    )

    assert [each.conversation_id for each in conversations.latest("acme", limit=10)] == ["zalo:1", "zalo:3", "zalo:2"]


def test_pages_follow_each_other(recorder: LogRecorder, conversations: Conversations) -> None:
    new_shard(recorder, kinds=KINDS).handle([wrote(f"zalo:{number}") for number in range(5)])
    seen: list[str] = []
    before = None
    while page := conversations.latest("acme", limit=2, before=before):
        seen += [each.conversation_id for each in page]
        before = page[-1].position

    assert seen == ["zalo:4", "zalo:3", "zalo:2", "zalo:1", "zalo:0"]


def test_another_tenants_conversations_are_not_there(recorder: LogRecorder, conversations: Conversations) -> None:
    new_shard(recorder, kinds=KINDS).handle([wrote("zalo:1", tenant=name) for name in ("acme", "acme-2", "acm")])

    assert [each.position for each in conversations.latest("acme", limit=10)] == [1]


def test_those_who_want_to_be_erased_can_be_listed(recorder: LogRecorder, conversations: Conversations) -> None:
    new_shard(recorder, kinds=KINDS).handle(
        [
            wrote("zalo:1"),
            told("zalo:1", RequestErasure(occurred_at=NOON)),
            wrote("zalo:2"),
            wrote("zalo:1", "m_2"),
            told("zalo:1", RequestErasure(occurred_at=NOON), "globex"),
        ]
    )

    (found,) = conversations.latest("acme", limit=10, is_erasure_requested=True)

    assert (found.conversation_id, found.position) == ("zalo:1", 4)


async def test_an_answer_is_found_by_its_id(recorder: LogRecorder, conversations: Conversations) -> None:
    ledger = Ledger(Journal(recorder), node="gateway", clock=Clock(), new_id=ids())
    given = AnswerRecord(answer_id="a-1", question="where", intent="refund", answer="there", as_of=NOON, given_at=NOON)
    await ledger.enter("acme", given, Trace())
    await ledger.repeat("acme", "a-1")

    assert conversations.answer("acme", "a-1") == given
    assert conversations.answer("acme", "a-2") is None
    assert conversations.answer("globex", "a-1") is None
