"""Splice: a body from its socket into a file, without a copy into this process."""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable

from providers.errors import from_oserror
from vfs.http.line import Line, PeerLost

PIPE_BYTES = 256 * 1024
LARGE_PIPE_BYTES = 1024 * 1024
LARGE_PIPES_MAX = 16
"""So many are large at once: the system grants one user 64 MiB in all, and then next to nothing."""

POUR_BYTES = 512 * 1024
"""What is gathered in the pipe before it goes into the file, unless nothing more has come."""

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

# Some file systems cannot.
_NO_SPLICE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


_large = threading.Semaphore(LARGE_PIPES_MAX)


class Splice:
    """Moves bytes from a connection to a descriptor, through a pipe of its own.

    One thread at a time. `is_able` turns False when the file cannot take bytes this way; what had
    come until then is written all the same. What was moved may still stand in the pipe: `pour` ends
    that, and `write` does it first.
    """

    def __init__(self, line: Line, descriptor: int, path: str) -> None:
        self.is_able = True
        self._line = line
        self._descriptor = descriptor
        self._path = path
        self._held = 0
        self._out, self._into = os.pipe2(os.O_CLOEXEC)
        self._is_large = _large.acquire(blocking=False)
        size = LARGE_PIPE_BYTES if self._is_large else PIPE_BYTES
        with contextlib.suppress(OSError):  # more than the system grants to one user
            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, size)

    def move(self, size: int, wait: Callable[[], None]) -> int:
        """Move up to `size` bytes, waiting for the first by `wait`; return how many, 0 at the end.

        Raises PeerLost, and what the store would raise when the file does not take them.
        """
        source = self._line.socket.fileno()
        while True:
            try:
                moved = os.splice(source, self._into, min(size, POUR_BYTES), flags=_FLAGS)
            except BlockingIOError:
                # Nothing has come, or the pipe has no room.
                if self._held:
                    self.pour()
                else:
                    wait()
            except OSError as error:
                raise PeerLost(*error.args) from error
            else:
                self._held += moved
                if self._held >= POUR_BYTES:
                    self.pour()
                return moved

    def pour(self) -> None:
        """Put into the file what stands in the pipe."""
        try:
            while self._held and self.is_able:
                self._pour()
            while self._held:
                data = os.read(self._out, self._held)
                self._held -= len(data)
                self._write(data)
        except OSError as error:
            raise from_oserror(error, self._path) from error

    def write(self, data: memoryview) -> None:
        """Write what was received by another way."""
        self.pour()
        try:
            self._write(data)
        except OSError as error:
            raise from_oserror(error, self._path) from error

    def close(self) -> None:
        """Close the pipe, once."""
        if self._is_large:
            self._is_large = False
            _large.release()
        os.close(self._out)
        os.close(self._into)

    def _pour(self) -> None:
        try:
            self._held -= os.splice(self._out, self._descriptor, self._held, flags=_FLAGS)
        except OSError as error:
            if error.errno not in _NO_SPLICE:
                raise
            self.is_able = False

    def _write(self, data: bytes | memoryview) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]
