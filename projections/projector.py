"""The loop body of every projection: read, apply and checkpoint, park what cannot be applied, go on.

A tenant's store applies events exactly once, because it keeps its checkpoint with its content. The projector's own
checkpoint, over all tenants, may lag behind theirs after a crash; it never runs ahead.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from domain.errors import FencedError, RetryableError
from projections.feed import Feed, LogEntry
from projections.store import Store


class TenantStore(Protocol):
    """What one tenant keeps of a projection."""

    store: Store

    def apply(self, entries: Sequence[LogEntry], position: int) -> set[str]:
        """Apply the entries and move the checkpoint, in one transaction; returns the keys of what changed."""
        ...


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn did: the position reached, what changed per tenant, and the events that are visible from now on.

    Turns that failed half-way are included.
    """

    applied: int
    parked: int
    position: int
    changed: Mapping[str, frozenset[str]] = {}
    visible: tuple[LogEntry, ...] = ()


class Projector:
    """Applies the events of some topics to the stores of the tenants that live here.

    Args:
        feed: the log.
        topics: the events' tags that matter here.
        store_of: a tenant's store, opened on demand; `None` for a tenant that lives elsewhere.
        position: where to go on from.
        on_parked: told about each event that could not be applied.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        topics: Sequence[str],
        store_of: Callable[[str], TenantStore | None],
        position: int = 0,
        batch_max: int = 500,
        on_parked: Callable[[LogEntry, str], None] = lambda entry, error: None,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._feed = feed
        self._topics = tuple(topics)
        self._store_of = store_of
        self._batch_max = batch_max
        self._on_parked = on_parked
        self._at_point = at_point
        self._changed: dict[str, set[str]] = {}
        self._visible: list[LogEntry] = []
        self.position = position

    def run_once(self) -> Step:
        """One turn: up to `batch_max` events. A turn that applied nothing and moved nowhere found the end.

        What raises (a store that is busy, a crash) is tried again by calling again: what is applied by then is not
        applied again, and what it changed is told by the turn that succeeds.
        """
        page = self._feed.read(self.position, limit=self._batch_max, topics=self._topics)
        by_tenant: dict[str, list[LogEntry]] = {}
        for entry in page.entries:
            by_tenant.setdefault(entry.tenant, []).append(entry)
        applied = parked = 0
        for tenant, entries in by_tenant.items():
            of_tenant = self._store_of(tenant)
            if of_tenant is None:
                continue
            done = of_tenant.store.position()
            new = [entry for entry in entries if entry.position > done]
            parked += self._apply(of_tenant, new, self._changed.setdefault(tenant, set()))
            applied += len(new)
            self._visible += [entry for entry in new if not of_tenant.store.is_parked(entry.stream)]
        self._at_point("after_apply")
        changed = {tenant: frozenset(keys) for tenant, keys in self._changed.items()}
        self._changed.clear()
        visible, self._visible = tuple(self._visible), []
        self.position = page.position
        return Step(applied=applied, parked=parked, position=page.position, changed=changed, visible=visible)

    def _apply(self, of_tenant: TenantStore, entries: Sequence[LogEntry], keys: set[str]) -> int:
        """Apply all that can be, halving a batch that fails until the poison is alone; returns how many were parked."""
        waiting = [entry for entry in entries if of_tenant.store.is_parked(entry.stream)]
        if waiting:
            return sum(self._apply_split(of_tenant, entry, keys) for entry in entries)
        if not entries:
            return 0
        try:
            keys |= of_tenant.apply(entries, entries[-1].position)
        except (FencedError, RetryableError, sqlite3.OperationalError):
            raise  # Not the event's fault: the whole turn is tried again, by this process or by the store's new owner.
        except Exception as error:  # noqa: BLE001 - the projector's error policy: one event never stops the others
            if len(entries) == 1:
                return self._park(of_tenant, entries[0], f"{type(error).__name__}: {error}")
            middle = len(entries) // 2
            return self._apply(of_tenant, entries[:middle], keys) + self._apply(of_tenant, entries[middle:], keys)
        return 0

    def _apply_split(self, of_tenant: TenantStore, entry: LogEntry, keys: set[str]) -> int:
        if of_tenant.store.is_parked(entry.stream):
            return self._park(of_tenant, entry, "waits behind an event of its stream that is parked")
        return self._apply(of_tenant, [entry], keys)

    def _park(self, of_tenant: TenantStore, entry: LogEntry, error: str) -> int:
        of_tenant.store.park(entry, error)
        self._on_parked(entry, error)
        return 1
