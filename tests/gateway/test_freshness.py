"""What is not visible becomes staler with every second, whether the projection is slow, dead or not heard of."""

from gateway.freshness import Staleness


def test_what_is_visible_is_not_stale() -> None:
    staleness = Staleness()

    assert staleness.look(5, {"payments": 5, "documents": 5}, 0.0) == {"payments": 0.0, "documents": 0.0}
    assert staleness.look(5, {"payments": 5, "documents": 5}, 60.0) == {"payments": 0.0, "documents": 0.0}


def test_a_projection_that_stands_still_becomes_staler_by_the_second() -> None:
    staleness = Staleness()
    staleness.look(5, {"payments": 5, "documents": 5}, 0.0)

    for second in range(10):
        stale_s = staleness.look(6 + second, {"payments": 5, "documents": 6 + second}, 1.0 + second)
        assert stale_s == {"payments": float(second), "documents": 0.0}


def test_only_the_oldest_that_waits_counts() -> None:
    staleness = Staleness()
    for second in range(5):
        staleness.look(second, {"payments": 0, "documents": 0}, float(second))

    assert staleness.look(4, {"payments": 3, "documents": 0}, 5.0) == {"payments": 1.0, "documents": 4.0}
    assert staleness.look(4, {"payments": 4, "documents": 4}, 6.0) == {"payments": 0.0, "documents": 0.0}


def test_nothing_heard_of_a_projection_is_nothing_visible() -> None:
    staleness = Staleness()
    staleness.look(3, {}, 0.0)

    assert staleness.look(3, {}, 2.0) == {"payments": 2.0, "documents": 2.0}
