"""A link that can be made to suffer: its weather, what was done to what is sent over it, and what every one offers.

The vocabulary of faults is Toxiproxy's (https://github.com/Shopify/toxiproxy).
"""

from typing import Protocol

import msgspec

HOST = "127.0.0.1"


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How it is on a link, in both directions.

    Args:
        delay_s: how long each piece is under way.
        jitter_s: up to how much more or less.
        loss_share: of all pieces, how many are lost.
        is_cut: nothing comes through.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss_share: float = 0.0
    is_cut: bool = False


FAIR = Weather()


class Seen(msgspec.Struct, kw_only=True):
    """What was done to pieces of a stream or to packets: the proof that a fault bit.

    Args:
        pieces: how many came.
        delayed: how many of them took longer.
        overtaken: how many arrived after one that was sent later.
        lost: how many were lost, each time that they were.
        held: how many waited for the link to be whole again.
        dropped: how many did not come through because it was cut.
    """

    pieces: int = 0
    delayed: int = 0
    overtaken: int = 0
    lost: int = 0
    held: int = 0
    dropped: int = 0


class Link(Protocol):
    """A way to a server, in whatever weather. `host` and `port` are where it begins."""

    host: str
    port: int
    backend: str
    can_reorder: bool
    seen: Seen

    def turn(self, weather: Weather) -> None:
        """From now on it is like this. What was counted begins anew."""

    async def stop(self) -> None:
        """End it, with every connection over it."""
