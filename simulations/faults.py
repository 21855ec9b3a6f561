"""Which faults a simulated run may meet, how often, and where each was really met.

Swarm testing (Groce et al., ISSTA 2012): every seed enables a random subset at random rates, because faults that are
always on together hide what each would show alone.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from simulations.choices import Choices

# Every fault by name, with what it does.
FAULTS: dict[str, str] = {
    "bus_duplicate": "a message is delivered while another delivery of it is still being worked on",
    "bus_reorder": "messages come in another order than they were published in",
    "bus_delay": "a message is on its way for long",
    "bus_ack_lost": "an acknowledgement does not reach the server, which delivers again",
    "bus_tail_lost": "the server crashes and forgets what it has not confirmed, and the last acknowledgements",
    "publish_unconfirmed": "a message is stored, and its publisher never hears of it",
    "crash": "a process ends at a named point, in the middle of its work",
    "kill": "a process ends at any moment",
    "pause": "a process stands still, is replaced, and wakes up late beside its successor",
    "takeover": "a successor takes the leases between a decision and its commit",
    "call_lost": "a call or its reply is lost between two processes",
    "call_slow": "a call takes seconds",
    "stale_route": "a call goes to a replaced process that is still there",
    "commit_fails": "the log refuses a commit before anything is written",
    "commit_unknown": "the log commits, and says that it did not",
    "store_busy": "a tenant's file cannot be written now",
    "query_within_turn": "a query reads a tenant's files while a projection is in the middle of its turn",
    "turn_within_query": "a projection goes on between two reads of one query",
    "short_pages": "a reading of the log finds few events at a time, as if it were long",
    "files_lost": "derived files are gone when the process that owns them starts again",
    "embedder_fails": "the model fails for a batch of documents",
    "clock_skew": "a process's clock is minutes off; seconds, where deadlines are awaited",
    "clock_back": "a process's clock is set back",
    "poison_message": "a message that cannot be read, or that contradicts an earlier one",
    "poison_event": "an event in the log that nobody can decode, and a good one behind it",
    "old_schema": "events in the log that an earlier version wrote",
    "provider_late": "the provider sends much later than it happened",
    "provider_twice": "the provider sends again",
    "provider_never": "the provider never sends",
    "provider_orphan": "the provider refers to a payment only by its charge",
    "same_ids": "two tenants' providers give the same ids",
    "provider_contradicts": "the provider sends the same event with another content, or says the contrary",
    "provider_down": "the provider's API refuses everything for seconds",
    "call_refused": "a call to the provider is refused for now",
    "call_errs": "a call to the provider ends in an error of its own, before or after it was carried out",
    "call_hangs": "a call to the provider is never answered, carried out or not",
    "refund_slow": "a refund is pending at first",
    "refund_fails": "a refund fails after it succeeded",
    "endpoint_fails": "a merchant's endpoint refuses a notification, or takes it and does not say so",
    "publish_refused": "the bus does not take what is told to anyone",
    "evidence_old": "what a question found is told seconds later, when more may be known",
    "provider_at_once": "the provider does within one second what contradicts itself: its clock cannot order it",
}
# The points at which a process can be made to crash, by the process's kind.
POINTS: dict[str, tuple[str, ...]] = {
    "payments": ("before_append", "after_append"),
    "knowledge": ("before_append", "after_append", "after_apply", "before_checkpoint", "after_vectors", "after_words"),
    "intake": ("after_read", "after_settle"),
    "gateway": ("before_append", "after_append", "after_apply", "before_judging", "before_judged", "before_told"),
    "effects": ("before_claim", "after_effect"),
}
# Points that are passed so seldom that a crash there is made so many times as likely.
SELDOM = {
    "after_vectors": 5,
    "after_words": 5,
    "after_effect": 10,
    "before_judging": 20,
    "before_judged": 20,
    "before_told": 30,
}
RATES_PERMILLE = (3, 10, 30, 100)
ENABLED_PERMILLE = 350
# What only those worlds can meet in which something is done, which are few.
OF_ACTING = (
    *("provider_down", "call_refused", "call_errs", "call_hangs"),
    *("refund_slow", "refund_fails", "endpoint_fails", "publish_refused", "evidence_old"),
)
ENABLED_OF_ACTING_PERMILLE = 600


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run but its decisions. Printed whole on failure, and kept with a regression."""

    tenants: int = 2
    payments: int = 4
    payment_shards: int = 2
    index_shards: int = 1
    intakes: int = 1
    questions: int = 10
    documents: int = 2
    # Payments that each tenant's merchant starts; what is done about them is done by so many runners.
    sagas: int = 0
    runners: int = 1
    is_correcting: bool = False
    in_memory: bool = True
    steps: int = 2_500
    rates: dict[str, int] = {}


def drawn(choices: Choices, *, steps: int = Options().steps) -> Options:
    """The options of a seed: a small node, and a random subset of the faults at random rates.

    They have a stream of choices of their own, so that a run whose options are spelled out stays what it is when there
    is more to be drawn.
    """
    choices = choices.of("options")
    is_correcting = choices.below(8) == 7
    sagas = max(0, choices.below(16) - 13)
    return Options(
        tenants=1 + choices.below(3),
        payments=1 + choices.below(4),
        payment_shards=1 + choices.below(2),
        index_shards=1 + choices.below(2),
        intakes=1 + choices.below(2),
        questions=choices.below(12) + (8 if is_correcting else 0),
        documents=choices.below(4),
        sagas=sagas,
        runners=1 + choices.below(2),
        is_correcting=is_correcting,
        in_memory=choices.below(4) != 0,
        # What is done in the world takes longer to happen.
        steps=2 * steps if sagas or is_correcting else steps,
        rates={
            fault: RATES_PERMILLE[choices.below(len(RATES_PERMILLE))]
            for fault in FAULTS
            if choices.is_hit(ENABLED_OF_ACTING_PERMILLE if fault in OF_ACTING else ENABLED_PERMILLE)
        },
    )


def is_acting(options: Options) -> bool:
    """Whether anything is done in the world because of what is in the log."""
    return bool(options.sagas or options.is_correcting)


class Faults:
    """Decides whether a fault happens at a site, and counts where it did."""

    def __init__(self, options: Options, choices: Choices, hits: Counter[str] | None = None) -> None:
        self._rates = options.rates
        self.choices = choices
        self.is_on = True
        self.hits: Counter[str] = Counter() if hits is None else hits

    def happens(self, fault: str, site: str = "", *, times: int = 1) -> bool:
        """Whether `fault` happens now at `site`; `times` makes it as many times as likely as its rate says."""
        assert fault in FAULTS, f"{fault} is no fault"
        rate = self._rates.get(fault, 0) if self.is_on else 0
        if not rate or not self.choices.of(fault).is_hit(min(900, rate * times)):
            return False
        self.note(fault, site)
        return True

    def is_enabled(self, fault: str) -> bool:
        """Whether this run may meet the fault at all."""
        return self.is_on and fault in self._rates

    def delay_s(self, delays_s: Sequence[float]) -> float:
        """One of the delays, the first being the usual one; only that once the faults are off."""
        return self.choices.of("delay").one_of(delays_s) if self.is_on else delays_s[0]

    def note(self, fault: str, site: str) -> None:
        """The fault was met at the site."""
        self.hits[f"{fault}@{site}" if site else fault] += 1
