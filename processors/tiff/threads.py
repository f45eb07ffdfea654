"""Pool: the threads that pack and unpack segments."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_MOST_THREADS = 4
_LOAD = Path("/proc/loadavg")
In = TypeVar("In")
Out = TypeVar("Out")


def _running() -> int:
    """Return how many threads of this machine run, or could, at this moment; the caller is one."""
    try:
        return max(1, int(_LOAD.read_bytes().split()[3].partition(b"/")[0]))
    except (OSError, ValueError, IndexError):
        return 1


class Pool:
    """Lends threads that help to decode; they are made at the first use in each process.

    `size` counts the caller too, and is fixed. `_lock` guards the threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process = 0
        self._cores = os.cpu_count() or 1
        self.size = min(_MOST_THREADS, self._cores)

    def helpers(self, wanted: int) -> int:
        """Return how many threads may help with so many pieces: as many as cores are free now.

        A helper that is put aside by the system while it holds the interpreter's lock stops those
        whom it should help. The average load lags by a minute: it tells what was.
        """
        return max(0, min(wanted, self.size, 1 + self._cores - _running()) - 1)

    def threads(self) -> ThreadPoolExecutor:
        """Return the threads of this process."""
        with self._lock:
            if self._threads is None or self._process != os.getpid():
                self._threads = ThreadPoolExecutor(max(1, self.size - 1), "tiff-decode")
                self._process = os.getpid()
            return self._threads

    def mapped(self, function: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
        """Yield what the function gives for each item, in order; few are under way at a time."""
        waiting: deque[Future[Out]] = deque()
        try:
            for item in items:
                waiting.append(self.threads().submit(function, item))
                if len(waiting) > 2 * self.size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


POOL = Pool()
