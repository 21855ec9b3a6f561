"""Where messages come from: one module per provider, all of the shape in `gateway.sources.port`."""

from collections.abc import Mapping

from gateway.sources import stripe
from gateway.sources.port import SourceModule

SOURCES: Mapping[str, SourceModule] = {stripe.name: stripe}
