"""What the file system tells of one inode, in the words of the contract."""

import errno
import os
import stat
import threading
import time

from providers.base import Entry, Kind

_KIND = 0o170000
_REGULAR = stat.S_IFREG
_FOLDER = stat.S_IFDIR

VERSION = "%x-%x-%x-%x"
"""Inode, modification time, change time and size; a format, as it costs half of an f-string."""


def entry_of(name: str, status: os.stat_result) -> Entry:
    """Return the entry of a file or folder.

    Raises ELOOP for a symbolic link and ENXIO for a device, FIFO or socket.
    """
    kind = status.st_mode & _KIND
    if kind == _REGULAR:
        return Entry(name, Kind.FILE, status.st_size, status.st_mtime_ns, version_of(status))
    if kind == _FOLDER:
        return Entry(name, Kind.FOLDER, 0, status.st_mtime_ns, version_of(status))
    raise refusal_of(status)


def refusal_of(status: os.stat_result) -> OSError:
    """Return the error for what is neither a file nor a folder."""
    number = errno.ELOOP if stat.S_ISLNK(status.st_mode) else errno.ENXIO
    return OSError(number, os.strerror(number))


def version_of(status: os.stat_result) -> str:
    """Return the token that changes whenever the bytes may have changed.

    Each part catches what the others miss. The inode: a file renamed over another of equal size
    and time. The modification time: our own rewrites, which stamp it from `stamp_ns`, so that it
    differs even where inode numbers are used again and the kernel's clock has coarse ticks. The
    change time: a rewrite by others who set the modification time back, since nobody can set it.
    The size: an append by others within one tick.
    """
    return VERSION % (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


class _Clock:
    """Gives each call another nanosecond. `_lock` guards `_last_ns`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ns = 0

    def stamp_ns(self) -> int:
        """Return the time, later than at the last call."""
        with self._lock:
            now_ns = time.time_ns()
            # A clock that was set back is believed: files dated ahead for an hour mislead more.
            if self._last_ns - 1_000_000_000 < now_ns <= self._last_ns:
                now_ns = self._last_ns + 1
            self._last_ns = now_ns
            return now_ns


stamp_ns = _Clock().stamp_ns
