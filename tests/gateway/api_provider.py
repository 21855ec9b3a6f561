"""A provider's API over real HTTP, for one test: Stripe's list of events, a list of another kind, and its bad days."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

Json = dict[str, Any]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]


class Told(msgspec.Struct, kw_only=True):
    """One answer; without a status the connection is dropped, with `hangs` nothing comes until the test ends."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    hangs: bool = False


class Provider:
    """What the API has, what it was asked, and what it answers instead for as long as `instead` lasts."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.instead: deque[Told] = deque()
        self.events: list[Json] = []
        self.items: list[Json] = []
        self.page_size = 100
        self.ended = threading.Event()

    def add(self, event: bytes) -> None:
        """An event happens: it is the newest from now on."""
        self.events.insert(0, json.loads(event))

    def answer(self, asked: Asked) -> Told:
        self.asked.append(asked)
        if self.instead:
            return self.instead.popleft()
        match asked.path:
            case "/v1/events":
                return self._events(asked.params)
            case "/pages":
                return self._pages(asked)
            case "/linked":
                return self._linked(int(asked.params.get("from", "0")))
            case "/feed":
                return self._feed(int(asked.params.get("cursor", "0")))
            case "/changed":
                since = asked.params.get("updated_after", "")
                return Told(body=[item for item in self.items if item["updated_at"] >= since])
        return Told(status=404)

    def _events(self, params: dict[str, str]) -> Told:
        """https://docs.stripe.com/api/pagination: newest first; a page ends before or starts after an id."""
        found = [each for each in self.events if each["created"] >= int(params.get("created[gte]", "0"))]
        names = [each["id"] for each in found]
        limit = int(params["limit"])
        cursor = params.get("ending_before", params.get("starting_after", ""))
        if cursor and cursor not in names:
            return Told(status=400, body={"error": {"code": "resource_missing"}})
        if "ending_before" in params:
            newer = found[: names.index(cursor)]
            return Told(body={"object": "list", "data": newer[-limit:], "has_more": len(newer) > limit})
        older = found[names.index(cursor) + 1 :] if cursor else found
        return Told(body={"object": "list", "data": older[:limit], "has_more": len(older) > limit})

    def _pages(self, asked: Asked) -> Told:
        number = int(asked.params.get("page", "1"))
        page = self.items[(number - 1) * self.page_size : number * self.page_size]
        etag = f'"{len(self.items)}"'
        if asked.headers.get("if-none-match") == etag:
            return Told(status=304, headers={"ETag": etag})
        return Told(body={"result": {"rows": page}}, headers={"ETag": etag})

    def _linked(self, start: int) -> Told:
        end = start + self.page_size
        following = f"/linked?from={end}" if end < len(self.items) else None
        return Told(body={"items": self.items[start:end], "links": {"next": following}})

    def _feed(self, start: int) -> Told:
        page = self.items[start : start + self.page_size]
        return Told(body={"items": page, "next": str(start + len(page))})


@contextmanager
def running() -> Iterator[Provider]:
    """A provider on a free port, gone when the block is left."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = provider.answer(Asked(path=parts.path, params=dict(parse_qsl(parts.query)), headers=headers))
            if told.hangs:
                provider.ended.wait(30)
            if told.hangs or not told.status:
                self.close_connection = True
                return
            raw = told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode()
            raw = b"" if told.status == 304 else raw
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        provider.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
