"""Whether the incident is over: everything that is known and said, held against the provider's books."""

import asyncio
from collections.abc import Collection, Sequence

import msgspec

from actors.payment_shard import now
from domain.errors import RetryableError, TerminalError
from gateway.prober import OUTCOMES, PROBES
from simulations.incident_books import untrue_fields, word_of
from simulations.incident_damage import ViewCheck
from simulations.incident_phases import PhaseError, awaited
from simulations.incident_refold import Refold
from simulations.incident_world import TENANT, World

PROBES_MIN = 8
LIMIT_S = 30.0
AT_ONCE_MAX = 16


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was found when it was looked whether all is well.

    Args:
        checks: by check, what does not hold, in sentences.
        asked_after: payments about which it was asked once more, all of them.
        wrong_after: answers to that which were not what the books say.
        corrections: answers whose last word in the log is that they were wrong.
        missing: answers that were wrong by the books and are not among those.
        unfounded: the other way round.
    """

    checks: dict[str, list[str]]
    asked_after: int
    wrong_after: int
    corrections: int
    missing: list[str]
    unfounded: list[str]


async def verify(world: World, check: ViewCheck) -> Verified:
    """Look at everything; nothing happens at the provider any more."""
    payment_ids = list(world.provider.books.lives)
    await awaited(lambda: _unsettled(world, payment_ids), LIMIT_S)
    answers = await _asked(world, payment_ids)
    lag = await world.client.drained()
    refold = Refold(world.node.feed)
    await asyncio.to_thread(refold.read)
    missing = sorted(world.wrong_ids - refold.invalidated)
    unfounded = sorted(refold.invalidated - world.wrong_ids)
    assert refold.position >= lag["head"], "what was drained is read"
    return Verified(
        checks={
            "payments are as the books say": await _payments_off(world, payment_ids),
            "answers are as the books say": answers,
            "corrections are exactly the wrong answers": [
                *(f"answer {each} was wrong, and is not corrected" for each in missing),
                *(f"answer {each} was right, and is corrected" for each in unfounded),
            ],
            "corrections are sent": await _unheard(world, refold.invalidated),
            "views are what the log says": await _views_off(world, check),
            "money is where it belongs": _money_off(world),
            "nobody is waited for": _waiting(world),
            "the prober's answers are right": await _probes_off(),
        },
        asked_after=len(payment_ids),
        wrong_after=len(answers),
        corrections=len(refold.invalidated),
        missing=missing,
        unfounded=unfounded,
    )


def _unsettled(world: World, payment_ids: Sequence[str]) -> str:
    """Providers' times are whole seconds: what changed just now is asked about when its second is over."""
    at = now()
    left = [each for each in payment_ids if not world.settled.may_ask(each, at)]
    return f"{len(left)} payments to have settled" if left else ""


async def _asked(world: World, payment_ids: Sequence[str]) -> list[str]:
    slots = asyncio.Semaphore(AT_ONCE_MAX)

    async def ask(payment_id: str) -> str:
        async with slots:
            outcome = await world.ask(payment_id)
        return "" if outcome == "right" else f"the answer about {payment_id} is {outcome}"

    return [each for each in await asyncio.gather(*map(ask, payment_ids)) if each]


async def _payments_off(world: World, payment_ids: Sequence[str]) -> list[str]:
    lives = world.provider.books.lives
    found = []
    for payment_id in payment_ids:
        view = await world.client.payment(payment_id)
        fields = ["all of it"] if view is None else untrue_fields(word_of(lives[payment_id]), view)
        found += [f"{payment_id}: {', '.join(fields)} not as in the books"] if fields else []
    return found


async def _unheard(world: World, corrected: Collection[str]) -> list[str]:
    """Corrections that nobody heard of who listens on the bus."""

    def missing() -> str:
        left = len(set(corrected) - world.heard)
        return f"{left} corrections to be heard of" if left else ""

    try:
        await awaited(missing, LIMIT_S)
    except PhaseError as error:
        return [error.reason]
    return []


async def _views_off(world: World, check: ViewCheck) -> list[str]:
    found = []
    for tenant in (TENANT, world.node.settings.prober.tenant):
        try:
            differing = await check.differing(tenant)
        except (RetryableError, TerminalError) as error:
            found.append(f"{tenant}: {error.reason}")
            continue
        found += [f"{tenant}/{each} is not what the log says" for each in differing]
    return found


def _money_off(world: World) -> list[str]:
    owed = world.at_risk_minor()
    return [
        *world.provider.books.violations(),
        *(f"{minor} {currency} not returned" for currency, minor in owed.items()),
    ]


def _waiting(world: World) -> list[str]:
    waiting = world.node.outbox.escalations(TENANT, limit=200)
    found = [f"{each.payment_id} waits for a person: {each.reason}" for each in waiting]
    effects = world.node.outbox.counts(now()).effects
    return [*found, *([f"{effects} effects are outstanding"] if effects else [])]


async def _probes_off() -> list[str]:
    before = {outcome: probes(outcome) for outcome in OUTCOMES}

    def missing() -> str:
        got = sum(probes(outcome) for outcome in OUTCOMES) - sum(before.values())
        return f"{PROBES_MIN - got} probes" if got < PROBES_MIN else ""

    try:
        await awaited(missing, LIMIT_S)
    except PhaseError as error:
        return [error.reason]
    grown = {outcome: probes(outcome) - before[outcome] for outcome in OUTCOMES}
    return [f"{count} probes were {outcome}" for outcome, count in grown.items() if count and outcome != "right"]


def probes(outcome: str) -> int:
    """How many canary questions ended like this since the process began."""
    return int(
        sum(
            sample.value
            for family in PROBES.collect()
            for sample in family.samples
            if sample.name == "recount_probes_total" and sample.labels["outcome"] == outcome
        )
    )
