"""Both ends of a connection that says everything again: a server, also one elsewhere, and a client."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SERVER = """
import socket, sys, threading

def say_again(connection):
    while words := connection.recv(65536):
        connection.sendall(words)

with socket.create_server((sys.argv[1], 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=say_again, args=server.accept()[:1], daemon=True).start()
"""


async def say_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server in this process."""
    while said := await reader.read(1_024):
        writer.write(said)
    writer.close()


@contextmanager
def server_at(host: str, entering: Sequence[str]) -> Iterator[int]:
    """A server in a process of its own, which a command may bring elsewhere; its port."""
    command = [*entering, sys.executable, "-S", "-E", "-c", SERVER, host]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        try:
            yield int(started.stdout.readline())
        finally:
            started.kill()


class Client:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, host: str, port: int) -> "Client":
        return cls(*await asyncio.open_connection(host, port))

    async def round_trip_s(self, words: bytes, timeout_s: float = 5.0) -> float:
        """How long it takes until they come back."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        self.writer.write(words)
        async with asyncio.timeout(timeout_s):
            assert await self.reader.readexactly(len(words)) == words
        return loop.time() - begun_s

    def close(self) -> None:
        self.writer.transport.abort()
