"""A bucket lets through what its rate and its burst say, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tenant_settings import LimitSettings, SourceSettings, TenantSettings
from gateway.rate_limit import RateLimits

START_S = 1_000.0


def limits(rate_per_s: float = 10, burst: int = 5, **sources: LimitSettings) -> RateLimits:
    of_sources = {name: SourceSettings(limits=own) for name, own in sources.items()}
    settings = TenantSettings(limits=LimitSettings(rate_per_s=rate_per_s, burst=burst), sources=of_sources)
    return RateLimits({"acme": settings, "globex": settings})


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    of_tenants = limits()

    assert of_tenants.take("acme", "stripe", 100, now_s=START_S) == 5
    assert of_tenants.take("acme", "stripe", 1, now_s=START_S) == 0
    assert of_tenants.wait_s("acme", "stripe", now_s=START_S) == pytest.approx(0.1)
    assert of_tenants.take("acme", "stripe", 100, now_s=START_S + 0.35) == 3
    assert of_tenants.take("acme", "stripe", 100, now_s=START_S + 60) == 5


def test_a_tenant_has_one_bucket_for_all_its_sources_and_shares_it_with_no_other() -> None:
    of_tenants = limits()

    assert of_tenants.take("acme", "stripe", 3, now_s=START_S) == 3
    assert of_tenants.take("acme", "paypal", 3, now_s=START_S) == 2
    assert of_tenants.take("globex", "stripe", 9, now_s=START_S) == 5


def test_a_source_with_limits_of_its_own_must_pass_both() -> None:
    of_tenants = limits(rate_per_s=100, burst=50, stripe=LimitSettings(rate_per_s=1, burst=2))

    assert of_tenants.take("acme", "stripe", 10, now_s=START_S) == 2
    assert of_tenants.take("acme", "paypal", 100, now_s=START_S) == 48
    assert of_tenants.wait_s("acme", "stripe", now_s=START_S) == pytest.approx(1.0)
    assert of_tenants.rate_per_s("acme", "stripe") == 1
    assert of_tenants.rate_per_s("acme", "paypal") == 100


def test_what_belongs_to_no_tenant_has_no_limit() -> None:
    assert limits().take("initech", "stripe", 10_000, now_s=START_S) == 10_000
    assert limits().wait_s("initech", "stripe", now_s=START_S) == 0


def test_several_intakes_divide_a_rate_among_them() -> None:
    settings = TenantSettings(limits=LimitSettings(rate_per_s=100, burst=1))
    half = RateLimits({"acme": settings}, share=1 / 2)

    assert half.rate_per_s("acme", "stripe") == 50


def test_several_intakes_divide_a_burst_among_them_and_each_may_take_one_message() -> None:
    settings = TenantSettings(limits=LimitSettings(rate_per_s=100, burst=10))
    of_tenants = RateLimits({"acme": settings}, share=1 / 4)
    assert of_tenants.take("acme", "stripe", 100, now_s=START_S) == 2

    settings = TenantSettings(limits=LimitSettings(rate_per_s=100, burst=1))
    assert RateLimits({"acme": settings}, share=1 / 4).take("acme", "stripe", 100, now_s=START_S) == 1


def test_a_bucket_stays_as_full_as_it_is_when_its_part_changes() -> None:
    of_tenants = limits(rate_per_s=100, burst=40, paypal=LimitSettings(rate_per_s=100, burst=40))
    assert of_tenants.take("acme", "stripe", 30, now_s=START_S) == 30

    of_tenants.divide(1 / 2, now_s=START_S)
    assert of_tenants.rate_per_s("acme", "stripe") == 50
    assert of_tenants.take("acme", "stripe", 100, now_s=START_S) == 10, "what was in it, and not a burst again"
    assert of_tenants.take("acme", "stripe", 100, now_s=START_S + 0.125) == 6
    assert of_tenants.take("acme", "stripe", 100, now_s=START_S + 60) == 20, "half of the burst"

    of_tenants.divide(1, now_s=START_S + 60)
    assert of_tenants.take("acme", "stripe", 100, now_s=START_S + 60) == 0
    assert of_tenants.take("acme", "paypal", 100, now_s=START_S + 60.125) == 12
    assert of_tenants.rate_per_s("globex", "stripe") == 100, "whoever is first seen then has the new part, too"


def test_the_time_before_a_change_counts_at_the_rate_before_it() -> None:
    of_tenants = limits(rate_per_s=100, burst=40)
    assert of_tenants.take("acme", "stripe", 40, now_s=START_S) == 40
    of_tenants.divide(1 / 10, now_s=START_S + 0.25)
    of_tenants.divide(1, now_s=START_S + 0.25)

    assert of_tenants.take("acme", "stripe", 40, now_s=START_S + 0.25) == 4, "no more than it held at its smallest"


def test_an_intake_that_joins_others_brings_no_burst() -> None:
    settings = TenantSettings(limits=LimitSettings(rate_per_s=100, burst=40))
    joining = RateLimits({"acme": settings}, share=1 / 2, empty_at_s=START_S)

    assert joining.take("acme", "stripe", 100, now_s=START_S + 0.125) == 6
    assert joining.take("acme", "stripe", 100, now_s=START_S + 60) == 20


@given(
    rate_per_s=st.floats(1, 1_000),
    burst=st.integers(8, 100),
    tries=st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["take", "join", "leave"])), max_size=40),
)
def test_however_many_intakes_come_and_go_no_more_passes_than_one_would_let_through(
    rate_per_s: float, burst: int, tries: list[tuple[float, str]]
) -> None:
    settings = {"acme": TenantSettings(limits=LimitSettings(rate_per_s=rate_per_s, burst=burst))}
    intakes, now_s, passed = [RateLimits(settings)], START_S, 0
    for pause_s, what in tries:
        now_s += pause_s
        if what == "join" and len(intakes) < 8:
            for each in intakes:
                each.divide(1 / (len(intakes) + 1), now_s=now_s)
            intakes.append(RateLimits(settings, share=1 / (len(intakes) + 1), empty_at_s=now_s))
        elif what == "leave" and len(intakes) > 1:
            intakes.pop()
            for each in intakes:
                each.divide(1 / len(intakes), now_s=now_s)
        passed += sum(each.take("acme", "stripe", 1_000, now_s=now_s) for each in intakes)
        assert passed <= burst + (now_s - START_S) * rate_per_s + 1e-6


@pytest.mark.parametrize("wrong", [{"rate_per_s": 0}, {"rate_per_s": -1}, {"burst": 0}])
def test_a_limit_that_nothing_could_pass_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rate_per_s"):
        LimitSettings(**wrong)  # type: ignore[arg-type]  # that is the point


@given(
    rate_per_s=st.floats(0.1, 1_000),
    burst=st.integers(1, 100),
    tries=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), max_size=40),
)
def test_no_more_than_the_burst_and_the_rate_ever_pass(
    rate_per_s: float, burst: int, tries: list[tuple[float, int]]
) -> None:
    of_tenants = limits(rate_per_s=rate_per_s, burst=burst)
    now_s, passed = START_S, 0
    for pause_s, count in tries:
        now_s += pause_s
        passed += of_tenants.take("acme", "stripe", count, now_s=now_s)
        assert passed <= burst + (now_s - START_S) * rate_per_s + 1e-6
