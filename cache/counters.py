"""Counters: how often each mount was served from the cache, and how often it was not."""

import threading
from collections import Counter
from collections.abc import Mapping

# What is counted, for each mount.
NAMES = (
    "hits",  # reads that needed no fetch
    "misses",  # reads that did
    "served_bytes",  # all bytes that readers were given
    "fetched_bytes",  # bytes that came from the origin
    "passed_bytes",  # of those, bytes that could not be kept
    "torn_blocks",  # blocks that were damaged on disk and fetched again
)


class Counters:
    """Counts in memory until somebody takes the numbers away to add them up on disk.

    `_lock` guards `_numbers`; it is held for one addition.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[str, Counter[str]] = {}

    def add(self, mount: str, name: str, number: int = 1) -> None:
        """Add to one counter of one mount."""
        with self._lock:
            self._numbers.setdefault(mount, Counter())[name] += number

    def add_read(self, mount: str, name: str, size: int) -> None:
        """Count one read, `name` being hits or misses, and its bytes."""
        with self._lock:
            numbers = self._numbers.get(mount)
            if numbers is None:
                numbers = self._numbers[mount] = Counter()
            numbers[name] += 1
            numbers["served_bytes"] += size

    def numbers(self) -> dict[str, Counter[str]]:
        """Return a copy of all numbers."""
        with self._lock:
            return {mount: Counter(named) for mount, named in self._numbers.items()}

    def take(self) -> Mapping[str, Mapping[str, int]]:
        """Return all numbers and start again from 0."""
        with self._lock:
            taken, self._numbers = self._numbers, {}
        return taken

    def give_back(self, numbers: Mapping[str, Mapping[str, int]]) -> None:
        """Add numbers that were taken and could not be kept."""
        with self._lock:
            for mount, named in numbers.items():
                self._numbers.setdefault(mount, Counter()).update(named)
