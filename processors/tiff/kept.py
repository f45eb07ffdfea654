"""Kept: what one process keeps of the files that it read, for the next request."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

import numpy as np

SEGMENTS_BYTES = 64 << 20
"""What one process keeps at most of decoded segments."""

# What would push most others out is not kept.
_MOST_PART = 8
KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class Kept(Generic[KeyT, ValueT]):
    """Holds values of known sizes; the longest unused go first.

    `_most` is fixed; `_lock` guards the rest.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[KeyT, tuple[ValueT, int]] = OrderedDict()
        self._size = 0

    def get(self, key: KeyT) -> ValueT | None:
        """Return a value, which is now the one used last, or None."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def has_room(self, size: int) -> bool:
        """Tell whether a value of so many bytes would be kept."""
        return size <= self._most // _MOST_PART

    def put(self, key: KeyT, value: ValueT, size: int) -> None:
        """Keep a value in place of the one that its key has; none when it is large."""
        self.drop(key)
        if not self.has_room(size):
            return
        with self._lock:
            _, before = self._values.pop(key, (None, 0))
            self._values[key] = value, size
            self._size += size - before
            while self._size > self._most:
                self._size -= self._values.popitem(last=False)[1][1]

    def drop(self, key: KeyT) -> None:
        """Keep none for a key."""
        with self._lock:
            _, size = self._values.pop(key, (None, 0))
            self._size -= size


class Key(NamedTuple):
    """Which segment: the gateway's own name of the source and its version, page, place, rows.

    Two pages of a hostile file may claim the same bytes in two forms, so the page belongs to it.
    """

    identity: str
    version: str
    page: int
    offset: int
    rows: int


class Segments(Kept[Key, np.ndarray]):
    """Holds decoded segments, read-only, which neighbouring windows need again."""

    def __init__(self, most_bytes: int = SEGMENTS_BYTES) -> None:
        super().__init__(most_bytes)

    def keep(self, key: Key, pixels: np.ndarray) -> None:
        """Keep a copy of a segment: it may lie in room that is used again."""
        if self.has_room(pixels.nbytes):
            pixels = pixels.copy()
            pixels.flags.writeable = False
            self.put(key, pixels, pixels.nbytes)


SEGMENTS = Segments()
"""Those of this process."""
