"""Each event as a sentence, and the positions of the other events that the sentence rests on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_never

from domain.answer import AnswerEvent, AnswerGiven, AnswerInvalidated, AnswerReinstated, AnswerRepeated, Untruth
from domain.codec import AnyEvent
from domain.conversation import (
    ConversationEvent,
    CustomerIdentified,
    ErasureRequested,
    FollowingChanged,
    MessageAnswered,
    MessageDelivered,
    MessageReceived,
    MessageSeen,
)
from domain.document import DocumentDated, DocumentEvent, DocumentPublished, DocumentWithdrawn
from domain.effects import Effect, EffectEvent, EffectFailed, EffectGivenUp, EffectPerformed, EffectRequested
from domain.fact import Fact
from domain.incident import (
    ActionTaken,
    CheckMade,
    ImpactMeasured,
    IncidentAcknowledged,
    IncidentDeclared,
    IncidentEvent,
    IncidentResolved,
    Signal,
    SignalNoted,
)
from domain.index_generation import (
    GenerationAbandoned,
    GenerationActivated,
    GenerationCaughtUp,
    GenerationChecked,
    GenerationRecalled,
    GenerationRemoved,
    GenerationStarted,
    IndexEvent,
)
from domain.money import format_amount
from domain.payment_saga import (
    CompensationBegan,
    DeadlineExtended,
    DeadlinePassed,
    EscalationResolved,
    FactRecorded,
    PaymentEscalated,
    PaymentLinked,
    PaymentOwnEvent,
    PaymentSettled,
    PaymentStarted,
)
from domain.polling import CursorAdvanced
from domain.remediation import RemediationEvent
from domain.webhook import WebhookSeen
from gateway.replaying.remediation_sentences import of_remediation

Sentence = tuple[str, Sequence[int]]


def sentences(key: str, event: AnyEvent) -> list[Sentence]:
    """What the event says, of the aggregate `key`, and which other positions that names."""
    if isinstance(event, AnswerEvent):
        return _of_answer(key, event)
    if isinstance(event, EffectEvent):
        return [(_of_effect(key, event), ())]
    if isinstance(event, PaymentOwnEvent):
        return [(_of_payment(key, event), ())]
    if isinstance(event, ConversationEvent):
        return [(_of_conversation(key, event), ())]
    if isinstance(event, DocumentEvent | IndexEvent):
        return [(_of_knowledge(key, event), ())]
    if isinstance(event, RemediationEvent):
        return [(of_remediation(key, event), ())]
    if isinstance(event, IncidentEvent):
        return [(_of_incident(key, event), ())]
    return [(_of_sources(key, event), ())]


def _of_answer(key: str, event: AnswerEvent) -> list[Sentence]:
    match event:
        case AnswerGiven(record=record):
            basis = record.basis
            asked = f'Asked "{record.question}", we answered "{record.answer}" (answer {key}).'
            known = f"Known then was what had been recorded up to position {basis.known_to or record.position}."
            return [(asked, basis.fact_positions), (known, ())]
        case AnswerRepeated(count=count):
            return [(f"Answer {key} was given {'once' if count == 1 else f'{count} times'} more.", ())]
        case AnswerInvalidated(untrue=untrue, text=text):
            said: list[Sentence] = [(_untruth(key, each), [fact.position for fact in each.facts]) for each in untrue]
            return [*said, (f'What the customer is to read: "{text}"', ())] if text else said
        case AnswerReinstated():
            return [(f"Answer {key} was found right after all.", ())]
        case _:
            assert_never(event)


def _untruth(key: str, untrue: Untruth) -> str:
    fields = ", ".join(untrue.fields)
    return f"Answer {key} was found wrong: what it stated of payment {untrue.said.payment_id} was not so ({fields})."


def _of_payment(key: str, event: PaymentOwnEvent) -> str:
    match event:
        case FactRecorded(fact=fact):
            return _of_fact(key, fact)
        case PaymentLinked(payment_id=payment_id):
            return f"{key} was found to belong to payment {payment_id}."
        case PaymentStarted(amount_minor=amount_minor, currency=currency, deadline_at=deadline_at):
            return (
                f"Payment {key} of {format_amount(amount_minor, currency)} was started, to be confirmed by "
                f"{_time(deadline_at)}."
            )
        case DeadlinePassed(deadline_at=deadline_at):
            return f"The deadline of payment {key} passed ({_time(deadline_at)})."
        case DeadlineExtended(deadline_at=deadline_at):
            return f"Payment {key} was given time until {_time(deadline_at)}."
        case CompensationBegan(kind=kind):
            return f"Payment {key} was to be undone: {kind}."
        case PaymentEscalated(reason=reason, detail=detail):
            return f"A person was asked about payment {key}: {reason}{f' ({detail})' if detail else ''}."
        case EscalationResolved(resolution=resolution, note=note):
            return f"A person decided about payment {key}: {resolution}{f' ({note})' if note else ''}."
        case PaymentSettled(result=result):
            return f"Payment {key} was settled: {result}."
        case _:
            assert_never(event)


def _of_fact(key: str, fact: Fact) -> str:
    kind, _, object_id = fact.object.partition(":")
    subject = f"payment {key}" if not object_id else f"{kind} {object_id} of payment {key}"
    amount = f" ({format_amount(fact.amount_minor, fact.currency)})" if fact.amount_minor else ""
    reason = f", {fact.reason}" if fact.reason else ""
    told = {"webhook": "said", "pull": "said when it was asked", "export": "said in an export"}
    source = told.get(fact.source, "said through an operator")
    return (
        f"{fact.provider} {source} that {subject}{amount} was {fact.status} at {_time(fact.occurred_at)}{reason} "
        f"(fact {fact.fact_id})."
    )


def _of_effect(key: str, event: EffectEvent) -> str:
    match event:
        case EffectRequested(effect=effect):
            return f"{_wish(key, effect)} was requested{f', because of {effect.reason}' if effect.reason else ''}."
        case EffectPerformed(step=step, reference=reference):
            return f"{step} of {key} was done{f' ({reference})' if reference else ''}."
        case EffectFailed(step=step, attempts=attempts, retry_at=retry_at, reason=reason):
            return f"{step} of {key} failed (attempt {attempts}): {reason}; it is tried again at {_time(retry_at)}."
        case EffectGivenUp(step=step, reason=reason):
            return f"{step} of {key} was given up: {reason}."
        case _:
            assert_never(event)


def _wish(key: str, effect: Effect) -> str:
    amount = f" of {format_amount(effect.amount_minor, effect.currency)}" if effect.amount_minor else ""
    return f"A {effect.kind}{amount} for {effect.payment_id or effect.to or key} ({effect.step})"


def _of_conversation(key: str, event: ConversationEvent) -> str:
    match event:
        case MessageReceived(message=message):
            who = "The customer" if message.author == "customer" else "The business"
            what = f'wrote "{message.text}"' if message.text else f"sent a message of kind {message.kind}"
            return f"{who} {what} in conversation {key} (message {message.message_id})."
        case MessageDelivered(message_ids=message_ids):
            return f"In conversation {key}, {', '.join(message_ids)} reached the customer."
        case MessageSeen(message_ids=message_ids):
            return f"In conversation {key}, the customer saw {', '.join(message_ids)}."
        case FollowingChanged(is_following=is_following):
            return f"The customer of conversation {key} {'began' if is_following else 'ceased'} to follow the business."
        case ErasureRequested():
            return f"The customer of conversation {key} asked to be erased."
        case CustomerIdentified(customer_id=customer_id):
            return f"The customer of conversation {key} is {customer_id or 'nobody that is known'}."
        case MessageAnswered(message_id=message_id, answer_id=answer_id):
            return f"Message {message_id} of conversation {key} was answered by answer {answer_id}."
        case _:
            assert_never(event)


def _of_knowledge(key: str, event: DocumentEvent | IndexEvent) -> str:
    match event:
        case DocumentPublished(version=version, title=title):
            return f'Document {key} was published in version {version}, "{title}".'
        case DocumentWithdrawn(version=version):
            return f"Document {key} was withdrawn (version {version})."
        case DocumentDated():
            return f"Document {key} was found to be current."
        case GenerationStarted(generation=generation, reason=reason):
            return f"Index generation {generation} was begun: {reason}."
        case GenerationCaughtUp(generation=generation):
            return f"Index generation {generation} had caught up."
        case GenerationChecked(generation=generation):
            return f"Index generation {generation} passed its checks."
        case GenerationActivated(generation=generation):
            return f"Index generation {generation} was made active."
        case GenerationRecalled(generation=generation, reason=reason):
            return f"Index generation {generation} was gone back to: {reason}."
        case GenerationAbandoned(generation=generation, reason=reason):
            return f"Index generation {generation} was given up: {reason}."
        case GenerationRemoved(generation=generation):
            return f"Index generation {generation} was removed."
        case _:
            assert_never(event)


def _of_incident(key: str, event: IncidentEvent) -> str:
    match event:
        case IncidentDeclared(severity=severity, signal=signal):
            return f"Incident {key} ({severity}) was declared: {_of_signal(signal)}."
        case SignalNoted(signal=signal):
            return f"Noted for incident {key}: {_of_signal(signal)}."
        case IncidentAcknowledged(by=by):
            return f"Incident {key} was taken up by {by}."
        case ImpactMeasured(impact=impact):
            return (
                f"Incident {key} so far: {impact.wrong} of {impact.answers} answers wrong, to {impact.customers} "
                f"customers, about {impact.payments} payments."
            )
        case ActionTaken(action=action, subject=subject, outcome=outcome, detail=detail, by=by):
            return (
                f"For incident {key} {by} did this: {action} ({subject}), {outcome}{f': {detail}' if detail else ''}."
            )
        case CheckMade(check=check, is_passed=is_passed, detail=detail):
            passed = "yes" if is_passed else "no"
            return f"Checked for incident {key}: {check}: {passed}{f' ({detail})' if detail else ''}."
        case IncidentResolved(detail=detail):
            return f"Incident {key} was over{f': {detail}' if detail else ''}."
        case _:
            assert_never(event)


def _of_signal(signal: Signal) -> str:
    return f"{signal.watch} noticed {signal.subject} at {_time(signal.seen_at)}: {signal.detail}"


def _of_sources(key: str, event: WebhookSeen | CursorAdvanced) -> str:
    match event:
        case WebhookSeen(source=source, event_type=event_type):
            return f"{source} sent {event_type}, which says nothing about money ({key})."
        case CursorAdvanced(messages=messages):
            return f"{key} was asked, and told of {messages} events."
        case _:
            assert_never(event)


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
