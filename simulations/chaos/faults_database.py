"""Faults of PostgreSQL: a session's process killed, the server crashed, stopped, read-only, full of connections."""

import asyncio
import os
import signal

from domain.errors import TerminalError
from simulations.chaos.injection import Injection, Place
from simulations.chaos.processes import descendants, is_same
from simulations.chaos.target import Target
from simulations.postgres_server import PostgresServer


def _server(target: Target | None) -> PostgresServer:
    if target is None or target.database is None:
        raise TerminalError("the target has no database of its own: its store is not postgresql")
    return target.database


async def kill_session(place: Place) -> Injection:
    """`kill -9` of one session's process: the server ends all sessions and recovers."""
    server = _server(place.target)
    sessions = [each for each in descendants(server.pid) if f"postgres: {server.user} " in each.command]
    if not sessions:
        raise TerminalError("nobody is connected to the database")
    os.kill(sessions[0].pid, signal.SIGKILL)

    async def are_gone() -> bool:
        return not any(is_same(each.pid, each.started) for each in sessions)

    return Injection(backend="SIGKILL of a session", has_bitten=are_gone)


async def crash_database(place: Place) -> Injection:
    """The server is gone without a checkpoint (immediate shutdown), and comes back when the fault is taken back."""
    server = _server(place.target)
    await asyncio.to_thread(server.stop, signal.SIGQUIT)

    async def is_away() -> bool:
        return not await asyncio.to_thread(server.answers)

    async def start() -> None:
        await asyncio.to_thread(server.start)
        assert place.target is not None
        place.target.plan_end(server.pid)

    return Injection(backend="immediate shutdown", has_bitten=is_away, heal=start)


async def make_read_only(place: Place) -> Injection:
    """Every transaction is read-only, as after a failover to a standby."""
    server = _server(place.target)
    turned_on = ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    await asyncio.to_thread(server.execute, *turned_on)

    async def refuses() -> bool:
        return not await asyncio.to_thread(server.takes_writes)

    async def turn_off() -> None:
        await asyncio.to_thread(
            server.execute,
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )

    return Injection(backend="default_transaction_read_only", has_bitten=refuses, heal=turn_off)


async def exhaust_connections(place: Place) -> Injection:
    """Others have all the connections that the server allows, and the node's own have ended."""
    server = _server(place.target)
    taken = await asyncio.to_thread(server.take_connections)

    async def is_full() -> bool:
        return not await asyncio.to_thread(server.answers)

    async def give_back() -> None:
        await asyncio.to_thread(taken.close)

    return Injection(backend="all of max_connections", has_bitten=is_full, heal=give_back)
