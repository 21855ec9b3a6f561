"""Answers kept with what they depend on, and thrown away by name when that changes. Nothing expires by time.

A dependency is a key of the projectors' changes: a payment's id, `customer:<id>`, or `KNOWLEDGE` for any document.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

KNOWLEDGE = "knowledge"
CHANGES_REMEMBERED_MAX = 100_000

EntryT = TypeVar("EntryT")
Key = tuple[str, ...]
Dependency = tuple[str, str]


class AnswerCache(Generic[EntryT]):
    """Entries by question, evicted exactly. One event loop uses it."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._entries: OrderedDict[Key, tuple[EntryT, tuple[Dependency, ...]]] = OrderedDict()
        self._dependents: defaultdict[Dependency, set[Key]] = defaultdict(set)
        self._changed: OrderedDict[Dependency, int] = OrderedDict()
        self._floor = 0
        self.hits = 0
        self.misses = 0
        self.bypasses = 0
        self.evictions = 0
        self.refusals = 0

    def get(self, key: Key) -> EntryT | None:
        """The entry, if nothing that it depends on has changed since."""
        found = self._entries.get(key)
        if found is None:
            self.misses += 1
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return found[0]

    def store(self, key: Key, entry: EntryT, dependencies: Mapping[Dependency, int]) -> bool:
        """Keep an entry, unless one of its dependencies changed after the log position at which it was read."""
        if any(
            position < max(self._floor, self._changed.get(dependency, 0))
            for dependency, position in dependencies.items()
        ):
            self.refusals += 1
            return False
        self._remove(key)
        self._entries[key] = (entry, tuple(dependencies))
        for dependency in dependencies:
            self._dependents[dependency].add(key)
        while len(self._entries) > self._entries_max:
            self._remove(next(iter(self._entries)))
        return True

    def changed(self, dependencies: Iterable[Dependency], position: int) -> None:
        """Something changed at a position: whatever depends on it goes, and what was computed before stays out."""
        for dependency in dependencies:
            self._changed[dependency] = max(position, self._changed.get(dependency, 0))
            self._changed.move_to_end(dependency)
            for key in tuple(self._dependents.get(dependency, ())):
                self._remove(key)
                self.evictions += 1
        while len(self._changed) > CHANGES_REMEMBERED_MAX:
            _, forgotten = self._changed.popitem(last=False)
            self._floor = max(self._floor, forgotten)

    def clear(self, floor: int) -> None:
        """Changes may have been missed: forget everything, and keep nothing that was read before position `floor`."""
        self.evictions += len(self._entries)
        self._entries.clear()
        self._dependents.clear()
        self._floor = max(self._floor, floor, *self._changed.values())
        self._changed.clear()

    def _remove(self, key: Key) -> None:
        found = self._entries.pop(key, None)
        if found is None:
            return
        for dependency in found[1]:
            dependents = self._dependents[dependency]
            dependents.discard(key)
            if not dependents:
                del self._dependents[dependency]

    def __len__(self) -> int:
        return len(self._entries)
