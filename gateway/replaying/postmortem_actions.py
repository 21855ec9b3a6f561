"""Action items: what follows from an incident, each with who, how urgently, and how one sees that it is done."""

from collections.abc import Sequence

from gateway.replaying.incident_facts import IncidentFacts
from gateway.replaying.postmortem import Sentence, Table, cited, count, of_kind
from gateway.replaying.samples import Sample


def action_items(facts: IncidentFacts, samples: Sequence[Sample]) -> Table:
    """One row for each rule that what happened meets."""
    rows: list[tuple[tuple[str, ...], Sentence]] = []

    def add(what: str, kind: str, owner: str, priority: str, test: str, *evidence: Sentence) -> None:
        positions = cited(*(each.positions for each in evidence))
        numbers = cited(*(each.samples for each in evidence))
        rows.append(((what, kind, owner, priority, test), Sentence(text=what, positions=positions, samples=numbers)))

    if facts.pulled:
        add(
            "Ask the provider at intervals for events that no webhook told",
            "prevent",
            "platform",
            "P1",
            f"{count(len(facts.pulled), 'fact')} as cited here are known within an interval in a drill of that seed",
            Sentence(text="pulled", positions=cited(each.position for each in facts.pulled)),
        )
    damaged = [each for each in facts.signals if each.signal.watch == "view check"]
    if damaged:
        add(
            "Nobody but their owner writes to a view's files; the check of views against the log runs on every node",
            "detect",
            "storage",
            "P1",
            "a drill that edits a view is noticed before the third wrong answer leaves",
            Sentence(text="damaged", positions=cited(each.position for each in damaged)),
        )
    if facts.escalated:
        add(
            "A provider that refuses refunds opens a circuit before attempts are used up",
            "mitigate",
            "payments",
            "P2",
            f"a drill of the same seed hands fewer than {len(facts.escalated)} payments to a person",
            Sentence(text="escalated", positions=cited(each.position for each in facts.escalated)),
        )
    times = facts.times
    if facts.acknowledged and times.acknowledge_s is not None and times.acknowledge_s > times.detect_s:
        add(
            "Begin remedies when the first signal is noted, not when the impact is measured",
            "process",
            "on call",
            "P2",
            f"time to acknowledge below {times.detect_s:.0f} s in a drill of the same seed",
            Sentence(text="late", positions=cited(facts.declared.position, facts.acknowledged.position)),
        )
    for each in of_kind(samples, "counterfactual"):
        if each.name and each.data["misses"]:
            add(
                f"Keep a test that fails without the {each.name}",
                "prevent",
                "platform",
                "P3",
                f'`recount simulate incident --without "{each.name}"` ends with status 1',
                Sentence(text=each.name, samples=(each.number,)),
            )
    return Table(columns=("what", "kind", "owner", "priority", "done when"), rows=tuple(rows))
