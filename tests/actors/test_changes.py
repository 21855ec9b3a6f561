"""Whoever listens hears every change in order, or learns that it missed some."""

import threading
import time

from actors.changes import CHANGES_MAX, AwaitChanges, ChangeLog

PROJECTIONS = ("payments", "documents")


def changes() -> ChangeLog:
    return ChangeLog("first", PROJECTIONS)


def after(number: int, timeout_s: float = 0.0) -> AwaitChanges:
    return AwaitChanges(after=number, timeout_s=timeout_s)


def test_changes_are_heard_from_the_number_asked_for() -> None:
    log = changes()
    log.reached("payments", 3, 5, {"acme": ["pi_1"]})
    log.reached("documents", 4, 5, {"acme": ["document:refunds"]})
    log.reached("payments", 5, 5, {})

    heard = log.after(after(1))

    assert (heard.incarnation, heard.first, heard.next, heard.head) == ("first", 1, 3, 5)
    assert [(each.projection, each.position, each.changed) for each in heard.changes] == [
        ("documents", 4, {"acme": ["document:refunds"]}),
        ("payments", 5, {}),
    ]
    assert heard.projected == {"payments": 5, "documents": 4}
    assert log.projected("documents") == 4


def test_a_turn_that_moved_nowhere_is_no_news_and_the_head_never_goes_back() -> None:
    log = changes()
    log.reached("payments", 3, 9, {"acme": ["pi_1"]})
    log.reached("payments", 3, 4, {})

    assert (log.after(after(0)).next, log.after(after(0)).head) == (1, 9)


def test_who_comes_too_late_sees_that_changes_are_missing() -> None:
    log = changes()
    for position in range(1, CHANGES_MAX + 11):
        log.reached("payments", position, position, {"acme": [f"pi_{position}"]})

    heard = log.after(after(0))

    assert (heard.first, heard.next, len(heard.changes)) == (10, CHANGES_MAX + 10, CHANGES_MAX)
    assert heard.changes[0].position == 11


def test_who_waits_is_woken_by_a_change() -> None:
    log = changes()
    asked = threading.Event()

    def change() -> None:
        asked.wait(10)
        log.reached("payments", 1, 1, {"acme": ["pi_1"]})

    changing = threading.Thread(target=change)
    changing.start()
    asked.set()
    heard = log.after(after(0, timeout_s=10))
    changing.join()

    assert [each.position for each in heard.changes] == [1]


def test_who_waits_in_vain_is_answered_after_the_timeout() -> None:
    heard = changes().after(after(0, timeout_s=0.01))

    assert (heard.first, heard.next, heard.changes) == (0, 0, [])


def test_a_number_of_another_incarnation_is_answered_at_once() -> None:
    log = changes()
    log.reached("payments", 1, 1, {"acme": ["pi_1"]})
    started_s = time.monotonic()

    heard = log.after(after(500, timeout_s=10))

    assert time.monotonic() - started_s < 5
    assert (heard.first, heard.next, heard.changes) == (1, 1, [])
