"""Watched: a store in memory that counts what it is asked, and fails or waits where it is told."""

import hashlib
import threading
from collections import Counter

from providers.memory import MemoryOptions, MemoryProvider
from providers.wrap import FaultProvider


class Watched(FaultProvider):
    """Counts operations by name, and how many were under way at once.

    `asked_lock` guards `asked`, `under_way` and `most_at_once`; the rest is set by the test.
    `hurry` ends each delay, also those that have begun.
    """

    def __init__(self) -> None:
        super().__init__(MemoryProvider(MemoryOptions()))
        self.asked_lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.under_way = 0
        self.most_at_once = 0
        self.delay_seconds = 0.0
        self.hurry = threading.Event()

    def _before(self, operation: str, amount: int = 1) -> None:
        if operation != "entry":
            with self.asked_lock:
                self.asked[operation] += 1
                self.under_way += 1
                self.most_at_once = max(self.most_at_once, self.under_way)
            self.hurry.wait(self.delay_seconds)
            with self.asked_lock:
                self.under_way -= 1
        super()._before(operation, amount)

    def take(self) -> dict[str, int]:
        """Return what was asked since the last call."""
        with self.asked_lock:
            taken, self.asked = self.asked, Counter()
        return dict(taken)


def content(seed: object, size: int) -> bytes:
    """Return bytes that no other seed gives."""
    return hashlib.shake_128(repr(seed).encode()).digest(size)
