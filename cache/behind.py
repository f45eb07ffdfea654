"""Behind: blocks on their way to the disk, written behind the readers that fetched them."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

_LOG = logging.getLogger(__name__)

WAITING_BYTES: Final = 32 << 20
"""What may wait to be written, in all files of one cache together."""

# It begins when so much waits, or when nothing has come for a moment: a reader that is soon done
# has the processors and the disk for itself.
_BEGIN_PART = 2
_PAUSE_SECONDS = 0.03
_STOP_SECONDS = 2.0


class Behind:
    """Lets one thread write what others have fetched, in order, from the memory it came in.

    Who finds no room does without: a disk that is slower than the store slows down no reader.
    `_most` is fixed; `_changed` guards the rest, and is never held while one writes.
    """

    def __init__(self, most: int = WAITING_BYTES) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._line: deque[tuple[int, Callable[[], None]]] = deque()
        self._waiting = 0
        self._pushed_at = 0.0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def has_room(self, size: int) -> bool:
        """Tell whether so much could be taken now."""
        return not self._is_closed and self._waiting + size <= self._most

    def take(self, size: int, write: Callable[[], None]) -> bool:
        """Have `write` called, which holds `size` bytes; False if there is no room for them."""
        with self._changed:
            if not self.has_room(size):
                return False
            self._push(size, write)
            return True

    def then(self, run: Callable[[], None]) -> None:
        """Have `run` called when all that was taken until now is written; at once if nothing is."""
        with self._changed:
            if self._line:
                self._push(0, run)
                return
        run()

    def close(self) -> None:
        """Take no more, and wait a moment for what was taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def _push(self, size: int, write: Callable[[], None]) -> None:
        is_first = not self._line
        self._line.append((size, write))
        self._waiting += size
        self._pushed_at = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cache-behind", daemon=True)
            self._thread.start()
        if is_first or self._is_much():
            self._changed.notify_all()

    def _is_much(self) -> bool:
        return self._is_closed or self._waiting >= self._most // _BEGIN_PART

    def _begin(self) -> bool:
        """Wait until it is time to write; False when there is nothing and will be nothing."""
        while not self._line:
            if self._is_closed:
                return False
            self._changed.wait()
        while not self._is_much():
            left = self._pushed_at + _PAUSE_SECONDS - time.monotonic()
            if left <= 0:
                break
            self._changed.wait(left)
        return True

    def _run(self) -> None:
        is_idle = True
        while True:
            with self._changed:
                if is_idle and not self._begin():
                    return
                size, write = self._line[0]
            try:
                write()
            except Exception:  # noqa: BLE001 - logged; a fault with one file is none of the others'
                _LOG.exception("what was fetched could not be kept")
            del write  # and the memory that it holds
            with self._changed:
                self._line.popleft()
                self._waiting -= size
                is_idle = not self._line
