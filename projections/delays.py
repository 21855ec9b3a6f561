"""How long what is recorded takes to be visible, by tenant: a histogram each, counted where it becomes visible."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """The delays of a projection: how many were within each of `BOUNDS_S` but not the one before, and how many beyond.

    `tenant` is empty for those of all.
    """

    tenant: str
    projection: str
    counts: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)
    sum_s: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def since(self, before: "Delays") -> "Delays":
        """Those that came after `before`, an earlier reading of the same."""
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        return Delays(tenant=self.tenant, projection=self.projection, counts=counts, sum_s=self.sum_s - before.sum_s)

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus has them: upper bound, and how many were within it."""
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        return [(bound, float(count)) for bound, count in zip(bounds, accumulate(self.counts), strict=True)]

    def quantile_s(self, share: float) -> float | None:
        """Within which time the share of them was visible, interpolated in its bucket; `None` without any.

        Beyond the last bound it is the last bound: as `histogram_quantile` of Prometheus.
        """
        wanted = share * self.count
        if not self.count:
            return None
        below, lower_s = 0, 0.0
        for upper_s, count in zip(BOUNDS_S, self.counts, strict=False):
            if count and below + count >= wanted:
                return lower_s + (upper_s - lower_s) * (wanted - below) / count
            below, lower_s = below + count, upper_s
        return lower_s


class DelayMeter:
    """Counts delays by tenant and projection since the process started. Any thread may count and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums_s: dict[tuple[str, str], float] = {}

    def count(self, tenant: str, projection: str, delays_s: Iterable[float]) -> None:
        """Count what has become visible. A delay below 0, of clocks that disagree, is none."""
        with self._lock:
            counts = self._counts.setdefault((tenant, projection), [0] * (len(BOUNDS_S) + 1))
            for delay_s in delays_s:
                counts[bisect_left(BOUNDS_S, delay_s)] += 1
                self._sums_s[tenant, projection] = self._sums_s.get((tenant, projection), 0.0) + max(delay_s, 0.0)

    def of_tenant(self, tenant: str, projections: Sequence[str]) -> list[Delays]:
        """The delays of one tenant, in the order of `projections`."""
        with self._lock:
            return [self._delays(tenant, projection) for projection in projections]

    def of_all(self, projections: Sequence[str]) -> list[Delays]:
        """The delays of all tenants together, in the order of `projections`."""
        with self._lock:
            return [self._together(projection) for projection in projections]

    def _delays(self, tenant: str, projection: str) -> Delays:
        counts = self._counts.get((tenant, projection))
        if counts is None:
            return Delays(tenant=tenant, projection=projection)
        sum_s = self._sums_s.get((tenant, projection), 0.0)
        return Delays(tenant=tenant, projection=projection, counts=tuple(counts), sum_s=sum_s)

    def _together(self, projection: str) -> Delays:
        found = [(key, counts) for key, counts in self._counts.items() if key[1] == projection]
        if not found:
            return Delays(tenant="", projection=projection)
        return Delays(
            tenant="",
            projection=projection,
            counts=tuple(map(sum, zip(*(counts for _, counts in found), strict=True))),
            sum_s=sum(self._sums_s.get(key, 0.0) for key, _ in found),
        )
