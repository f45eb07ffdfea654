"""Stamps: times of modification that no earlier content of a path had."""

import threading
from collections import OrderedDict
from typing import Final

PATHS_MAX: Final = 10_000
"""Paths whose last times are remembered; the one that was not asked for the longest time goes."""

_BURST_SECONDS = 3600


class Stamps:
    """Keeps versions apart that the protocol cannot: it tells whole seconds and no inode.

    A file that is rewritten twice in a second gets a time one second later each time. So its
    time may run ahead of the clock, by one second for each such rewrite. What the file itself
    shows counts, so that several processes keep out of each other's way; what is remembered here
    adds files that are gone. `_lock` guards `_spans`: the first and last time, by path.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def note(self, path: str, mtime: int) -> None:
        """Remember that a content of `path` has this time."""
        with self._lock:
            low, high = self._spans.get(path, (mtime, mtime))
            if low - 1 <= mtime <= high + _BURST_SECONDS:
                low, high = min(low, mtime), max(high, mtime)
            else:
                low = high = mtime
            self._spans[path] = (low, high)
            self._spans.move_to_end(path)
            if len(self._spans) > PATHS_MAX:
                self._spans.popitem(last=False)

    def for_new(self, path: str, now: int, old: int | None) -> int:
        """Return the time for a content that is new `now`, where `old` is what stands there."""
        if old is not None and now <= old <= now + _BURST_SECONDS:
            now = old + 1
        return self.free(path, now)

    def free(self, path: str, mtime: int) -> int:
        """Return `mtime`, or the next one that no remembered content of `path` had."""
        with self._lock:
            low, high = self._spans.get(path, (1, 0))
            return high + 1 if low <= mtime <= high else mtime
