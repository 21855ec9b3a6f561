"""Why it happened and what ended it: the chain of causes with what would have come of it otherwise, and what helped."""

from collections.abc import Sequence

from gateway.replaying.incident_facts import IncidentFacts
from gateway.replaying.postmortem import Sentence, amounts, cited, count, of_kind
from gateway.replaying.samples import Sample


def causes(facts: IncidentFacts, samples: Sequence[Sample]) -> list[Sentence]:
    """From the trigger to what customers read, each link with what it rests on; then what was not the case."""
    return [*_trigger(facts, samples), *_chain(facts), *_otherwise(samples)]


def _trigger(facts: IncidentFacts, samples: Sequence[Sample]) -> list[Sentence]:
    faults = of_kind(samples, "fault")
    if faults:
        return [Sentence(text=f"Trigger: {each.text}.", samples=(each.number,)) for each in faults if each.value]
    if not facts.late:
        return []
    first = facts.late[0]
    return [
        Sentence(
            text=f"Trigger: {first.event.fact.provider} told of {first.event.fact.object} of {first.key} late.",
            positions=(first.position,),
        )
    ]


def _chain(facts: IncidentFacts) -> list[Sentence]:
    said = []
    if facts.late:
        delays_s = [(each.recorded_at - each.event.fact.occurred_at).total_seconds() for each in facts.late]
        said.append(
            Sentence(
                text=f"Why were answers wrong? {count(len(facts.late), 'fact')} became known up to "
                f"{max(delays_s):.1f} s after they occurred, and in between answers said what was known.",
                positions=cited(each.position for each in facts.late),
                public="Answers say what is known, and the news came after it was asked.",
            )
        )
    if facts.pulled:
        said.append(
            Sentence(
                text=f"Why so late? Of {count(len(facts.pulled), 'fact')} the first word came when the provider was "
                "asked for events that no webhook had told.",
                positions=cited(each.position for each in facts.pulled),
            )
        )
    damaged = [each for each in facts.signals if each.signal.watch == "view check"]
    if damaged:
        by_view = [each for each in facts.wrong if _knew_all(facts, each.key)]
        text = f"Why were answers wrong although all was known? {damaged[-1].signal.detail.capitalize()}"
        said.append(
            Sentence(
                text=f"{text}: {count(len(by_view), 'answer')} came from a view that somebody had edited.",
                positions=cited((each.position for each in damaged), (each.position for each in by_view)),
                public="A part of what we show had been damaged, and said something else than our records.",
            )
        )
    if facts.escalated:
        reasons = ", ".join(sorted({each.event.reason for each in facts.escalated}))
        said.append(
            Sentence(
                text=f"Why was money at risk? {count(len(facts.failed), 'attempt')} at the provider failed, and "
                f"{count(len(facts.escalated), 'payment')} went to a person ({reasons}).",
                positions=cited((each.position for each in facts.failed), (each.position for each in facts.escalated)),
                public="Some refunds were delayed, because our payment provider did not take them.",
            )
        )
    return said


def _knew_all(facts: IncidentFacts, answer_id: str) -> bool:
    """Whether everything that makes an answer wrong was known when it was given."""
    given = facts.given.get(answer_id)
    wrong = next(each for each in facts.wrong if each.key == answer_id)
    if given is None:
        return False
    known_to = given.event.record.basis.known_to
    return all(cited.position <= known_to for untrue in wrong.event.untrue for cited in untrue.facts)


def _otherwise(samples: Sequence[Sample]) -> list[Sentence]:
    """The replay of the same log with one thing taken out."""
    found = of_kind(samples, "counterfactual")
    as_it_was = next((each for each in found if not each.name), None)
    said = []
    if as_it_was is not None:
        said.append(
            Sentence(
                text=f"Replayed from the log as it was, the same questions get {as_it_was.data['wrong']} wrong answers "
                f"while it lasted and {as_it_was.data['wrong_after']} afterwards.",
                samples=(as_it_was.number,),
            )
        )
    for each in found:
        if not each.name:
            continue
        parts = [f"{each.data['wrong']} wrong answers while it lasted and {each.data['wrong_after']} afterwards"]
        if each.data["uncorrected"]:
            parts.append(f"{each.data['uncorrected']} that nobody would have corrected")
        if each.data["at_risk_minor"]:
            parts.append(f"{amounts(each.data['at_risk_minor'])} that would not have gone back")
        said.append(
            Sentence(
                text=f"Without the {each.name} ({each.text}) the same log gives {', and '.join(parts)}.",
                samples=(each.number,),
            )
        )
    said += [
        Sentence(
            text=f"{each.name.capitalize()} gives {each.data['wrong']} wrong answers to the same questions, and "
            f"{each.data['wrong_after']} of {each.data['asked_after']} afterwards; it corrects none.",
            samples=(each.number,),
        )
        for each in of_kind(samples, "peer")
    ]
    return said


def what_helped(facts: IncidentFacts, samples: Sequence[Sample]) -> list[Sentence]:
    """Each remedy with what could be seen after it, and what stood in the way."""
    said = []
    by_action: dict[str, list[int]] = {}
    for each in facts.actions:
        by_action.setdefault(f"{each.event.action} by {each.event.by}", []).append(each.position)
    passed = cited(each.position for each in facts.checks if each.event.is_passed)
    for name, positions in by_action.items():
        said.append(
            Sentence(
                text=f"Helped: {name} ({'once' if len(positions) == 1 else f'{len(positions)} times'}).",
                positions=cited(positions, passed),
            )
        )
    failed = [each for each in facts.checks if not each.event.is_passed]
    said += [
        Sentence(text=f"Did not help enough: {each.event.check}: {each.event.detail}.", positions=(each.position,))
        for each in failed
    ]
    useless = [each for each in of_kind(samples, "counterfactual") if each.name and not each.data["misses"]]
    said += [
        Sentence(text=f"Made no difference this time: the {each.name}.", samples=(each.number,)) for each in useless
    ]
    return said
