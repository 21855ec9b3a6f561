"""What takes faults back: written to a journal before a fault is injected, so that another process can do it too.

An undo is data, not code: whoever reads the journal after the runner has died needs nothing else.
"""

import fcntl
import os
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from domain.errors import TerminalError
from simulations.chaos.control_groups import dissolve
from simulations.chaos.processes import descendants, is_same

END_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.02
_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "as": resource.RLIMIT_AS}


class Resume(msgspec.Struct, frozen=True, kw_only=True, tag="resume"):
    """Let a stopped process go on."""

    pid: int
    started: int


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """End a process with all below it."""

    pid: int
    started: int


class Limit(msgspec.Struct, frozen=True, kw_only=True, tag="limit"):
    """Give a process its limit back (setrlimit(2))."""

    pid: int
    started: int
    what: str
    soft: int
    hard: int


class Release(msgspec.Struct, frozen=True, kw_only=True, tag="release"):
    """Put the processes of a control group back into the one that they came from, and remove the group."""

    group: str
    home: str


class Remove(msgspec.Struct, frozen=True, kw_only=True, tag="remove"):
    """Remove a file, or a directory with all that is in it."""

    path: str


class Zero(msgspec.Struct, frozen=True, kw_only=True, tag="zero"):
    """Overwrite a control page with zeros, in place: others have it in their memory."""

    path: str


Undo = Resume | End | Limit | Release | Remove | Zero


class _Planned(msgspec.Struct, frozen=True, tag="planned"):
    number: int
    undo: Undo


class _Done(msgspec.Struct, frozen=True, tag="done"):
    number: int


def apply(undo: Undo) -> None:
    """Take it back. What is gone needs nothing; done twice it changes nothing."""
    match undo:
        case Resume(pid=pid, started=started):
            if is_same(pid, started):
                os.kill(pid, signal.SIGCONT)
        case End(pid=pid, started=started):
            if is_same(pid, started):
                _end(pid)
        case Limit(pid=pid, started=started, what=what, soft=soft, hard=hard):
            if is_same(pid, started):
                resource.prlimit(pid, _LIMITS[what], (soft, hard))
        case Release(group=group, home=home):
            dissolve(Path(group), Path(home))
        case Remove(path=path):
            with suppress(FileNotFoundError, NotADirectoryError):
                if Path(path).is_dir():
                    shutil.rmtree(path)
                else:
                    Path(path).unlink()
        case Zero(path=path):
            with suppress(FileNotFoundError), Path(path).open("r+b") as page:
                page.write(bytes(os.fstat(page.fileno()).st_size))


def _end(pid: int) -> None:
    below = [(each.pid, each.started) for each in descendants(pid)]
    for each in (pid, *(child for child, _ in below)):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while any(is_same(*each) for each in below) and time.monotonic() < deadline_s:
        time.sleep(LOOK_EVERY_S)


class UndoJournal:
    """What is still to be taken back, in a file that outlives whoever writes it.

    Args:
        path: of the file; what is in it already is still to be taken back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = _read(path)
        self._next = max(self._open, default=0) + 1
        self._file = path.open("ab", buffering=0)

    def plan(self, undo: Undo) -> int:
        """Returns the undo's number once it is on the disk: only then may the fault be injected."""
        number, self._next = self._next, self._next + 1
        self._append(_Planned(number, undo))
        self._open[number] = undo
        return number

    def apply(self, number: int) -> None:
        """Take one back, if that was not done already. Raises what the operating system refuses."""
        undo = self._open.get(number)
        if undo is None:
            return
        apply(undo)
        self._append(_Done(number))
        del self._open[number]

    def drop(self, number: int) -> None:
        """There is nothing to be taken back any more: its fault was not injected, or it ended in good order."""
        if self._open.pop(number, None) is not None:
            self._append(_Done(number))

    def apply_all(self) -> list[str]:
        """Take everything back, last first, and return what could not be."""
        failed = []
        for number in sorted(self._open, reverse=True):
            undo = self._open[number]
            try:
                self.apply(number)
            except OSError as error:
                failed.append(f"{undo}: {error}")
        return failed

    @property
    def outstanding(self) -> list[Undo]:
        """What is not taken back yet, in the order in which it was planned."""
        return [self._open[number] for number in sorted(self._open)]

    def close(self) -> None:
        self._file.close()

    def _append(self, record: _Planned | _Done) -> None:
        self._file.write(msgspec.json.encode(record) + b"\n")
        os.fsync(self._file.fileno())


def _read(path: Path) -> dict[int, Undo]:
    """What a journal says is to be taken back; a last line that was not written whole was never acted on."""
    found: dict[int, Undo] = {}
    if not path.exists():
        return found
    for line in path.read_bytes().split(b"\n"):
        try:
            record = msgspec.json.decode(line, type=_Planned | _Done)
        except msgspec.DecodeError:
            continue
        if isinstance(record, _Planned):
            found[record.number] = record.undo
        else:
            found.pop(record.number, None)
    return found


def journals() -> Path:
    """The directory of journals, nobody's but ours. Raises `TerminalError` where it belongs to somebody else."""
    directory = Path(tempfile.gettempdir()) / f"recount-chaos-{os.geteuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if directory.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise TerminalError(
            f"{directory} is open to others, who could have this program undo what they like; remove it"
        )
    return directory


def watched(path: Path) -> BinaryIO | None:
    """The lock of whoever answers for a journal, `None` if another process has it."""
    lock = path.with_suffix(".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def forgotten() -> Iterator[Path]:
    """Journals that nobody answers for: their runners and watchdogs are both gone."""
    for path in sorted(journals().glob("*.jsonl")):
        if (lock := watched(path)) is not None:
            yield path
            lock.close()


def clean_up(path: Path) -> list[str]:
    """Take back what a journal says, and remove it if all could be. Returns what could not be."""
    journal = UndoJournal(path)
    failed = journal.apply_all()
    journal.close()
    if not failed:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)
    return failed
