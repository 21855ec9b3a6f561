"""The cursor of a poller: it moves on from where it is, once; and what a poll must say."""

import pytest

from domain.polling import AdvanceCursor, CursorAdvanced, PollDecider, PollSettings
from tests.spec import given

DECIDER = PollDecider()
FIRST = CursorAdvanced(cursor="evt_1", messages=3)


def test_a_cursor_begins_anywhere_and_moves_on() -> None:
    began = given(DECIDER).when(AdvanceCursor(before="", after="evt_1", messages=3)).then(FIRST)

    began.when(AdvanceCursor(before="evt_1", after="evt_2")).then(CursorAdvanced(cursor="evt_2"))


def test_a_cursor_that_is_moved_to_where_it_is_stays() -> None:
    given(DECIDER, FIRST).when(AdvanceCursor(before="", after="evt_1", messages=3)).then_nothing()


def test_an_etag_that_changed_is_news_although_the_cursor_is_not() -> None:
    with_etag = CursorAdvanced(cursor="evt_1", etag='"b"')

    given(DECIDER, FIRST).when(AdvanceCursor(before="evt_1", after="evt_1", etag='"b"')).then(with_etag)


def test_of_two_readers_one_moves_the_cursor() -> None:
    given(DECIDER, FIRST).when(AdvanceCursor(before="", after="evt_9")).then_rejected("poll.cursor_moved")


def test_a_cursor_may_begin_anew() -> None:
    """What was read before is read again, and changes nothing."""
    given(DECIDER, FIRST).when(AdvanceCursor(before="evt_1", after="")).then(CursorAdvanced(cursor=""))


@pytest.mark.parametrize(
    ("wrong", "wish"),
    [
        ({"url": "ftp://api.example/v1"}, "http"),
        ({"url": "http://api.example/v1", "key": "k"}, "https"),
        ({"url": "http://localhost.example/v1", "key": "k"}, "https"),
        ({"every_s": 0.0}, "every_s"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"page_size": 0}, "page_size"),
        ({"since_param": "updated_after"}, "since_path"),
        ({"next_path": "next", "page_param": "page"}, "one of"),
        ({"next_param": "cursor"}, "next_path"),
    ],
)
def test_a_poll_that_contradicts_itself_is_refused(wrong: dict[str, object], wish: str) -> None:
    with pytest.raises(ValueError, match=wish):
        PollSettings(**wrong)  # type: ignore[arg-type]  # the table's values are of many types
