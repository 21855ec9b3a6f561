"""Conversations and the answers in them, as the log has them now: folded when they are asked for."""

import threading
from datetime import datetime

import msgspec

from domain.answer import AnswerGiven, AnswerRecord
from domain.codec import tag_of
from domain.conversation import (
    Conversation,
    ConversationDecider,
    ConversationEvent,
    ErasureRequested,
)
from domain.ids import split_stream_id, stream_id
from projections.feed import LogEntry, LogFeed

_DECIDER = ConversationDecider()
_ERASURE_REQUESTED = tag_of(ErasureRequested)


class ConversationFound(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation by its id, and when and where in the log something was told of it last."""

    conversation_id: str
    conversation: Conversation
    position: int
    recorded_at: datetime


class Conversations:
    """Reads conversations from the log; any number of threads may, one at a time."""

    def __init__(self, feed: LogFeed) -> None:
        self._feed = feed
        self._lock = threading.Lock()

    def one(self, tenant: str, conversation_id: str) -> ConversationFound | None:
        """The conversation, `None` if nothing was ever told of it."""
        with self._lock:
            entries = self._feed.stream(stream_id("conversation", tenant, conversation_id))
        return _folded(conversation_id, entries) if entries else None

    def latest(
        self, tenant: str, *, limit: int, before: int | None = None, is_erasure_requested: bool = False
    ) -> list[ConversationFound]:
        """Up to `limit` conversations, the one of which something was told last first.

        `before` is the position of the last one of the page before.
        """
        topic = _ERASURE_REQUESTED if is_erasure_requested else ""
        with self._lock:
            named = self._feed.latest_streams(
                stream_id("conversation", tenant, ""), before=before, limit=limit, topic=topic
            )
            streams = [(split_stream_id(stream)[2], self._feed.stream(stream)) for stream, _ in named]
        return [_folded(conversation_id, entries) for conversation_id, entries in streams]

    def answer(self, tenant: str, answer_id: str) -> AnswerRecord | None:
        """What the ledger has under an answer's id, `None` if it has nothing."""
        with self._lock:
            entries = self._feed.stream(stream_id("answer", tenant, answer_id))
        for entry in entries:
            event = entry.envelope().event
            if isinstance(event, AnswerGiven):
                return event.record
        return None


def _folded(conversation_id: str, entries: list[LogEntry]) -> ConversationFound:
    state = _DECIDER.initial()
    envelopes = [entry.envelope() for entry in entries]
    for envelope in envelopes:
        event = envelope.event
        assert isinstance(event, ConversationEvent), f"{type(event).__name__} is in a conversation's stream"
        state = _DECIDER.evolve(state, event)
    return ConversationFound(
        conversation_id=conversation_id,
        conversation=state,
        position=entries[-1].position,
        recorded_at=envelopes[-1].recorded_at,
    )
