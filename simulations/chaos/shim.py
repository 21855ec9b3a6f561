"""Builds the shim (shim.c) and holds its control page: failing writes and fsyncs, a clock that is off."""

import errno
import os
import shutil
import struct
import subprocess
from pathlib import Path

from domain.errors import TerminalError

_SOURCE = Path(__file__).with_name("shim.c")
_HEAD = struct.Struct("=qiiq")
_PREFIX_BYTES = 4_000
_PAGE_BYTES = _HEAD.size + _PREFIX_BYTES
BUILD_TIMEOUT_S = 60


def compiler() -> str | None:
    """The C compiler of this machine, `None` without one."""
    return shutil.which("cc") or shutil.which("gcc")


class Shim:
    """A shim in a directory.

    Args:
        directory: for the library and its control page.
    """

    def __init__(self, directory: Path) -> None:
        self._library = directory / "libchaos.so"
        self.control = directory / "control"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be reached."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_SHIM_CONTROL": str(self.control)}

    def build(self) -> None:
        """Compile it, with a page that changes nothing. Raises `TerminalError` without a compiler."""
        compile_ = compiler()
        if compile_ is None:
            raise TerminalError("there is no C compiler here to build the shim with")
        self._library.parent.mkdir(parents=True, exist_ok=True)
        self.control.write_bytes(bytes(_PAGE_BYTES))
        command = [compile_, "-shared", "-fPIC", "-O2", "-o", str(self._library), str(_SOURCE), "-ldl"]
        built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
        if built.returncode:
            raise TerminalError(f"the shim cannot be built:\n{built.stderr[-1000:]}")

    def set(
        self, *, clock_offset_s: float = 0.0, fail_fsync: bool = False, fail_write: bool = False, prefix: str = ""
    ) -> None:
        """From now on it is like this; everything else is as it was meant to be."""
        head = _HEAD.pack(
            round(clock_offset_s * 1e9), errno.EIO if fail_fsync else 0, errno.ENOSPC if fail_write else 0, 0
        )
        _write(self.control, head + prefix.encode().ljust(_PREFIX_BYTES, b"\0"))

    @property
    def failures(self) -> int:
        """How many calls were made to fail since it was set last: the proof that it bit."""
        with self.control.open("rb") as page:
            failures: int = _HEAD.unpack(page.read(_HEAD.size))[3]
        return failures


def _write(control: Path, page: bytes) -> None:
    """In place: the file is mapped by others."""
    file = os.open(control, os.O_WRONLY)
    try:
        # The prefix before the errors that look at it.
        os.pwrite(file, page[_HEAD.size :], _HEAD.size)
        os.pwrite(file, page[: _HEAD.size], 0)
    finally:
        os.close(file)
