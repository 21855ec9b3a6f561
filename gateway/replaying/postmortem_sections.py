"""The sections of a postmortem, each from an incident's facts and samples."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.replaying.incident_facts import At, IncidentFacts
from gateway.replaying.postmortem import (
    Postmortem,
    Section,
    Sentence,
    Table,
    amounts,
    cited,
    count,
    of_kind,
    seconds,
    span_of,
    time,
)
from gateway.replaying.postmortem_actions import action_items
from gateway.replaying.postmortem_causes import causes, what_helped
from gateway.replaying.samples import Sample

PICTURES = ("freshness", "wrong-answers", "budget")


def postmortem(facts: IncidentFacts, samples: Sequence[Sample]) -> Postmortem:
    """The whole of it."""
    return Postmortem(
        title=f"Postmortem of {facts.incident_id}",
        sections=(
            Section(title="Summary", sentences=tuple(_summary(facts, samples))),
            Section(title="Impact", sentences=tuple(_impact(facts, samples))),
            Section(title="Times", table=_times(facts)),
            Section(title="Phases", table=_phases(samples)),
            Section(title="Timeline", table=_timeline(facts, samples)),
            Section(title="Detection", sentences=tuple(_detection(facts, samples))),
            Section(title="Causes", sentences=tuple(causes(facts, samples)), table=_counterfactuals(samples)),
            Section(title="What helped, and what did not", sentences=tuple(what_helped(facts, samples))),
            Section(title="Action items", table=action_items(facts, samples)),
            Section(title="Measurements", sentences=tuple(_measurements(samples)), pictures=PICTURES),
        ),
    )


def _summary(facts: IncidentFacts, samples: Sequence[Sample]) -> list[Sentence]:
    wrong = len(facts.wrong)
    end = facts.resolved
    over = f"and was over at {time(end.recorded_at)}" if end else "and is not over"
    declared = facts.declared.event
    said = [
        Sentence(
            text=f"The incident ({declared.severity}) began at {time(facts.began_at)} with a wrong answer, was "
            f"declared at {time(facts.declared.recorded_at)} {over} (UTC).",
            positions=cited(span_of(facts), [each.position for each in facts.given.values()][:1]),
            public=f"On {facts.began_at:%d %B %Y}, from {facts.began_at:%H:%M} to {facts.last.recorded_at:%H:%M} UTC, "
            "some answers about payments were wrong.",
        ),
        Sentence(
            text=f"{count(wrong, 'answer').capitalize()} turned out to have been wrong when given; for each a "
            "correction was issued.",
            positions=cited(each.position for each in facts.wrong) or span_of(facts),
            public=f"{count(wrong, 'answer').capitalize()} had been wrong when given. A correction has been issued for "
            "each.",
        ),
    ]
    corrected = {each.key for each in facts.wrong}
    standing = [each for each in of_kind(samples, "answer") if each.value and each.name not in corrected]
    if standing:
        said.append(
            Sentence(
                text=f"{count(len(standing), 'answer').capitalize()} that the provider's books contradict was not "
                "corrected.",
                samples=cited(each.number for each in standing),
            )
        )
    if facts.late:
        said.append(
            Sentence(
                text=f"They were wrong because {count(len(facts.late), 'fact')} of the provider's reached us after it "
                "was asked, or because what was shown was not what the log says.",
                positions=cited(each.position for each in facts.late),
                public="News from a payment provider reached us late, and a part of what we show had been damaged.",
            )
        )
    return said


def _impact(facts: IncidentFacts, samples: Sequence[Sample]) -> list[Sentence]:
    said = []
    for measured in facts.impacts:
        impact = measured.event.impact
        at = (measured.position,)
        said += [
            Sentence(
                text=f"Of {count(impact.answers, 'answer')} up to then, {impact.wrong} stated what was not so, to "
                f"{count(impact.customers, 'customer')}, about {count(impact.payments, 'payment')}.",
                positions=at,
                samples=cited(each.number for each in of_kind(samples, "answer") if each.value),
                public=f"{impact.wrong} of {impact.answers} answers in that time were wrong, to "
                f"{count(impact.customers, 'customer')}.",
            ),
            Sentence(
                text=f"{impact.unknown} said that nothing was known of what there was, and "
                f"{count(impact.unanswered, 'question')} got no answer.",
                positions=at,
                public=f"{count(impact.unanswered, 'question').capitalize()} got no answer.",
            ),
            Sentence(
                text=f"Misstated: {amounts(impact.misstated_minor)}. At risk, because it had to go back and had not: "
                f"{amounts(impact.at_risk_minor)}.",
                positions=at,
                public="No customer has lost money." if facts.resolved else "",
            ),
        ]
        burnt = sorted(impact.budget_burnt.items(), key=lambda each: (-each[1], each[0]))
        if burnt:
            words = ", ".join(f"{slo} {share:.0%}" for slo, share in burnt)
            said.append(Sentence(text=f"Of the error budgets so much was burnt: {words}.", positions=at))
    corrected = len(facts.wrong)
    said.append(
        Sentence(
            text=f"Corrected in the end: {count(corrected, 'answer')} about "
            f"{count(len({each.said.payment_id for at in facts.wrong for each in at.event.untrue}), 'payment')}.",
            positions=cited(each.position for each in facts.wrong) or span_of(facts),
        )
    )
    return said


def _times(facts: IncidentFacts) -> Table:
    times, last = facts.times, facts.last.position
    first = [each.position for each in facts.given.values()][:1]
    rows = [
        ("time to detect (first wrong answer to declaration)", times.detect_s, cited(first, facts.declared.position)),
        (
            "time to acknowledge (from the declaration)",
            times.acknowledge_s,
            cited(facts.declared.position, facts.acknowledged.position if facts.acknowledged else 0),
        ),
        (
            "time to mitigate (declaration to the last action)",
            times.mitigate_s,
            cited(facts.declared.position, [each.position for each in facts.actions][-1:]),
        ),
        ("time to recover (first wrong answer to verified)", times.recover_s, cited(first, last)),
        (
            "mean time to recover, over the signals",
            times.mean_recover_s,
            cited([each.position for each in facts.signals], last),
        ),
    ]
    return Table(
        columns=("measure", "figure"),
        rows=tuple(
            ((name, seconds(taken_s)), Sentence(text=f"{name}: {seconds(taken_s)}", positions=positions))
            for name, taken_s, positions in rows
        ),
    )


def _phases(samples: Sequence[Sample]) -> Table | None:
    left = [each for each in of_kind(samples, "phase") if each.text != "entered"]
    if not left:
        return None
    entered = {each.name: each for each in of_kind(samples, "phase") if each.text == "entered"}
    rows = []
    for each in left:
        numbers = cited(each.number, entered[each.name].number if each.name in entered else 0)
        waited = str(each.data.get("waited_for", "")) or each.text
        cells = (each.name, seconds(each.value), waited)
        rows.append((cells, Sentence(text=f"{each.name}: {seconds(each.value)}", samples=numbers)))
    return Table(columns=("phase", "took", "left after waiting for"), rows=tuple(rows))


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the timeline on both clocks."""

    known_at: datetime
    occurred_at: datetime
    what: str
    positions: tuple[int, ...] = ()
    samples: tuple[int, ...] = ()


