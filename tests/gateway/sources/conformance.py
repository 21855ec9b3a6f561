"""What a provider's examples are for the conformance test of all sources (`test_contract.py`), and who gives them.

A source is covered as soon as a module `<name>_examples.py` beside this one has a `CONFORMANCE` (or several sources
share one module, and it is a tuple).
"""

import copy
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from domain.fact import RecordedFact
from domain.ids import split_stream_id
from domain.message import Trace
from domain.payment import PaymentView, view
from domain.payment_saga import FactRecorded, LinkPayment, Payment, PaymentDecider, PaymentLinked, RecordFact
from gateway.sources.port import Reading, SourceModule, Trust, submissions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REF = "INGEST:7"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message as a provider sends it; headers by lower-case name."""

    raw: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A message that verifies.

    Args:
        message: with its signature.
        trust: what it verifies with.
        now: the time of receipt.
        signed_parts: what of the body the provider signs, each as it stands there once; empty for the whole body.
    """

    message: Message
    trust: Trust
    now: datetime = NOW
    signed_parts: Sequence[bytes] = ()


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """What a provider's module gives to be tested with.

    Args:
        source: the module, or what `MADE` makes of settings.
        messages: can be read, JSON all of them; between them they have every kind of object. Each is spoilt in turn.
        story: the life of one or several payments, in the order in which it happened.
        signed: a message with its signature; `None` for a source that no provider signs, which then trusts nobody.
        personal: personal data in `messages` and `story` that must be in nothing that is read.
        provider: whose facts these are, if that is not the source's name.
        kind: what the source is registered as, if that is not its name.
    """

    source: SourceModule
    messages: Sequence[Message]
    story: Sequence[Message] = ()
    signed: Signed | None = None
    personal: Sequence[str] = ()
    provider: str = ""
    kind: str = ""


def conformances() -> Iterator[Conformance]:
    """The examples of every provider, from the modules beside this one."""
    for path in sorted(Path(__file__).parent.glob("*_examples.py")):
        given = import_module(f"tests.gateway.sources.{path.stem}").CONFORMANCE
        yield from given if isinstance(given, tuple) else (given,)


def views(source: SourceModule, messages: Sequence[Message]) -> dict[str, PaymentView]:
    """The payments after these deliveries, in this order, by the domain's own rules.

    Where a fact lies in the log is left out of the views: it is the order of arrival. Raises `Rejection` if the domain
    refuses a fact or a link.
    """
    decider, states = PaymentDecider(), defaultdict[str, Payment](Payment)
    facts: dict[str, RecordedFact] = {}
    references: dict[str, str] = {}
    links: dict[str, str] = {}
    for message in messages:
        reading = source.read(message.raw, headers=message.headers, ref=REF)
        assert isinstance(reading, Reading), reading
        for submission in submissions("acme", reading, source=source.name, trace=Trace()):
            category, _, key = split_stream_id(submission.stream)
            if category != "payment":
                continue
            assert isinstance(submission.command, RecordFact | LinkPayment)
            for event in decider.decide(states[key], submission.command, NOW):
                states[key] = decider.evolve(states[key], event)
                match event:
                    case FactRecorded(fact=fact):
                        recorded = RecordedFact(fact=fact, position=0, recorded_at=NOW)
                        facts.setdefault(fact.fact_id, recorded)
                        references.setdefault(fact.fact_id, key)
                    case PaymentLinked(payment_id=payment_id) if payment_id != key:
                        links[key] = payment_id
    by_payment = defaultdict[str, list[RecordedFact]](list)
    for fact_id, recorded in facts.items():
        by_payment[_root(references[fact_id], links)].append(recorded)
    folded = {payment_id: view(payment_id, of_payment) for payment_id, of_payment in sorted(by_payment.items())}
    return {payment_id: found for payment_id, found in folded.items() if found is not None}


def _root(reference: str, links: Mapping[str, str]) -> str:
    """The payment at the end of a chain of links, such as refund -> capture -> order."""
    seen = {reference}
    while (following := links.get(reference, reference)) not in seen:
        seen.add(following)
        reference = following
    return reference


def disordered(story: Sequence[Message], seed: int) -> list[Message]:
    """The story in another order, a third of it delivered twice."""
    chosen = random.Random(seed)
    deliveries = [*story, *chosen.sample(list(story), len(story) // 3)]
    chosen.shuffle(deliveries)
    return deliveries


def everything(value: object) -> str:
    """All that a reading or a command says, as text to search in."""
    return msgspec.json.encode(value).decode()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the whole of it first."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def spoilt(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """A copy with something else at one place."""
    if not path:
        return junk
    result = copy.deepcopy(value)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return result


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """What is at a place of a JSON value."""
    for key in path:
        value = value[key]
    return value


def planted(message: Message, text: str) -> Iterator[Message]:
    """The message with a text of ours in each place that holds text: instead of it, and behind it."""
    value = json.loads(message.raw)
    for place in places(value):
        if isinstance(found := at(value, place), str):
            for written in (text, f"{found} {text}"):
                yield Message(raw=json.dumps(spoilt(value, place, written)).encode(), headers=message.headers)
