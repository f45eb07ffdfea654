"""Kept: decoded segments that neighbouring windows of the same file need again."""

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

KEPT_BYTES = 64 << 20
"""What one process keeps at most."""

# A segment that would push most others out is not kept.
_MOST_PART = 8


class Key(NamedTuple):
    """Which segment: the gateway's own name of the source and its version, page, place, rows.

    Two pages of a hostile file may claim the same bytes in two forms, so the page belongs to it.
    """

    identity: str
    version: str
    page: int
    offset: int
    rows: int


class Kept:
    """Holds decoded segments, read-only; the longest unused go first.

    `_most` is fixed; `_lock` guards the rest.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._segments: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._size = 0

    def get(self, key: Key) -> np.ndarray | None:
        """Return a segment, which is now the one used last, or None."""
        with self._lock:
            found = self._segments.get(key)
            if found is not None:
                self._segments.move_to_end(key)
            return found

    def put(self, key: Key, pixels: np.ndarray) -> None:
        """Keep a copy of a segment, unless it is large: it may lie in room that is used again."""
        if pixels.nbytes > self._most // _MOST_PART:
            return
        pixels = pixels.copy()
        pixels.flags.writeable = False
        with self._lock:
            if key not in self._segments:
                self._segments[key] = pixels
                self._size += pixels.nbytes
            while self._size > self._most:
                self._size -= self._segments.popitem(last=False)[1].nbytes


KEPT = Kept()
"""Those of this process."""
