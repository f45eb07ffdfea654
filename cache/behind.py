"""Behind: blocks on their way to the disk, written behind the readers that fetched them."""

import logging
import mmap
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

_LOG = logging.getLogger(__name__)

RING_BYTES: Final = 32 << 20
"""What may wait to be written, in all files of one cache together."""

PAGE_BYTES: Final = 4096
"""Each piece starts at a multiple of it in memory, as O_DIRECT wants it."""

_STOP_SECONDS = 2.0

Write = Callable[[memoryview], None]


class Behind:
    """Copies what is to be written into a ring, from which one thread writes it, in order.

    Who finds no room does without: a disk that is slower than the store slows down no reader. The
    ring is made once, and only when it is needed, since fresh memory costs more than the copy.

    `_size` is fixed. `_changed` guards the rest; it is held for a copy, never while one writes.
    What stands in the ring is changed by nobody until it was written.
    """

    def __init__(self, size: int = RING_BYTES) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._ring: memoryview | None = None
        self._line: deque[tuple[int, int, Write]] = deque()
        self._head = 0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def has_room(self, size: int) -> bool:
        """Tell whether so much could be taken now."""
        with self._changed:
            return self._place(size) is not None

    def take(self, data: memoryview, hold: Write, write: Write) -> bool:
        """Copy `data` and have `write` called with the copy later; False if there is no room.

        `hold` is called with the copy now. It stands as it is until `write` returns.
        """
        with self._changed:
            start = self._place(len(data))
            if start is None:
                return False
            if self._ring is None:
                self._ring = memoryview(mmap.mmap(-1, self._size))
            view = self._ring[start : start + len(data)]
            view[:] = data
            hold(view)
            self._push(start, len(data), write)
            return True

    def then(self, run: Callable[[], None]) -> None:
        """Have `run` called when all that was taken until now is written; at once if nothing is."""
        with self._changed:
            if self._line:
                self._push(self._head, 0, lambda _: run())
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

    def _place(self, size: int) -> int | None:
        """Return where in the ring so many bytes fit."""
        if self._is_closed:
            return None
        size = _paged(size)
        if not self._line:
            self._head = 0
            return 0 if size <= self._size else None
        tail = self._line[0][0]
        # Never filled to the last byte: head and tail at one place mean an empty ring.
        if self._head >= tail:
            if size <= self._size - self._head:
                return self._head
            return 0 if size < tail else None
        return self._head if size < tail - self._head else None

    def _push(self, start: int, size: int, write: Write) -> None:
        self._line.append((start, size, write))
        self._head = start + _paged(size)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cache-behind", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._line:
                    if self._is_closed:
                        return
                    self._changed.wait()
                start, size, write = self._line[0]
                ring = self._ring
            view = ring[start : start + size] if ring is not None else memoryview(b"")
            try:
                write(view)
            except Exception:  # noqa: BLE001 - logged; a fault with one file is none of the others'
                _LOG.exception("what was fetched could not be kept")
            with self._changed:
                self._line.popleft()


def _paged(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES
