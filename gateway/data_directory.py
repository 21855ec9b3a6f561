"""A node's directory: one node at a time."""

import fcntl
from pathlib import Path
from typing import BinaryIO

from domain.errors import TerminalError


def claim(data: Path) -> BinaryIO:
    """Make the directory if need be, and hold it until the file is closed or the process ends.

    Raises `TerminalError` if it cannot be written, or another node holds it: two nodes on one directory would be two
    servers on one stream.
    """
    data = data.resolve()
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("ab")
    except OSError as error:
        raise TerminalError(f"data {str(data)!r} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise TerminalError(
            f"data {str(data)!r} is used by another node; stop it, or give this one a directory of its own"
        ) from error
    return lock
