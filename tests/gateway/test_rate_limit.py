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
