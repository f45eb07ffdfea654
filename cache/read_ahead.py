"""ReadAhead: sees from the reads of one handle what will be read next."""

import threading

import msgspec

# The first window, once a pattern was seen, and the largest one.
FIRST_WINDOW_BYTES = 1 << 20
LARGEST_WINDOW_BYTES = 32 << 20
# So many reads must agree before anything is read ahead.
_SEQUENTIAL_READS = 2
_STRIDED_READS = 3
# Reads of one sequential reader may come a little out of order, from several threads.
_SLACK_BYTES = 1 << 20
_STRIDES_AHEAD = 8


class Window(msgspec.Struct, frozen=True):
    """What to read ahead: `count` pieces of `size` bytes, `stride` apart, from `offset`."""

    offset: int
    size: int
    stride: int = 0
    count: int = 1


class ReadAhead:
    """Tells sequential and strided readers from random ones; does no I/O.

    `_first` and `_largest` are fixed; `_lock` guards the rest.
    """

    def __init__(
        self, first: int = FIRST_WINDOW_BYTES, largest: int = LARGEST_WINDOW_BYTES
    ) -> None:
        self._first = first
        self._largest = largest
        self._lock = threading.Lock()
        self._offset = 0
        self._end = 0
        self._stride = 0
        self._agreed = 1  # A first read at the start of the file counts as sequential.
        self._strides = 0
        self._window = 0
        self._ahead = 0

    def saw(self, offset: int, size: int) -> Window | None:
        """Take note of a read; return what to read ahead now, if anything.

        A new window is given only when half of the last one was used, so that fetches stay large.
        """
        with self._lock:
            step = offset - self._offset
            known = self._agreed > _SEQUENTIAL_READS
            slack = min(_SLACK_BYTES, 4 * size) if known else 0
            if abs(offset - self._end) <= slack:
                return self._sequential(offset + size, size)
            self._agreed = 0
            self._window = self._ahead = 0
            self._strides = self._strides + 1 if step == self._stride else 1
            self._offset, self._end, self._stride = offset, offset + size, step
            if step > size and self._strides >= _STRIDED_READS - 1:
                return Window(offset + step, size, step, min(_STRIDES_AHEAD, self._room(size)))
            return None

    def _sequential(self, end: int, size: int) -> Window | None:
        self._agreed += 1
        self._strides = 0
        self._stride = 0
        self._offset = end - size
        self._end = max(self._end, end)
        if self._agreed < _SEQUENTIAL_READS:
            return None
        if self._ahead - self._end > self._window // 2:
            return None
        self._window = min(self._largest, max(self._first, 2 * self._window, 2 * size))
        start = max(self._ahead, self._end)
        self._ahead = self._end + self._window
        return Window(start, self._ahead - start) if self._ahead > start else None

    def _room(self, size: int) -> int:
        return max(1, self._largest // max(1, size))
