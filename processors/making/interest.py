"""Interest: who waits for a result that is being made, and is told how far it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processors.work.runner import Progress

IsWanted = Callable[[], bool]
Tell = Callable[[Progress], None]


class Interest:
    """Knows who waits for which key. `_lock` guards that and is held for one step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[IsWanted, Tell]]] = {}

    @contextmanager
    def of(self, key: str, is_wanted: IsWanted, tell: Tell) -> Iterator[None]:
        """Count one more who waits for `key`."""
        one = (is_wanted, tell)
        with self._lock:
            self._waiting.setdefault(key, []).append(one)
        try:
            yield
        finally:
            with self._lock:
                self._waiting[key].remove(one)
                if not self._waiting[key]:
                    del self._waiting[key]

    def has(self, key: str) -> bool:
        """Tell whether anybody waits for `key` in this process."""
        return key in self._waiting

    def is_wanted(self, key: str) -> bool:
        """Tell whether anybody still wants it. Nothing is asked under the lock."""
        return any(is_wanted() for is_wanted, _ in self._those(key))

    def tell(self, key: str, progress: Progress) -> None:
        """Tell all who wait how far it is."""
        for _, tell in self._those(key):
            tell(progress)

    def _those(self, key: str) -> list[tuple[IsWanted, Tell]]:
        with self._lock:
            return list(self._waiting.get(key, ()))
