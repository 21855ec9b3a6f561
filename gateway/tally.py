"""What the hosts counted: messages that came and were put aside, by tenant and source; how late things are visible."""

from collections.abc import Awaitable, Callable, Collection, Mapping

import msgspec

from domain.errors import RetryableError
from domain.tenant_settings import TenantSettings
from projections.delays import Delays

ANSWER_TIMEOUT_S = 1.0

# For names that are not configured: senders choose them, and a metric must not have a label for each. No tenant's name
# begins with an underscore.
UNKNOWN = "_unknown"


class Tallied(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one tenant's source since the process started."""

    tenant: str
    source: str
    messages: int
    quarantined: int


class Tally:
    """Counts messages. Its size is bounded by the configuration, whatever comes.

    Args:
        tenants: who is configured.
        kinds: the sources that need no configuration, by name.
    """

    def __init__(self, tenants: Mapping[str, TenantSettings], *, kinds: Collection[str] = ()) -> None:
        self._tenants = tenants
        self._kinds = kinds
        self._counts: dict[tuple[str, str], list[int]] = {}

    def count(self, tenant: str, source: str, *, is_quarantined: bool) -> None:
        """Count one message."""
        of_tenant = self._tenants.get(tenant)
        if of_tenant is None:
            key = (UNKNOWN, UNKNOWN)
        else:
            key = (tenant, source if source in of_tenant.sources or source in self._kinds else UNKNOWN)
        counts = self._counts.setdefault(key, [0, 0])
        counts[0] += 1
        counts[1] += is_quarantined

    def totals(self) -> list[Tallied]:
        """The counts so far."""
        return [
            Tallied(tenant=tenant, source=source, messages=messages, quarantined=quarantined)
            for (tenant, source), (messages, quarantined) in list(self._counts.items())
        ]


async def tally_of(call: Callable[..., Awaitable[bytes]]) -> list[Tallied] | None:
    """What a host counted, asked over a call to it; `None` if it does not answer in time."""
    try:
        answer = await call("tallied", b"", timeout_s=ANSWER_TIMEOUT_S)
    except RetryableError:
        return None
    return msgspec.msgpack.decode(answer, type=list[Tallied])


async def delays_of(call: Callable[..., Awaitable[bytes]], tenant: str = "") -> list[Delays] | None:
    """How long it took to be visible in an index shard, for a tenant or all; `None` if it does not answer in time."""
    try:
        answer = await call("delays", tenant.encode(), timeout_s=ANSWER_TIMEOUT_S)
    except RetryableError:
        return None
    return msgspec.msgpack.decode(answer, type=list[Delays])
