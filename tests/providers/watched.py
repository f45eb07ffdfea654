"""Watched: a store in memory that counts what it is asked, and fails or waits where it is told."""

import hashlib
import threading
import time
from collections import Counter

from providers.memory import MemoryOptions, MemoryProvider
from providers.wrap import FaultProvider


class Watched(FaultProvider):
    """Counts operations by name. `asked_lock` guards `asked`; the rest is set by the test."""

    def __init__(self) -> None:
        super().__init__(MemoryProvider(MemoryOptions()))
        self.asked_lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.delay_seconds = 0.0

    def _before(self, operation: str, amount: int = 1) -> None:
        if operation != "entry":
            with self.asked_lock:
                self.asked[operation] += 1
            time.sleep(self.delay_seconds)
        super()._before(operation, amount)

    def take(self) -> dict[str, int]:
        """Return what was asked since the last call."""
        with self.asked_lock:
            taken, self.asked = self.asked, Counter()
        return dict(taken)


def content(seed: object, size: int) -> bytes:
    """Return bytes that no other seed gives."""
    return hashlib.shake_128(repr(seed).encode()).digest(size)
