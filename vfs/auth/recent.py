"""Recent: a bounded table in which the newest entries stay."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Maps keys to values and drops the one put longest ago when there are more than `most`.

    Has no lock: one of its owner's guards `put`, `pop` and `clear`. `get` needs none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value, or None. It gets no younger by that."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Set the value and make it the newest."""
        entries = self._entries
        entries.pop(key, None)
        if len(entries) >= self._most:
            del entries[next(iter(entries))]
        entries[key] = value

    def pop(self, key: K) -> None:
        """Drop the entry, if there is one."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Drop every entry."""
        self._entries = {}
