"""What an incident has cost so far: what customers were told, held against the provider's books."""

from domain.incident import Impact
from simulations.incident_world import World


def impact(world: World) -> Impact:
    """What was told so far, against the provider's books, and what it cost."""
    answers = [each for each in world.samples.all if each.kind == "answer"]
    wrong = [each for each in answers if each.value]
    misstated: dict[str, int] = {}
    largest: dict[str, tuple[str, int]] = {}
    for each in wrong:
        payment_id = each.data["payment_id"]
        before = largest.get(payment_id, ("", 0))[1]
        largest[payment_id] = each.data["currency"], max(before, each.data["misstated_minor"])
    for currency, minor in largest.values():
        misstated[currency] = misstated.get(currency, 0) + minor
    return Impact(
        answers=sum(each.data["outcome"] != "unanswered" for each in answers),
        wrong=len(wrong),
        unknown=world.told["unknown"],
        unanswered=world.told["unanswered"],
        customers=len({each.data["customer_id"] for each in wrong}),
        payments=len({each.data["payment_id"] for each in wrong}),
        misstated_minor=dict(sorted(misstated.items())),
        at_risk_minor=world.at_risk_minor(),
        budget_burnt={
            each.slo: round(1 - each.budget_left, 4)
            for each in sorted(world.node.watch.engine.standings(), key=lambda each: each.slo)
        },
    )
