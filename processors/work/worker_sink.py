"""Sink in a worker: writes a result into the file that the gateway gave, and hashes it."""

import os
from hashlib import sha256

from processors.errors import TooLarge

_BLOCK_BYTES = 1 << 20


class FileSink:
    """Appends to a file. Who asks for the descriptor writes as he likes. For one thread."""

    def __init__(self, descriptor: int, limit: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._size = 0
        self._hash = sha256()
        self._is_lent = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`; TooLarge beyond the limit of output bytes."""
        view = memoryview(data).cast("B")
        if self._size + len(view) > self._limit:
            raise TooLarge(
                "the result is larger than allowed",
                asked=f"more than {self._limit} bytes",
                limit=f"{self._limit} bytes",
            )
        self._size += len(view)
        if not self._is_lent:
            self._hash.update(view)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        self._is_lent = True
        return self._descriptor

    def finish(self) -> tuple[int, str]:
        """Return size and SHA-256 of what was written."""
        size = os.fstat(self._descriptor).st_size
        if not self._is_lent:
            return size, self._hash.hexdigest()
        digest = sha256()
        for offset in range(0, size, _BLOCK_BYTES):
            digest.update(os.pread(self._descriptor, _BLOCK_BYTES, offset))
        return size, digest.hexdigest()
