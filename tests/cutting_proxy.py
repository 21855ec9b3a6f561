"""A way to a TCP server that can be cut at a chosen moment, as networks are."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Self

When = Literal["before", "after", "at reply"]
PIECE_BYTES = 65_536


class CuttingProxy:
    """Forwards connections to a port of this machine, and cuts one of them once.

    `cut(when, word)` chooses: the connection whose client sends `word` next is cut `before` the server hears it, right
    `after` it was passed on, or `at reply`, with the server's answer in hand. What comes later goes through again.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._planned: tuple[When, bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.cuts = 0

    def cut(self, when: When, word: bytes) -> None:
        self._planned = (when, word)

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # A listener that is shut down wakes whoever accepts; closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            _close(each)
        for thread in self._threads:
            thread.join()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._sockets += [client, server]
            self._begin(self._to_server, client, server)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        is_cut = threading.Event()
        self._begin(self._to_client, server, client, is_cut)
        with suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                if self._planned is not None and self._planned[1] in piece:
                    when, self._planned = self._planned[0], None
                    self.cuts += 1
                    is_cut.set()
                    if when != "before":
                        server.sendall(piece)
                    if when != "at reply":
                        break
                    continue
                server.sendall(piece)
        _close(client)
        _close(server)

    def _to_client(self, server: socket.socket, client: socket.socket, is_cut: threading.Event) -> None:
        with suppress(OSError):
            while piece := server.recv(PIECE_BYTES):
                if is_cut.is_set():
                    break
                client.sendall(piece)
        _close(client)
        _close(server)


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
