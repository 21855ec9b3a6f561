"""A chat endpoint over real HTTP, for one test: it says what it is told to, in pieces, late, by halves or not."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

PIECE_CHARS = 7


class Speech(msgspec.Struct, kw_only=True):
    """What it says next. `finish` empty: the stream just ends; `is_cut`: the connection breaks; `hangs`: nothing more.

    `tokens` is what it says it cost, `None` for not a word of it.
    """

    text: str = ""
    status: int = 200
    finish: str = "stop"
    is_cut: bool = False
    hangs: bool = False
    tokens: tuple[int, int] | None = (50, 20)
    raw: bytes = b""


class ChatServer:
    """What it says, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.says = Speech()
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.ended = threading.Event()


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """An endpoint on a free port of this machine."""
    chat = ChatServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: _Handler(chat, *given))
    server.daemon_threads = True
    chat.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    try:
        yield chat
    finally:
        chat.ended.set()
        server.shutdown()
        server.server_close()
        serving.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, chat: ChatServer, *given: Any) -> None:
        self.chat = chat
        super().__init__(*given)

    def handle(self) -> None:
        with suppress(ConnectionError):  # Who has heard enough, or waited too long, hangs up.
            super().handle()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.chat.asked.append({"path": self.path, **json.loads(body)})
        self.chat.headers.append({name.lower(): value for name, value in self.headers.items()})
        says = self.chat.says
        self.send_response(says.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces = [says.text[at : at + PIECE_CHARS] for at in range(0, len(says.text), PIECE_CHARS)]
        for piece in pieces:
            self._send({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        if says.raw:
            self._write(says.raw)
        if says.hangs:
            self.chat.ended.wait(30)
        if says.is_cut or says.hangs:
            self.close_connection = True
            return
        if says.finish:
            self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": says.finish}]})
        if says.tokens is not None:
            read, written = says.tokens
            self._send({"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written}})
        self._write(b"data: [DONE]\n\n")
        self._write(b"")

    def _send(self, chunk: dict[str, Any]) -> None:
        self._write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def _write(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *given: Any) -> None:
        """Nobody reads it."""
