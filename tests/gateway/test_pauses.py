"""A pause of a source ends by itself, or when it is resumed."""

from gateway.pauses import Pauses


def test_a_paused_source_is_let_through_after_its_time_and_others_always() -> None:
    now_s = [100.0]
    pauses = Pauses(lambda: now_s[0])
    pauses.pause("acme", "stripe", 30)

    assert pauses.left_s("acme", "stripe") == 30
    assert pauses.left_s("acme", "adyen") == pauses.left_s("globex", "stripe") == 0
    now_s[0] += 31
    assert pauses.left_s("acme", "stripe") == 0


def test_a_source_that_is_resumed_is_let_through_at_once() -> None:
    pauses = Pauses(lambda: 0.0)
    pauses.pause("acme", "stripe", 30)
    pauses.resume("acme", "stripe")

    assert pauses.left_s("acme", "stripe") == 0
