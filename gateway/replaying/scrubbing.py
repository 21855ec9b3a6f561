"""What may leave the node: events without personal data in their free text, settings without secrets."""

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from domain.answer import AnswerInvalidated, AnswerRecord, AnswerReinstated
from domain.codec import AnyEvent
from domain.conversation import CustomerIdentified, Message, MessageAnswered
from domain.document import DocumentPublished
from domain.effects import Effect, EffectFailed, EffectGivenUp
from domain.fact import Fact
from domain.incident import ActionTaken, CheckMade, IncidentAcknowledged, IncidentResolved, Signal
from domain.index_generation import GenerationAbandoned, GenerationRecalled, GenerationStarted
from domain.payment_saga import EscalationResolved, PaymentEscalated, PaymentStarted
from domain.remediation import (
    RemediationBegan,
    RemediationEnded,
    RemediationRefused,
    StepActed,
    StepApproved,
    StepChecked,
    StepFailed,
    StepGivenUp,
    StepUndone,
    StepVerified,
)
from domain.settings import NodeSettings
from gateway.privacy.cleanse import Cleanser
from gateway.privacy.keys import KEY_FILE
from gateway.privacy.remembered import FILE as SUBJECTS
from gateway.privacy.scrub import scrub

Clean = Callable[[str], str]

# What people wrote or may have written, and ids that a merchant may have made of an e-mail address or a telephone
# number. Everything else of an event is a code, an id of a provider's or a name of ours.
FREE_TEXT: Mapping[type, tuple[str, ...]] = {
    ActionTaken: ("detail", "by"),
    AnswerRecord: ("question", "answer", "customer_id"),
    AnswerInvalidated: ("text",),
    AnswerReinstated: ("text",),
    CheckMade: ("detail",),
    CustomerIdentified: ("customer_id",),
    DocumentPublished: ("title", "text"),
    Effect: ("to", "text", "reason"),
    EffectFailed: ("reason",),
    EffectGivenUp: ("reason",),
    EscalationResolved: ("note",),
    Fact: ("customer_id", "reason"),
    GenerationAbandoned: ("reason",),
    GenerationRecalled: ("reason",),
    GenerationStarted: ("reason",),
    IncidentAcknowledged: ("by",),
    IncidentResolved: ("detail",),
    Message: ("text",),
    MessageAnswered: ("text",),
    PaymentEscalated: ("detail",),
    PaymentStarted: ("customer_id",),
    RemediationBegan: ("trigger",),
    RemediationEnded: ("reason",),
    RemediationRefused: ("trigger",),
    StepActed: ("found",),
    StepApproved: ("by",),
    StepChecked: ("found",),
    StepFailed: ("reason",),
    StepGivenUp: ("reason",),
    StepUndone: ("found",),
    StepVerified: ("found",),
    Signal: ("detail",),
}

_SECRET_RE = re.compile(r"key|secret|token|password")
# Whoever fills these may put a credential there under any name.
_OPEN_TABLES = frozenset({"options", "headers", "params"})
HIDDEN = "not shown"


def scrubbed(event: AnyEvent, clean: Clean) -> AnyEvent:
    """The event as it may leave."""
    cleaned: AnyEvent = _scrubbed(event, clean)
    return cleaned


def _scrubbed(value: Any, clean: Clean) -> Any:  # noqa: ANN401 - a part of an event, and the same part
    if isinstance(value, tuple):
        return tuple(_scrubbed(each, clean) for each in value)
    if not isinstance(value, msgspec.Struct):
        return value
    free = FREE_TEXT.get(type(value), ())
    cleaned = {}
    for name in value.__struct_fields__:
        before = getattr(value, name)
        after = clean(before) if name in free else _scrubbed(before, clean)
        if after != before:
            cleaned[name] = after
    if isinstance(value, DocumentPublished):
        metadata = {name: clean(each) for name, each in value.metadata.items()}
        cleaned |= {"metadata": metadata} if metadata != value.metadata else {}
    return msgspec.structs.replace(value, **cleaned) if cleaned else value


@contextmanager
def cleaner(settings: NodeSettings) -> Iterator[Callable[[str], Clean]]:
    """Tenant -> how its texts are scrubbed: as the node scrubs them, with its tokens and whom it was told of.

    Nothing of the node is opened for writing. A node that has scrubbed nothing yet has no tokens: a piece of personal
    data is replaced by its type alone.
    """
    data = Path(settings.data)
    if not (data / KEY_FILE).exists():
        yield lambda tenant: scrub
        return
    with TemporaryDirectory(prefix="recount-scrub-") as directory:
        copied = Path(directory)
        shutil.copy2(data / KEY_FILE, copied / KEY_FILE)
        for subjects in sorted(data.glob(f"tenants/*/{SUBJECTS}")):
            _copy(subjects, copied / subjects.relative_to(data))
        cleanser = Cleanser(copied, settings.tenants)
        try:
            yield lambda tenant: partial(cleanser.text, tenant)
        finally:
            cleanser.close()


def _copy(source: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True)
    uri = f"{source.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as live, closing(sqlite3.connect(copy)) as taken:
        live.backup(taken)


def shown(settings: NodeSettings) -> dict[str, Any]:
    """The settings without secrets, and without what stands where secrets may stand."""
    without: dict[str, Any] = _shown("", msgspec.to_builtins(settings))
    return without


def _shown(name: str, value: Any) -> Any:  # noqa: ANN401 - a part of the settings, and what may be seen of it
    match value:
        case dict() if name in _OPEN_TABLES:
            return dict.fromkeys(value, HIDDEN)
        case dict():
            return {each: _shown(each, inner) for each, inner in value.items()}
        case [*values] if _SECRET_RE.search(name):
            return [HIDDEN] * len(values)
        case [*values]:
            return [_shown(name, each) for each in values]
        case str() if value and _SECRET_RE.search(name):
            return HIDDEN
        case str() if "://" in value:
            return _public(value)
        case _:
            return value


def _public(url: str) -> str:
    """The URL without who logs in and without its query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
