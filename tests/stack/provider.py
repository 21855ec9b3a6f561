"""A provider outside the stack: it sends each webhook again until it is taken."""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit

from simulations.disorder import stripe_headers
from tests.stack.stack import Stack, secret, until

CONNECTIONS = 24
RETRY_AFTER_S = 0.1
ANSWER_TIMEOUT_S = 20.0
SEND_TIMEOUT_S = 150.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Provider:
    """Sends webhooks in their order, some at a time, from a thread of its own, until every one was answered 202.

    Anything else is sent again later, newly signed: another status, a connection that breaks, no answer in time.
    `accepted` counts the webhooks that were taken, `failures` the tries that were not.
    """

    def __init__(self, stack: Stack, tenant: str, bodies: Sequence[bytes]) -> None:
        self._address = urlsplit(stack.url)
        self._path = f"/v1/{tenant}/webhooks/stripe"
        self._secret = secret(tenant)
        self._waiting = deque(bodies)
        self._count = len(bodies)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._gives_up = False
        self.accepted = 0
        self.failures = 0
        self.refusals: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._gives_up = error is not None
        if error is None:
            self._thread.join(SEND_TIMEOUT_S)
            assert not self._thread.is_alive(), f"{self.accepted} of {self._count} taken, {self.refusals}"
            if self._error is not None:
                raise self._error

    def wait_for(self, accepted: int) -> None:
        """Wait until so many webhooks were taken."""
        until(
            lambda: self.accepted >= accepted or self._error is not None,
            f"{accepted} webhooks are taken; {self.accepted} are",
            SEND_TIMEOUT_S,
        )

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as error:
            self._error = error
            raise

    async def _send_all(self) -> None:
        async with asyncio.TaskGroup() as senders:
            for _ in range(CONNECTIONS):
                senders.create_task(self._send())

    async def _send(self) -> None:
        connection: Connection | None = None
        while self.accepted < self._count and not self._gives_up:
            if not self._waiting:
                await asyncio.sleep(RETRY_AFTER_S)  # Another sender may have to give its webhook back.
                continue
            body = self._waiting.popleft()
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    if connection is None:
                        connection = await asyncio.open_connection(self._address.hostname, self._address.port)
                    status = await self._post(connection, body)
            except (OSError, EOFError, TimeoutError):
                _close(connection)
                status, connection = 0, None
            if status == 202:
                self.accepted += 1
                continue
            self.failures += 1
            self.refusals[status] = self.refusals.get(status, 0) + 1
            self._waiting.append(body)
            await asyncio.sleep(RETRY_AFTER_S)
        _close(connection)

    async def _post(self, connection: Connection, body: bytes) -> int:
        reader, writer = connection
        headers = {
            "Host": self._address.netloc,
            "Content-Length": str(len(body)),
            **stripe_headers(body, self._secret, datetime.now(UTC)),
        }
        lines = [f"POST {self._path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(head.partition("content-length:")[2].split("\r\n", 1)[0]))
        return int(head.split(" ", 2)[1])


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection[1].close()
