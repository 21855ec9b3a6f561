"""Adyen accounts that take the money with the authorisation: the notifications are the same, and mean more.

"By default, automatic captures send no CAPTURE event" (https://docs.adyen.com/online-payments/capture), so a successful
AUTHORISATION is all that is heard of a payment that was captured.
"""

from collections.abc import Mapping

from gateway.sources import adyen
from gateway.sources.adyen_events import AUTOMATIC_CAPTURE
from gateway.sources.port import Reading, Unreadable

name = "adyen-automatic-capture"
acknowledgement = adyen.acknowledgement
verify = adyen.verify


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """As `adyen.read`, with an authorisation that has the money."""
    return adyen.read_items(raw, ref, AUTOMATIC_CAPTURE)