def _timeline(facts: IncidentFacts, samples: Sequence[Sample]) -> Table:
    """What happened, by when it became known; the other clock says when it happened, where that is another."""
    rows = sorted(
        [*_of_drill(samples), *_of_world(facts), *_of_response(facts)],
        key=lambda each: (each.known_at, each.positions, each.samples),
    )
    return Table(
        columns=("known at", "happened at", "what"),
        rows=tuple(
            (
                (_clock(each.known_at), _clock(each.occurred_at), each.what),
                Sentence(text=each.what, positions=each.positions, samples=each.samples),
            )
            for each in rows
        ),
    )


def _of_drill(samples: Sequence[Sample]) -> Iterator[_Row]:
    """What was done to the node on purpose, if this was a drill."""
    for each in samples:
        if each.kind == "fault":
            yield _Row(
                known_at=each.at,
                occurred_at=each.at,
                what=f"{'fault' if each.value else 'over'}: {each.text}",
                samples=(each.number,),
            )
        if each.kind == "phase" and each.text == "entered":
            yield _Row(known_at=each.at, occurred_at=each.at, what=f"phase begins: {each.name}", samples=(each.number,))


def _of_world(facts: IncidentFacts) -> Iterator[_Row]:
    """What the provider told late, what had been said wrong because of it, whom it was handed to."""
    for late in facts.late:
        fact = late.event.fact
        what = f"{fact.provider} tells late that {fact.object} of {late.key} is {fact.status}"
        yield _Row(known_at=late.recorded_at, occurred_at=fact.occurred_at, what=what, positions=(late.position,))
    for wrong in facts.wrong:
        first = min(each.given_at for each in wrong.event.untrue)
        fields = ", ".join(sorted({field for each in wrong.event.untrue for field in each.fields}))
        given = facts.given.get(wrong.key)
        yield _Row(
            known_at=wrong.recorded_at,
            occurred_at=first,
            what=f"answer {wrong.key} is found to have been wrong ({fields})",
            positions=cited(wrong.position, given.position if given else 0),
        )
    for escalated in facts.escalated:
        what = f"a person is asked about {escalated.key}: {escalated.event.reason}"
        yield _told(escalated, what)


