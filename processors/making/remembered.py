"""Remembered: a bounded number of small values by key, the longest unused go first."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Holds at most `most` values. `_lock` guards them and is held for one step."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object) -> T | None:
        """Return the value, which is now the one used last, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: object, value: T) -> None:
        """Remember a value."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def drop(self, key: object) -> None:
        """Forget a value."""
        with self._lock:
            self._values.pop(key, None)
