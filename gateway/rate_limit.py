"""Token buckets: how much of a tenant, and of each of its sources, is taken."""

from collections.abc import Mapping

from domain.tenant_settings import LimitSettings, TenantSettings


class TokenBucket:
    """Holds `burst` tokens when full and gains `rate_per_s` of them each second; a message takes one.

    Args:
        limits: how large, how fast.
        share: the part of the rate that is this bucket's, where several count beside one another.
    """

    def __init__(self, limits: LimitSettings, *, share: float = 1.0) -> None:
        self.rate_per_s = limits.rate_per_s * share
        self._burst = limits.burst
        self._tokens = float(limits.burst)
        self._filled_at_s = 0.0

    def tokens(self, now_s: float) -> float:
        """How many there are. The first look decides what time the bucket lives in."""
        if now_s > self._filled_at_s:
            gained = (now_s - self._filled_at_s) * self.rate_per_s
            self._tokens = min(self._tokens + gained, self._burst)
            self._filled_at_s = now_s
        return self._tokens

    def take(self, count: int) -> None:
        """Take tokens that `tokens` said are there."""
        self._tokens -= count


class RateLimits:
    """The buckets of every tenant. What belongs to no tenant has no limit: it can only be put aside.

    Args:
        tenants: who exists, with their limits.
        share: the part of each rate that counts here: several intakes divide it among them.
    """

    def __init__(self, tenants: Mapping[str, TenantSettings], *, share: float = 1.0) -> None:
        self._tenants = tenants
        self._share = share
        self._buckets: dict[tuple[str, str], list[TokenBucket]] = {}
        self._of_tenants: dict[str, TokenBucket] = {}

    def _of(self, tenant: str, source: str) -> list[TokenBucket]:
        """What a message must pass: the tenant's bucket, and the source's own if it has one."""
        settings = self._tenants.get(tenant)
        if settings is None:
            return []
        own = settings.sources[source].limits if source in settings.sources else None
        # Sources that are not configured share the tenant's entry: their names are the sender's, and without number.
        key = (tenant, source if own is not None else "")
        buckets = self._buckets.get(key)
        if buckets is None:
            if tenant not in self._of_tenants:
                self._of_tenants[tenant] = TokenBucket(settings.limits, share=self._share)
            buckets = [self._of_tenants[tenant]]
            if own is not None:
                buckets.append(TokenBucket(own, share=self._share))
            self._buckets[key] = buckets
        return buckets

    def take(self, tenant: str, source: str, count: int, *, now_s: float) -> int:
        """Take up to `count` messages now; returns how many may pass."""
        buckets = self._of(tenant, source)
        passing = min([count, *(int(bucket.tokens(now_s)) for bucket in buckets)])
        for bucket in buckets:
            bucket.take(passing)
        return passing

    def wait_s(self, tenant: str, source: str, *, now_s: float) -> float:
        """In how many seconds one more message may pass; 0 if it may now."""
        waits = [(1 - bucket.tokens(now_s)) / bucket.rate_per_s for bucket in self._of(tenant, source)]
        return max([0.0, *waits])

    def rate_per_s(self, tenant: str, source: str) -> float:
        """How many messages per second may pass in the long run; infinite where there is no limit."""
        return min([float("inf"), *(bucket.rate_per_s for bucket in self._of(tenant, source))])
