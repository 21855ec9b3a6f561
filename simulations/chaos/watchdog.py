"""`python -m simulations.chaos.watchdog JOURNAL`: waits for its runner's end, and takes back what that left behind.

The runner holds the other end of our standard input. However it ends, the system closes it.
"""

import signal
import subprocess
import sys
from pathlib import Path

from domain.errors import TerminalError
from simulations.chaos.undo import clean_up, watched

START_TIMEOUT_S = 20.0


class Watchdog:
    """The watchdog of this process.

    Args:
        journal: what it takes back.
    """

    def __init__(self, journal: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulations.chaos.watchdog", str(journal)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Signals for the runner's group, Ctrl-C for one, are not for it.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"watching\n":
            raise TerminalError(f"the watchdog of {journal} did not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> int:
        """Have it take back what is left, and return its status: 0 if nothing is left."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait(START_TIMEOUT_S)
        self._process.stdout.close()
        return status


def main() -> None:
    """Wait for the end of standard input, then clean up."""
    journal = Path(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lock = watched(journal)
    if lock is None:
        sys.exit(f"{journal} is watched already")
    sys.stdout.write("watching\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    failed = clean_up(journal)
    sys.exit("\n".join(failed) if failed else 0)


if __name__ == "__main__":
    main()
