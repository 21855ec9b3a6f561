"""Reading a provider's API: what is asked for, and the durable cursor, moved on once what lies before it is durable."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event
from domain.settings_base import Settings

LOCAL_URLS = tuple(f"http://{host}{end}" for host in ("127.0.0.1", "localhost", "[::1]") for end in (":", "/"))


class PollSettings(Settings, frozen=True, kw_only=True):
    """An API that is read at intervals, beside or in the place of webhooks: docs/sources/polling.md.

    Args:
        url: what is asked for; for `stripe` it may be left empty.
        key: the bearer credential; empty sends none.
        every_s: the interval between two rounds.
        timeout_s: how long an answer is waited for.
        page_size: how many items a page has, where the API can be told (at most 100 at Stripe).
        overlap_s: how far back each round reads again, for what appears late; what was sent on is not sent twice.
        lookback_s: how far back the first round reads.
        headers: further request headers.
        params: further query parameters, e.g. `delivery_success = "false"`.
        items_path: where the list of items stands in the answer; empty if the answer is the list.
        next_path: where the answer says how to go on: a cursor, or the URL of the next page.
        next_param: the query parameter that takes that cursor; empty if it is a URL.
        page_param: the query parameter that takes the number of a page, from 1; pages are read until one is empty.
        size_param: the query parameter that takes `page_size`.
        since_param: the query parameter that takes the time from which on items are wanted.
        since_path: where an item says when it was changed.
        since_format: how that time is written: `rfc3339`, `s` or `ms` (since 1970).
    """

    url: str = ""
    key: str = ""
    every_s: float = 60.0
    timeout_s: float = 20.0
    page_size: int = 100
    overlap_s: float = 60.0
    lookback_s: float = 30 * 86_400.0
    headers: dict[str, str] = {}
    params: dict[str, str] = {}
    items_path: str = ""
    next_path: str = ""
    next_param: str = ""
    page_param: str = ""
    size_param: str = ""
    since_param: str = ""
    since_path: str = ""
    since_format: Literal["rfc3339", "s", "ms"] = "rfc3339"

    def __post_init__(self) -> None:
        """Raises `ValueError` with what to change if the settings contradict each other."""
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError("poll.url: it begins with https:// or http://")
        if self.key and self.url.startswith("http://") and not self.url.startswith(LOCAL_URLS):
            raise ValueError("poll.url: a key is sent over https:// alone, or to this machine")
        for name in ("every_s", "timeout_s", "page_size"):
            if getattr(self, name) <= 0:
                raise ValueError(f"poll.{name}: above 0")
        for name in ("overlap_s", "lookback_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"poll.{name}: not below 0")
        if bool(self.since_param) != bool(self.since_path):
            raise ValueError("poll: since_param needs since_path, and the other way round")
        if self.page_param and (self.next_param or self.next_path):
            raise ValueError("poll: pages are found by one of page_param and next_path")
        if self.next_param and not self.next_path:
            raise ValueError("poll: next_param needs next_path")


class AdvanceCursor(Command, frozen=True, kw_only=True, tag="poll.advance_cursor"):
    """What lies between two cursors is durable.

    Args:
        before: the cursor that the reader started from, so that of two readers only one moves it on.
        after: where to go on from; the API's own words, or what the poller makes of them.
        etag: names the state of the API that was read (RFC 9110, 8.8.3); empty if it gives none.
        messages: how many messages were sent on since the last time.
    """

    before: str
    after: str
    etag: str = ""
    messages: int = 0


PollCommand = AdvanceCursor


class CursorAdvanced(Event, frozen=True, kw_only=True, tag="poll.cursor_advanced"):
    cursor: str
    etag: str = ""
    messages: int = 0


PollEvent = CursorAdvanced


class Poll(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go on from; an empty cursor is the beginning."""

    cursor: str = ""
    etag: str = ""


class PollDecider:
    """A cursor moves on from where it is."""

    tag: Category = "poll"

    def initial(self) -> Poll:
        return Poll()

    def decide(self, state: Poll, command: PollCommand, at: datetime) -> Sequence[PollEvent]:
        """Raises `Rejection("poll.cursor_moved")` if another reader was here; it may be followed or begun anew."""
        if state.cursor == command.after and state.etag == command.etag:
            return []
        if state.cursor != command.before:
            raise Rejection(
                "poll.cursor_moved", "another reader moved the cursor on; what was read is durable and may come twice"
            )
        return [CursorAdvanced(cursor=command.after, etag=command.etag, messages=command.messages)]

    def evolve(self, state: Poll, event: PollEvent) -> Poll:
        return Poll(cursor=event.cursor, etag=event.etag)
