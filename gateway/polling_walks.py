"""How lists of an API are walked through: what to ask for next, what is in it, and how far that brings the cursor.

A walk is pure: answers in, requests and items out. Its cursor is what may be made durable once the items that were
taken so far are. It stays behind what is newer than the overlap: an API may show an item later than its time says.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import msgspec

from domain.errors import TerminalError
from domain.polling import PollSettings
from gateway.polling_http import Request
from gateway.sources.mapping_values import value_at

STRIPE_EVENTS = "https://api.stripe.com/v1/events"
PAGES_MAX = 10_000


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One message to be: its name, by which it is sent on once, and its bytes."""

    name: str
    body: bytes


class Walk(Protocol):
    """One round through a list."""

    # What to ask for next, `None` at the end.
    request: Request | None
    cursor: str

    def take(self, body: bytes) -> Sequence[Item]:
        """The items of an answer, oldest first where that is known. Raises `TerminalError` if it is no such list."""
        ...


class _StripeEvent(msgspec.Struct):
    id: str
    created: int


class _StripeList(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool = False


_stripe_list = msgspec.json.Decoder(_StripeList).decode
_stripe_event = msgspec.json.Decoder(_StripeEvent).decode


class StripeWalk:
    """Events of Stripe (https://docs.stripe.com/api/events/list), newest first in each page, kept for 30 days.

    From a cursor, the pages after it (`ending_before`), so that each page makes the next cursor. Without one, back from
    now (`starting_after`) to where the look-back ends, and the cursor is told at the end.
    """

    def __init__(self, settings: PollSettings, cursor: str, now: datetime) -> None:
        self.cursor = cursor
        self._url = settings.url or STRIPE_EVENTS
        self._headers = _headers(settings)
        self._params = {**settings.params, "limit": str(min(settings.page_size, 100))}
        self._settled_until = (now - timedelta(seconds=settings.overlap_s)).timestamp()
        self._is_forward = bool(cursor)
        self._newest_settled = ""
        if not cursor:
            self._params["created[gte]"] = str(int((now - timedelta(seconds=settings.lookback_s)).timestamp()))
        self.request: Request | None = self._ask({"ending_before": cursor} if cursor else {})

    def take(self, body: bytes) -> Sequence[Item]:
        try:
            page = _stripe_list(body)
            events = [(_stripe_event(raw), bytes(raw)) for raw in page.data]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TerminalError(f"{self._url}: this is no list of events: {error}") from error
        settled = next((event.id for event, _ in events if event.created <= self._settled_until), "")
        more = page.has_more and bool(events)
        if self._is_forward:
            self.cursor = settled or self.cursor
            self.request = self._ask({"ending_before": events[0][0].id}) if more else None
        else:
            self._newest_settled = self._newest_settled or settled
            self.request = self._ask({"starting_after": events[-1][0].id}) if more else None
            if not more:
                self.cursor = self._newest_settled
        return [Item(name=event.id, body=raw) for event, raw in reversed(events)]

    def _ask(self, params: dict[str, str]) -> Request:
        return Request(url=self._url, params={**self._params, **params}, headers=self._headers)


_json = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class JsonWalk:
    """Items of any list, by settings: pages by number or by what the answer says, from a time on or from a cursor.

    With `since_param` the cursor is the time of the newest item, told at the end of a round: pages need not be in
    order. With `next_param` alone it is the API's own, told after each page. Else there is none, and every round reads
    the whole list, unless the API says that it is unchanged.
    """

    def __init__(self, settings: PollSettings, cursor: str, now: datetime) -> None:
        self.cursor = cursor
        self._settings = settings
        self._headers = _headers(settings)
        self._pages = 1
        self._now = now
        self._newest = _parsed(cursor) if cursor and settings.since_param else None
        params = dict(settings.params)
        if settings.size_param:
            params[settings.size_param] = str(settings.page_size)
        if settings.since_param:
            start = self._newest - timedelta(seconds=settings.overlap_s) if self._newest else None
            params[settings.since_param] = self._written(start or now - timedelta(seconds=settings.lookback_s))
        elif settings.next_param and cursor:
            params[settings.next_param] = cursor
        if settings.page_param:
            params[settings.page_param] = "1"
        self._params = params
        self.request: Request | None = Request(url=settings.url, params=params, headers=self._headers)

    def take(self, body: bytes) -> Sequence[Item]:
        settings = self._settings
        try:
            answer = _json(body)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, ArithmeticError, RecursionError) as error:
            raise TerminalError(f"{settings.url}: the answer is not JSON") from error
        items = _at(answer, settings.items_path)
        if not isinstance(items, list):
            raise TerminalError(f"{settings.url}: there is no list at poll.items_path {settings.items_path!r}")
        if settings.since_path and items:
            self._newest = self._newest_of(items)
        self.request = self._next(answer, is_empty=not items)
        if self.request is None and settings.since_param and self._newest is not None:
            self.cursor = self._newest.isoformat()
        bodies = [_encode(item) for item in items]
        return [Item(name=_digest(each), body=each) for each in bodies]

    def _next(self, answer: object, *, is_empty: bool) -> Request | None:
        settings = self._settings
        self._pages += 1
        if self._pages > PAGES_MAX:
            raise TerminalError(f"{settings.url}: no end after {PAGES_MAX} pages; is poll.page_param what it takes?")
        if settings.page_param:
            params = {**self._params, settings.page_param: str(self._pages)}
            return None if is_empty else Request(url=settings.url, params=params, headers=self._headers)
        told = _at(answer, settings.next_path) if settings.next_path else None
        if told is None or told is False or told == "":
            return None
        if not isinstance(told, str | int):
            raise TerminalError(f"{settings.url}: what stands at poll.next_path {settings.next_path!r} is no cursor")
        if not settings.next_param:
            return Request(url=self._same_site(str(told)), headers=self._headers)
        asked = self._params.get(settings.next_param, "")
        self._params = {**self._params, settings.next_param: str(told)}
        if not settings.since_param:
            self.cursor = str(told)
        # A feed answers its end with the cursor that it was asked with.
        if is_empty or str(told) == asked:
            return None
        return Request(url=settings.url, params=self._params, headers=self._headers)

    def _same_site(self, told: str) -> str:
        """The next page's URL. Raises `TerminalError` for another host: it would be handed the credential."""
        url = urljoin(self._settings.url, told)
        if urlsplit(url)[:2] != urlsplit(self._settings.url)[:2]:
            raise TerminalError(f"{self._settings.url}: its next page is on another host, which is not asked")
        return url

    def _newest_of(self, items: Sequence[object]) -> datetime:
        """The newest time of the items so far; a time in the future would pass over what comes until then.

        Raises `TerminalError` if none of the items has one: the setting is wrong, and every round would begin anew.
        """
        times = [at for item in items if (at := self._time(item)) is not None]
        if not times:
            path = self._settings.since_path
            raise TerminalError(f"{self._settings.url}: no item has a time at poll.since_path {path!r}")
        return min(max([*times, *([self._newest] if self._newest else [])]), self._now)

    def _time(self, item: object) -> datetime | None:
        told = str(_at(item, self._settings.since_path))
        ticks = {"s": 1, "ms": 1_000}.get(self._settings.since_format)
        try:
            return _parsed(told) if ticks is None else datetime.fromtimestamp(float(told) / ticks, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def _written(self, at: datetime) -> str:
        match self._settings.since_format:
            case "s":
                return str(int(at.timestamp()))
            case "ms":
                return str(int(at.timestamp() * 1_000))
            case _:
                return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def walk_of(kind: str, settings: PollSettings, cursor: str, now: datetime) -> Walk:
    """How the API of a source of that kind is walked through from a cursor."""
    return StripeWalk(settings, cursor, now) if kind == "stripe" else JsonWalk(settings, cursor, now)


def _headers(settings: PollSettings) -> dict[str, str]:
    return {**settings.headers, **({"Authorization": f"Bearer {settings.key}"} if settings.key else {})}


def _at(answer: object, path: str) -> object:
    if not path:
        return answer
    return value_at(answer, path) if isinstance(answer, dict) else None


def _parsed(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
