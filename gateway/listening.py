"""The socket of the HTTP server. It is there before all that takes long to import, and imports nothing of that."""

import socket

from domain.errors import TerminalError


def bind(listen: str) -> socket.socket:
    """A listening socket for HOST:PORT; port 0 takes a free one. Raises `TerminalError` if it cannot be had."""
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or not host:
        raise TerminalError(f"http.listen {listen!r}: write HOST:PORT, e.g. 127.0.0.1:8080")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), int(port)))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise TerminalError(f"http.listen {listen!r}: {reason}; name another, or port 0 for a free one") from error
    bound.listen(2048)
    return bound