def _of_response(facts: IncidentFacts) -> Iterator[_Row]:
    """What was noticed, done and checked."""
    for noted in facts.signals:
        signal = noted.signal
        yield _Row(
            known_at=noted.recorded_at,
            occurred_at=signal.seen_at,
            what=f"{signal.watch} notices {signal.subject}: {signal.detail}",
            positions=(noted.position,),
        )
    if facts.acknowledged:
        yield _told(facts.acknowledged, f"taken up by {facts.acknowledged.event.by}")
    for measured in facts.impacts:
        yield _told(measured, f"impact measured: {measured.event.impact.wrong} wrong answers")
    for action in facts.actions:
        done = action.event
        yield _told(action, f"{done.by}: {done.action} ({done.subject}) {done.outcome}: {done.detail}")
    for check in facts.checks:
        passed = "passed" if check.event.is_passed else "FAILED"
        yield _told(check, f"check {passed}: {check.event.check}: {check.event.detail}")
    if facts.resolved:
        yield _told(facts.resolved, f"resolved: {facts.resolved.event.detail}")


def _told(at: At[Any], what: str) -> _Row:
    return _Row(known_at=at.recorded_at, occurred_at=at.recorded_at, what=what, positions=(at.position,))


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def _detection(facts: IncidentFacts, samples: Sequence[Sample]) -> list[Sentence]:
    said = []
    for noted in facts.signals:
        signal = noted.signal
        after_s = (signal.seen_at - facts.began_at).total_seconds()
        said.append(
            Sentence(
                text=f"{signal.watch.capitalize()} noticed {signal.subject} {after_s:.1f} s after the first wrong "
                f"answer: {signal.detail}.",
                positions=(noted.position,),
            )
        )
    watches = {noted.signal.watch for noted in facts.signals}
    first_lost = next((each for each in of_kind(samples, "fault") if each.name == "webhooks"), None)
    if first_lost is not None and "reconciliation" not in watches and facts.pulled:
        said.append(
            Sentence(
                text=f"What should have noticed: {count(len(facts.pulled), 'event')} of which no webhook came in time "
                "were found only when the provider was asked; nothing asks it at intervals here.",
                positions=cited(each.position for each in facts.pulled),
                samples=(first_lost.number,),
            )
        )
    fired = [each for each in of_kind(samples, "alert") if each.value]
    if fired:
        names = ", ".join(sorted({each.name for each in fired}))
        said.append(Sentence(text=f"Alerts that fired: {names}.", samples=cited(each.number for each in fired)))
    return said


def _counterfactuals(samples: Sequence[Sample]) -> Table | None:
    found = of_kind(samples, "counterfactual")
    if not found:
        return None
    rows = []
    for each in found:
        data = each.data
        name = each.name or "the incident as it was"
        cells = (
            name,
            str(data["wrong"]),
            str(data["wrong_after"]),
            str(data["uncorrected"]),
            amounts(data["at_risk_minor"]),
        )
        rows.append((cells, Sentence(text=f"{name}: {each.text}", samples=(each.number,))))
    for each in of_kind(samples, "peer"):
        cells = (each.name, str(each.data["wrong"]), str(each.data["wrong_after"]), "all of them", "")
        rows.append((cells, Sentence(text=f"{each.name}: {each.text}", samples=(each.number,))))
    return Table(
        columns=("without", "wrong while it lasted", "wrong afterwards", "never corrected", "not returned"),
        rows=tuple(rows),
    )


def _measurements(samples: Sequence[Sample]) -> list[Sentence]:
    said = []
    stale = of_kind(samples, "freshness")
    if stale:
        worst = max(stale, key=lambda each: (each.value, -each.number))
        said.append(
            Sentence(
                text=f"The projection of {worst.name} was {worst.value:.1f} s behind at worst.",
                samples=(worst.number,),
                public=f"What we show was up to {worst.value:.0f} s behind.",
            )
        )
    budget = [each for each in of_kind(samples, "budget") if each.name == "answer-accuracy"]
    if budget:
        least = min(budget, key=lambda each: (each.value, each.number))
        said.append(
            Sentence(
                text=f"Of the budget for right answers {least.value:.0%} was left at the lowest.",
                samples=(least.number,),
            )
        )
    return said
