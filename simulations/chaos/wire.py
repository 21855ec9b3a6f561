"""A link of real packets to a server in a network namespace of its own, in whatever weather.

A packet that is lost here is lost: the kernels at both ends find out, and send it again when they think fit, as they
would over a cable. One that takes longer than the next is overtaken by it.
"""

import asyncio
import os
import random

from simulations.chaos.links import FAIR, Seen, Weather
from simulations.chaos.tunnel import PACKET_BYTES_MAX, Tunnel, open_tunnel

# So many packets of one direction, then others have their turn.
BURST_PACKETS = 64
_IPV4 = 4


class Wire:
    """Forwards the packets of two namespaces to each other, in the event loop: whoever blocks that blocks the link.

    Args:
        seed: of jitter and losses.
    """

    backend = "packets between TUN devices"
    can_reorder = True

    def __init__(self, *, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._weather = FAIR
        self._tunnel: Tunnel | None = None
        self._sent = 0
        # The number of the last packet that arrived, by the device to which it was written.
        self._newest: dict[int, int] = {}
        self.seen = Seen()
        self.host = ""
        self.port = 0

    async def start(self) -> None:
        """Make both ends. Raises `OSError` where they cannot be had."""
        tunnel = self._tunnel = await asyncio.to_thread(open_tunnel)
        self.host = tunnel.host
        loop = asyncio.get_running_loop()
        loop.add_reader(tunnel.near, self._take, tunnel.near, tunnel.far)
        loop.add_reader(tunnel.far, self._take, tunnel.far, tunnel.near)

    @property
    def entering(self) -> tuple[str, ...]:
        """Put before a server's command, it has it listen at the other end."""
        assert self._tunnel is not None, "the wire was not started"
        return self._tunnel.entering

    async def stop(self) -> None:
        """Take both ends away; what is under way is lost."""
        tunnel, self._tunnel = self._tunnel, None
        assert tunnel is not None, "the wire was not started"
        loop = asyncio.get_running_loop()
        loop.remove_reader(tunnel.near)
        loop.remove_reader(tunnel.far)
        tunnel.close()

    def turn(self, weather: Weather) -> None:
        """From now on it is like this. What was counted begins anew."""
        self._weather, self.seen = weather, Seen()

    def _take(self, device: int, other: int) -> None:
        """Packets wait in a device."""
        for _ in range(BURST_PACKETS):
            try:
                packet = os.read(device, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            # What the kernel has to say over IPv6 on every new device has nobody to hear it.
            if packet[0] >> 4 == _IPV4:
                self._send(packet, other)

    def _send(self, packet: bytes, to: int) -> None:
        weather, rng, seen = self._weather, self._rng, self.seen
        seen.pieces += 1
        self._sent += 1
        if weather.is_cut:
            seen.dropped += 1
        elif rng.random() < weather.loss_share:
            seen.lost += 1
        elif (travel_s := weather.delay_s + rng.uniform(-weather.jitter_s, weather.jitter_s)) > 0:
            seen.delayed += 1
            asyncio.get_running_loop().call_later(travel_s, self._arrive, packet, to, self._sent)
        else:
            self._arrive(packet, to, self._sent)

    def _arrive(self, packet: bytes, to: int, number: int) -> None:
        if self._tunnel is None:
            return
        if self._weather.is_cut:
            self.seen.dropped += 1
            return
        self.seen.overtaken += number < self._newest.get(to, 0)
        self._newest[to] = max(number, self._newest.get(to, 0))
        os.write(to, packet)
