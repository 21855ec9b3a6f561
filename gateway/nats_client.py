"""A client of nats-server that notices a link over which nothing comes back."""

import socket
import sys

from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport

# What was sent and is not acknowledged for so long, as long as a publisher waits, ends the connection (tcp(7)). Without
# it a connection outlives a cut link, sends again at twice the interval each time, up to two minutes, and is as late
# when the link is whole. Pings do not help: before it makes a new connection the library waits until the old one has
# sent all that was written to it.
UNACKNOWLEDGED_MAX_S = 5.0


class NatsClient(Client):
    """As the library's, over connections that end when nothing is acknowledged any more."""

    async def _connect_to_server(self, s: Srv) -> None:
        # No public way leads to the socket. Every connection, the first and those after it, is made here.
        await super()._connect_to_server(s)
        if sys.platform == "linux" and isinstance(self._transport, TcpTransport):
            writer = self._transport._io_writer  # noqa: SLF001 - as above
            assert writer is not None, "it has just been connected"
            writer.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNACKNOWLEDGED_MAX_S * 1_000)
            )
