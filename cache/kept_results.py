"""KeptResults: small results that stay open for whoever asks next."""

import contextlib
import fcntl
import os
import threading
from collections import OrderedDict

from cache.memo import touch
from cache.result_file import ResultFile

_KEPT_MAX = 64
KEPT_BYTES = 4 << 20
"""Larger ones are not kept: to open one is little of what it takes to send it."""


class _Kept(ResultFile):
    """One open file, and how many read it; KeptResults' lock guards both.

    It is closed when nobody reads it and it is not kept for the next either.
    """

    def __init__(self, file: ResultFile, length: int) -> None:
        super().__init__(file.detach(), file.record)
        self.length = length
        self.readers = 0
        self.is_kept = True


class _Lent(ResultFile):
    """An open file that is somebody else's too."""

    def __init__(self, kept: _Kept, lock: threading.Lock) -> None:
        self.record = kept.record
        self._descriptor = kept.fileno()
        self._kept = kept
        self._lock = lock

    def close(self) -> None:
        """Give it back."""
        if self.detach() >= 0:
            with self._lock:
                _leave(self._kept)


class KeptResults:
    """Lends results that are open already: nothing is opened, read or decoded for them.

    What was purged, replaced or evicted, by whichever process, has lost its name, and that is
    looked at each time. One that nobody uses is not locked, so that eviction may take it. `_lock`
    guards the rest; no call under it waits for a disk.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def lend(self, key: str) -> ResultFile | None:
        """Return a result that is open and still the one of its key, marked as used, or None."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            status = os.fstat(kept.fileno())
            if not status.st_nlink or status.st_size != kept.length:
                self._forget(key)
                return None
            self._kept.move_to_end(key)
            _join(kept)
        touch(kept.fileno(), status.st_mtime)
        return _Lent(kept, self._lock)

    def keep(self, file: ResultFile, length: int) -> ResultFile:
        """Return the same file, `length` bytes with its record, from now on lent to all who ask."""
        kept = _Kept(file, length)
        with self._lock:
            _join(kept)
            self._add(kept)
        return _Lent(kept, self._lock)

    def offer(self, file: ResultFile, length: int) -> None:
        """Lend a file that was just made to all who ask; the lock that its maker held ends."""
        kept = _Kept(file, length)
        with contextlib.suppress(OSError):
            fcntl.flock(kept.fileno(), fcntl.LOCK_UN)
        with self._lock:
            self._add(kept)

    def tidy(self) -> None:
        """Close what has lost its name: it takes room on the disk as long as it is open."""
        with self._lock:
            gone = [key for key, kept in self._kept.items() if not os.fstat(kept.fileno()).st_nlink]
            for key in gone:
                self._forget(key)

    def close(self) -> None:
        """Close all, each after its last use."""
        with self._lock:
            for key in list(self._kept):
                self._forget(key)

    def _add(self, kept: _Kept) -> None:
        key = kept.record.key
        self._forget(key)
        self._kept[key] = kept
        while len(self._kept) > _KEPT_MAX:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.is_kept = False
            if not kept.readers:
                kept.close()


def _join(kept: _Kept) -> None:
    """Count a reader in. The first has it locked against eviction."""
    kept.readers += 1
    if kept.readers == 1:
        with contextlib.suppress(OSError):
            fcntl.flock(kept.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)


def _leave(kept: _Kept) -> None:
    """Count a reader out."""
    kept.readers -= 1
    if kept.readers:
        return
    if kept.is_kept:
        with contextlib.suppress(OSError):
            fcntl.flock(kept.fileno(), fcntl.LOCK_UN)
    else:
        kept.close()
