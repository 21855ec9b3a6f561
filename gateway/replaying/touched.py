"""What a stretch of the log is about: the streams that it touched, and what those rely on."""

from collections.abc import Iterator

from domain.answer import AnswerGiven
from domain.conversation import MessageAnswered
from domain.effects import EffectRequested
from domain.ids import split_stream_id, stream_id
from gateway.replaying.history import PAGE, History
from projections.feed import LogEntry
from projections.payment_parts import Families

# Every answer may quote any document of its tenant.
_OF_TENANT = frozenset({"document", "index"})


def touched(history: History, first: int) -> list[LogEntry]:
    """All events of the streams that were touched from `first` on and of what those rely on, in log order.

    That is: all references of a payment, the payments that an answer stated, the answer of a chat's message, the
    payment of an effect, and the documents and generations of a tenant.
    """
    streams = {entry.stream for entry in _entries(history, first - 1)}
    families = Families(history)
    tenants = {split_stream_id(stream)[1] for stream in streams}
    names = history.names()
    wanted = streams | {each for each in names if _is_of(each, tenants)}
    ahead = set(wanted)
    while ahead:
        relied = {each for stream in sorted(ahead) for each in _relied(history, stream)} | ahead
        roots = {families.root(each) for each in relied}
        ahead = {each for each in names if each in relied or families.root(each) in roots} - wanted
        wanted |= ahead
    return sorted((entry for stream in wanted for entry in history.stream(stream)), key=lambda each: each.position)


def _entries(history: History, after: int) -> Iterator[LogEntry]:
    head = history.head()
    while after < head:
        page = history.read(after, limit=PAGE)
        yield from page.entries
        after = page.position


def _is_of(stream: str, tenants: set[str]) -> bool:
    category, tenant, _ = split_stream_id(stream)
    return category in _OF_TENANT and tenant in tenants


def _relied(history: History, stream: str) -> Iterator[str]:
    """The streams that the events of one name."""
    category, tenant, _ = split_stream_id(stream)
    if category not in {"answer", "conversation", "effect"}:
        return
    for entry in history.stream(stream):
        match entry.envelope().event:
            case AnswerGiven(record=record):
                yield from (stream_id("payment", tenant, said.payment_id) for said in record.stated)
            case MessageAnswered(answer_id=answer_id):
                yield stream_id("answer", tenant, answer_id)
            case EffectRequested(effect=effect) if effect.payment_id:
                yield stream_id("payment", tenant, effect.payment_id)
            case _:
                pass
