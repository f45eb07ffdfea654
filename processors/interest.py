"""Interest: who waits for a result that is being made, and how far it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processors.runner import Progress

IsWanted = Callable[[], bool]


class Interest:
    """Knows who waits for which key, and what was told of it last. `_lock` guards both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[IsWanted]] = {}
        self._progress: dict[str, Progress] = {}

    @contextmanager
    def of(self, key: str, is_wanted: IsWanted) -> Iterator[None]:
        """Count one more who waits for `key`."""
        with self._lock:
            self._waiting.setdefault(key, []).append(is_wanted)
        try:
            yield
        finally:
            with self._lock:
                self._waiting[key].remove(is_wanted)
                if not self._waiting[key]:
                    del self._waiting[key]
                    self._progress.pop(key, None)

    def is_wanted(self, key: str) -> bool:
        """Tell whether anybody still waits. Nothing is asked under the lock."""
        with self._lock:
            waiting = list(self._waiting.get(key, ()))
        return any(is_wanted() for is_wanted in waiting)

    def tell(self, key: str, progress: Progress) -> None:
        """Note how far it is."""
        with self._lock:
            if key in self._waiting:
                self._progress[key] = progress

    def progress(self, key: str) -> Progress | None:
        """Return how far it is; None when nobody waits for it."""
        with self._lock:
            return self._progress.get(key, Progress()) if key in self._waiting else None
