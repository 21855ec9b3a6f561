"""The peer of `recount bench saga`: the same saga as a workflow of DBOS Transact (https://docs.dbos.dev/python).

A workflow is recorded when it begins and when it ends, and each step when it is done; a step that fails is tried again
inside the process, without a record. So DBOS writes four times for a saga of ours that writes five, which has its
deadline and its failed attempt in the log as well.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec

from domain.errors import TerminalError
from simulations.saga_account import Account

Way = Literal["threads", "async", "started"]
Journal = Literal["delete", "wal"]
ATTEMPTS_MAX = 8


class DbosRun(msgspec.Struct, frozen=True, kw_only=True):
    """What DBOS did in one configuration.

    Args:
        way: `threads` (each of `at_once` threads calls one workflow after the other), `async` (as many at once on one
            event loop) or `started` (handed to DBOS's own executor with as many threads).
        journal: SQLite's journal: `delete` is what DBOS uses unasked, `wal` is what was chosen for it.
        at_once: workflows under way at once.
        sagas: how many.
        per_second: of them.
    """

    way: Way
    journal: Journal
    at_once: int
    sagas: int
    per_second: float


def version() -> str:
    """The installed version. Raises `TerminalError` if there is none."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - asked here alone

    try:
        return version("dbos")
    except PackageNotFoundError as error:
        raise TerminalError("DBOS is not installed: it is in the development group (make setup)") from error


def synchronous(path: Path) -> str:
    """How SQLite syncs where nobody says, which is what DBOS does: `full` unless SQLite was compiled otherwise."""
    with sqlite3.connect(path) as connection:
        [level] = connection.execute("PRAGMA synchronous").fetchone()
    connection.close()
    return ("off", "normal", "full", "extra")[level]


def run_dbos(directory: Path, *, way: Way, journal: Journal, at_once: int, sagas: int) -> DbosRun:
    """Run so many sagas, from the first start to the last end. Raises `TerminalError` if one did not end."""
    from dbos import DBOS  # noqa: PLC0415 - of the development group alone

    directory.mkdir(parents=True)
    path = directory / "dbos.sqlite"
    if journal == "wal":
        # The file keeps its journal's mode, whoever opens it.
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    account = Account()
    ids = [f"pi_{number}" for number in range(sagas)]
    DBOS(
        config={
            "name": "recount-bench",
            "system_database_url": f"sqlite:///{path}",
            "log_level": "CRITICAL",
            "max_executor_threads": at_once,
        }
    )
    try:
        drive = _drive(account, ids, way, at_once)
        DBOS.launch()
        started_s = time.perf_counter()
        ends = drive()
        took_s = time.perf_counter() - started_s
    finally:
        DBOS.destroy(destroy_registry=True)
    if ends != ["canceled"] * sagas or account.canceled != set(ids):
        raise TerminalError(f"DBOS ended {len(account.canceled)} of {sagas} sagas")
    return DbosRun(way=way, journal=journal, at_once=at_once, sagas=sagas, per_second=round(sagas / took_s, 1))


def _drive(account: Account, ids: list[str], way: Way, at_once: int) -> Callable[[], list[str]]:
    """Registers the workflow, and what runs it for all ids, each `at_once` at a time."""
    if way == "async":
        return lambda: asyncio.run(_all_async(_async_saga(account), ids, at_once))
    saga = _saga(account)
    if way == "threads":
        return lambda: _in_threads(saga, ids, at_once)
    return lambda: _started(saga, ids, at_once)


def _saga(account: Account) -> Callable[[str], str]:
    from dbos import DBOS  # noqa: PLC0415 - of the development group alone

    @DBOS.step(retries_allowed=True, interval_seconds=0.0, max_attempts=ATTEMPTS_MAX)
    def read(payment_id: str) -> str:
        return _or_away(account.read(payment_id))

    @DBOS.step(retries_allowed=True, interval_seconds=0.0, max_attempts=ATTEMPTS_MAX)
    def cancel(payment_id: str) -> str:
        return account.cancel(payment_id)

    @DBOS.workflow()
    def saga(payment_id: str) -> str:
        status = read(payment_id)
        return cancel(payment_id) if status == "pending" else status

    return saga


def _async_saga(account: Account) -> Callable[[str], Coroutine[Any, Any, str]]:
    from dbos import DBOS  # noqa: PLC0415 - of the development group alone

    @DBOS.step(retries_allowed=True, interval_seconds=0.0, max_attempts=ATTEMPTS_MAX)
    async def read(payment_id: str) -> str:
        return _or_away(account.read(payment_id))

    @DBOS.step(retries_allowed=True, interval_seconds=0.0, max_attempts=ATTEMPTS_MAX)
    async def cancel(payment_id: str) -> str:
        return account.cancel(payment_id)

    @DBOS.workflow()
    async def saga(payment_id: str) -> str:
        status = await read(payment_id)
        return await cancel(payment_id) if status == "pending" else status

    return saga


class _AwayError(Exception):
    """The provider does not answer."""


def _or_away(status: str | None) -> str:
    if status is None:
        raise _AwayError
    return status


def _in_threads(saga: Callable[[str], str], ids: list[str], at_once: int) -> list[str]:
    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(saga, ids))


def _started(saga: Callable[[str], str], ids: list[str], at_once: int) -> list[str]:
    from dbos import DBOS  # noqa: PLC0415 - of the development group alone

    with ThreadPoolExecutor(at_once) as starting:
        handles = list(starting.map(lambda payment_id: DBOS.start_workflow(saga, payment_id), ids))
    return [handle.get_result() for handle in handles]


async def _all_async(saga: Callable[[str], Coroutine[Any, Any, str]], ids: list[str], at_once: int) -> list[str]:
    free = asyncio.Semaphore(at_once)

    async def one(payment_id: str) -> str:
        async with free:
            return await saga(payment_id)

    return await asyncio.gather(*map(one, ids))
