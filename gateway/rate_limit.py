"""Token buckets: how much of a tenant, and of each of its sources, is taken."""

from collections.abc import Mapping

from domain.tenant_settings import LimitSettings, TenantSettings


class TokenBucket:
    """Holds `burst` tokens when full and gains `rate_per_s` of them each second; a message takes one.

    Args:
        limits: how large, how fast.
        share: the part of both that is this bucket's, where several count beside one another.
        empty_at_s: when it was empty; it begins full if that is not given.
    """

    def __init__(self, limits: LimitSettings, *, share: float = 1.0, empty_at_s: float | None = None) -> None:
        self._limits = limits
        self._set_share(share)
        self._tokens = self._burst if empty_at_s is None else 0.0
        self._filled_at_s = empty_at_s or 0.0

    def _set_share(self, share: float) -> None:
        self.rate_per_s = self._limits.rate_per_s * share
        # With less than one token nothing could ever pass.
        self._burst = max(1.0, self._limits.burst * share)

    def divide(self, share: float, now_s: float) -> None:
        """Have another part of the rate and the burst from now on. What is in it stays, as far as there is room."""
        self.tokens(now_s)
        self._set_share(share)
        self._tokens = min(self._tokens, self._burst)

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
        share: the part of each limit that counts here: several intakes divide it among them.
        empty_at_s: when all buckets were empty, of an intake that joins others: what a tenant may send at once is in
            theirs. They begin full if it is not given.
    """

    def __init__(
        self, tenants: Mapping[str, TenantSettings], *, share: float = 1.0, empty_at_s: float | None = None
    ) -> None:
        self._tenants = tenants
        self._share = share
        self._empty_at_s = empty_at_s
        self._buckets: dict[tuple[str, str], list[TokenBucket]] = {}
        self._of_tenants: dict[str, TokenBucket] = {}

    def divide(self, share: float, *, now_s: float) -> None:
        """Let another part of each limit count here from now on; the buckets stay as full as they are."""
        self._share = share
        for bucket in {id(each): each for buckets in self._buckets.values() for each in buckets}.values():
            bucket.divide(share, now_s)

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
                self._of_tenants[tenant] = self._bucket(settings.limits)
            buckets = [self._of_tenants[tenant]]
            if own is not None:
                buckets.append(self._bucket(own))
            self._buckets[key] = buckets
        return buckets

    def _bucket(self, limits: LimitSettings) -> TokenBucket:
        return TokenBucket(limits, share=self._share, empty_at_s=self._empty_at_s)

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
