"""Reopened: one reader of a store for many threads, opened when needed and again after a cut."""

import threading
from collections.abc import Callable, Iterator

from providers.base import Reader
from providers.errors import Changed, TimedOut, Unavailable


class Reopened:
    """Reads a file of the store below. `_open` is fixed and gives a reader of one version.

    `_lock` guards the rest. It is held while the file is opened: the others need it just as much.
    A reader that failed is closed by the last thread that uses it.
    """

    def __init__(self, open_: Callable[[], Reader], reader: Reader | None = None) -> None:
        """Take over `reader`, if it is open already."""
        self._open = open_
        self._lock = threading.Lock()
        self._lent = _Lent(reader) if reader is not None else None

    @property
    def reads_ahead(self) -> bool:
        """Tell whether the reader that is open asks for what follows by itself."""
        lent = self._lent
        return lent is not None and lent.reader.reads_ahead

    def fetch(self, offset: int, size: int) -> bytes:
        """Return bytes that are there; Changed if they are not, Unavailable, TimedOut.

        A reader that worked before gets a second chance: its connection may have been cut while
        nobody read.
        """
        while True:
            lent, is_new = self._take()
            is_cut = True
            try:
                data = lent.reader.read_at(offset, size)
                is_cut = False
            except (Unavailable, TimedOut):
                if is_new:
                    raise
                continue
            finally:
                self._give_back(lent, is_cut=is_cut)
            if len(data) != size:
                raise Changed(detail="it is shorter than it was")
            return data

    def pieces(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes as `fetch` returns them, as they come; see `Reader.pieces`."""
        end = offset + size
        while True:
            lent, is_new = self._take()
            is_cut = False
            try:
                for piece in lent.reader.pieces(offset, end - offset):
                    yield piece
                    offset += len(piece)
            except (Unavailable, TimedOut):
                is_cut = True
                if is_new:
                    raise
                continue
            finally:
                self._give_back(lent, is_cut=is_cut)
            if offset != end:
                raise Changed(detail="it is shorter than it was")
            return

    def close(self) -> None:
        """Close the reader. Closing twice is no error."""
        with self._lock:
            lent, self._lent = self._lent, None
            unused = lent is not None and lent.users == 0
        if lent is not None and unused:
            lent.reader.close()

    def _take(self) -> "tuple[_Lent, bool]":
        with self._lock:
            is_new = self._lent is None
            if self._lent is None:
                self._lent = _Lent(self._open())
            self._lent.users += 1
            return self._lent, is_new

    def _give_back(self, lent: "_Lent", *, is_cut: bool) -> None:
        with self._lock:
            lent.users -= 1
            if is_cut and self._lent is lent:
                self._lent = None
            is_done = lent.users == 0 and self._lent is not lent
        if is_done:
            lent.reader.close()


class _Lent:
    """A reader and how many threads are in it. The lock of its owner guards it."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.users = 0
