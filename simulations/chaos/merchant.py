"""A merchant's endpoint: takes what the node tells it, and knows if it was told one thing as two."""

import asyncio
import hashlib
from collections import defaultdict
from contextlib import suppress

HOST = "127.0.0.1"
SECRET = "whsec_Y2hhb3Mtb2YtcmVjb3VudC1jaGFvcw=="  # noqa: S105 - of an endpoint that lives as long as a run
READ_TIMEOUT_S = 10.0
_REPLY = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


class Merchant:
    """Takes notifications (Standard Webhooks) over HTTP on a free port, and remembers them by their id."""

    def __init__(self) -> None:
        self._bodies: defaultdict[str, set[str]] = defaultdict(set)
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._take, HOST, 0)
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}/"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def told(self, name: str, body: bytes) -> None:
        """One notification, which may come again under the same id."""
        self._bodies[name].add(hashlib.sha256(body).hexdigest())

    @property
    def count(self) -> int:
        """How many different ones came."""
        return len(self._bodies)

    def doubled(self) -> list[str]:
        """What was told as two things: one body under two ids, or two under one."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name, each in self._bodies.items():
            for body in each:
                names[body].append(name)
        bodies = self._bodies.items()
        found = [f"notification {name} came with {len(each)} bodies" for name, each in bodies if len(each) > 1]
        return [*found, *(f"one came as {', '.join(sorted(same))}" for same in names.values() if len(same) > 1)]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, TimeoutError, ValueError, KeyError, asyncio.LimitOverrunError):
            async with asyncio.timeout(READ_TIMEOUT_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
                }
                body = await reader.readexactly(int(headers["content-length"]))
                self.told(headers["webhook-id"], body)
                writer.write(_REPLY)
                await writer.drain()
        writer.close()
