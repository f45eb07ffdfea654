"""Splice: a body from its socket into a file, without a copy into this process."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable

from providers.errors import StorageError, from_oserror
from vfs.http.line import Line, PeerLost

PIPE_BYTES = 256 * 1024

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

# Some file systems cannot.
_NO_SPLICE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class Splice:
    """Moves bytes from a connection to a descriptor, through a pipe of its own.

    One thread at a time. `is_able` turns False when the file cannot take bytes this way; what had
    come until then is written all the same.
    """

    def __init__(self, line: Line, descriptor: int, path: str) -> None:
        self.is_able = True
        self._line = line
        self._descriptor = descriptor
        self._path = path
        self._out, self._into = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # more than the system grants to one user
            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def move(self, size: int, wait: Callable[[], None]) -> int:
        """Move up to `size` bytes, waiting for the first by `wait`; return how many, 0 at the end.

        Raises PeerLost, and what the store would raise when the file does not take them.
        """
        moved = self._received(min(size, PIPE_BYTES), wait)
        try:
            self._pour(moved)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise from_oserror(error, self._path) from error
        return moved

    def write(self, data: bytes) -> None:
        """Write what was received before."""
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise from_oserror(error, self._path) from error

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._out)
        os.close(self._into)

    def _received(self, size: int, wait: Callable[[], None]) -> int:
        source = self._line.socket.fileno()
        while True:
            try:
                return os.splice(source, self._into, size, flags=_FLAGS)
            except BlockingIOError:
                wait()
            except OSError as error:
                raise PeerLost(*error.args) from error

    def _pour(self, left: int) -> None:
        while left and self.is_able:
            try:
                left -= os.splice(self._out, self._descriptor, left, flags=_FLAGS)
            except OSError as error:
                if error.errno not in _NO_SPLICE:
                    raise
                self.is_able = False
        while left:
            data = os.read(self._out, left)
            left -= len(data)
            self.write(data)
