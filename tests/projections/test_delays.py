"""From recorded to visible: histograms by tenant and projection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.delays import BOUNDS_S, DelayMeter, Delays

PROJECTIONS = ("payments", "documents")


def counted(*delays_s: float) -> Delays:
    meter = DelayMeter()
    meter.count("acme", "payments", delays_s)
    [payments, _] = meter.of_tenant("acme", PROJECTIONS)
    return payments


def test_a_delay_is_in_the_bucket_of_the_first_bound_that_it_does_not_exceed() -> None:
    found = dict(counted(0.005, 0.0051, 0.7, 3_600.0).cumulative())

    assert (found["0.005"], found["0.01"], found["0.5"], found["1.0"], found["60.0"]) == (1, 2, 2, 3, 3)
    assert found["+Inf"] == 4
    assert counted(0.25, 0.5).sum_s == pytest.approx(0.75)


def test_clocks_that_disagree_make_no_time_run_backwards() -> None:
    found = counted(-0.004)

    assert (found.count, found.sum_s, found.counts[0]) == (1, 0.0, 1)


def test_every_tenant_has_its_own_and_all_have_them_together() -> None:
    meter = DelayMeter()
    meter.count("acme", "payments", [0.02, 0.02])
    meter.count("globex", "payments", [0.3])
    meter.count("globex", "documents", [0.9])

    assert [each.count for each in meter.of_tenant("acme", PROJECTIONS)] == [2, 0]
    assert [each.count for each in meter.of_tenant("globex", PROJECTIONS)] == [1, 1]
    together = meter.of_all(PROJECTIONS)
    assert [(each.tenant, each.count) for each in together] == [("", 3), ("", 1)]
    assert together[0].sum_s == pytest.approx(0.34)


def test_what_nobody_counted_has_no_quantile() -> None:
    [payments, documents] = DelayMeter().of_all(PROJECTIONS)

    assert (payments.quantile_s(0.5), documents.count) == (None, 0)


@given(st.lists(st.floats(0.0, 59.0), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(delays_s: list[float], share: float) -> None:
    ordered = sorted(delays_s)
    true_s = ordered[min(int(share * len(ordered) - 1e-9), len(ordered) - 1)]

    found_s = counted(*delays_s).quantile_s(share)

    upper_s = next(bound for bound in BOUNDS_S if bound >= true_s)
    lower_s = max((bound for bound in BOUNDS_S if bound < true_s), default=0.0)
    assert found_s is not None
    assert lower_s <= found_s <= upper_s


def test_beyond_the_last_bound_a_quantile_is_the_last_bound() -> None:
    assert counted(100.0, 200.0).quantile_s(0.99) == 60.0
