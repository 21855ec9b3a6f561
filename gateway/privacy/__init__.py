"""Personal data: what is taken out of text before it is kept."""

from gateway.privacy.keys import tenant_key
from gateway.privacy.known import KnownSubjects
from gateway.privacy.scrubber import Scrubbed, Scrubber

__all__ = ["KnownSubjects", "Scrubbed", "Scrubber", "tenant_key"]
