"""Whoever sent much waits for those who sent little, never the other way round."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from domain.tenant_settings import LimitSettings, SourceSettings, TenantSettings
from gateway.fair_queue import MIXED_FOR_S, QUANTUM, FairQueue, Flow
from gateway.rate_limit import RateLimits


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def flow(tenant: str, source: str = "stripe") -> Flow:
    return Flow(tenant, tenant, source)


def queue(clock: Clock | None = None, **tenants: TenantSettings) -> FairQueue[str]:
    return FairQueue(RateLimits(tenants), clock_s=clock or Clock())


def fill(waiting: FairQueue[str], of: Flow, count: int) -> None:
    for number in range(count):
        waiting.put(of, f"{of.tenant}/{of.source}/{number}")


def test_a_message_behind_a_flood_is_in_the_next_batch() -> None:
    waiting = queue()
    fill(waiting, flow("acme"), 5_000)
    fill(waiting, flow("globex"), 1)

    assert "globex/stripe/0" in waiting.take(2 * QUANTUM)


def test_a_batch_is_shared_by_all_who_wait_and_none_is_left_out() -> None:
    waiting = queue()
    for tenant in ("acme", "globex", "initech"):
        fill(waiting, flow(tenant), 1_000)

    taken = [Counter(each.split("/")[0] for each in waiting.take(150)) for _ in range(4)]

    assert taken == [{"acme": 50, "globex": 50, "initech": 50}] * 4


def test_one_tenant_alone_fills_the_batch_in_its_order() -> None:
    waiting = queue()
    fill(waiting, flow("acme"), 120)

    assert waiting.take(500) == [f"acme/stripe/{number}" for number in range(120)]
    assert (len(waiting), waiting.take(500), waiting.ready_in_s()) == (0, [], None)


def test_all_unknown_tenants_have_the_turn_of_one() -> None:
    waiting = queue()
    for number in range(500):
        waiting.put(Flow("", f"stranger-{number}", "stripe"), "unknown")
    fill(waiting, flow("acme"), 500)

    assert Counter(each.split("/")[0] for each in waiting.take(100)) == {"unknown": 50, "acme": 50}


def test_what_is_above_its_rate_waits_and_keeps_nobody() -> None:
    clock = Clock()
    waiting = queue(clock, acme=TenantSettings(limits=LimitSettings(rate_per_s=10, burst=3)))
    fill(waiting, flow("acme"), 20)
    assert len(waiting.take(100)) == 3
    assert 0 < (waiting.ready_in_s() or 0) <= 0.1

    fill(waiting, flow("globex"), 2)

    assert waiting.ready_in_s() == 0
    assert waiting.take(100) == ["globex/stripe/0", "globex/stripe/1"]
    clock.now_s += 0.2
    assert waiting.take(100) == ["acme/stripe/3", "acme/stripe/4"]
    assert len(waiting) == 15


def test_a_limited_source_does_not_keep_the_tenants_other_ones() -> None:
    own = SourceSettings(limits=LimitSettings(rate_per_s=1, burst=1))
    waiting = queue(acme=TenantSettings(sources={"stripe": own}))
    fill(waiting, flow("acme"), 50)
    fill(waiting, flow("acme", "paypal"), 2)

    assert sorted(waiting.take(100)) == ["acme/paypal/0", "acme/paypal/1", "acme/stripe/0"]


def test_the_last_of_a_flow_can_be_withdrawn() -> None:
    waiting = queue()
    fill(waiting, flow("acme"), 5)
    fill(waiting, flow("globex"), 1)

    assert waiting.withdraw(flow("acme"), 2) == ["acme/stripe/2", "acme/stripe/3", "acme/stripe/4"]
    assert waiting.lengths() == {flow("acme"): 2, flow("globex"): 1}
    assert sorted(waiting) == ["acme/stripe/0", "acme/stripe/1", "globex/stripe/0"]
    assert len(waiting) == 3


def test_a_queue_is_mixed_for_a_while_after_another_tenant_came() -> None:
    clock = Clock()
    waiting = queue(clock)
    fill(waiting, flow("acme"), 3)
    assert not waiting.is_mixed()
    fill(waiting, flow("globex"), 1)
    assert waiting.is_mixed()
    clock.now_s += MIXED_FOR_S
    fill(waiting, flow("globex"), 1)
    assert not waiting.is_mixed()


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=80),
    st.lists(st.integers(1, 20), max_size=20),
)
def test_everything_is_taken_once_and_each_flow_in_its_order(came: list[tuple[str, str]], counts: list[int]) -> None:
    waiting: FairQueue[tuple[Flow, int]] = FairQueue(RateLimits({}), clock_s=Clock())
    for number, (tenant, source) in enumerate(came):
        waiting.put(flow(tenant, source), (flow(tenant, source), number))
    taken = [each for count in [*counts, *[20] * 80] for each in waiting.take(count)]

    assert sorted(number for _, number in taken) == list(range(len(came)))
    for tenant, source in set(came):
        of_flow = [number for each, number in taken if each == flow(tenant, source)]
        assert of_flow == sorted(of_flow)
