"""Spool: bytes that wait in a temporary file without a name, up to a limit."""

import errno
import os
import tempfile
from types import TracebackType
from typing import Self

from processors.errors import NoResultSpace, TooLarge


class Spool:
    """Appends to the file, and reads what is in it. `size` is how much was appended.

    Close it, or use it in a `with`. For one thread.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the spool
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`. TooLarge beyond the limit, NoResultSpace when the disk is full."""
        size = memoryview(data).nbytes
        if self.size + size > self._limit:
            raise TooLarge("the result is too large", limit=f"{self._limit} bytes")
        try:
            self._file.write(data)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise NoResultSpace from error
            raise
        self.size += size

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`."""
        self._file.flush()
        return os.pread(self._file.fileno(), end - start, start)

    def fileno(self) -> int:
        """Return the descriptor of the file, for writing in any order."""
        self._file.flush()
        return self._file.fileno()

    def close(self) -> None:
        """Forget the bytes."""
        self._file.close()
