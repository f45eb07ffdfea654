"""Pinned: reads one version of one local file."""

import os
import warnings

from providers import waiting
from providers.base import Reader
from providers.errors import BadRange, Changed
from providers.inode import entry_of
from providers.names import basename
from providers.translated import Translated

WHOLE_BYTES = 64 * 1024
"""The largest file that a thread copies which must not wait."""


class Pinned(Reader):
    """Reads a file by its descriptor, so that a rename over its name does not reach it.

    All attributes are fixed but `_descriptor`, which `close` sets to -1; it comes after the last
    read has returned.
    """

    def __init__(
        self, path: str, descriptor: int, status: os.stat_result, *, in_memory: bool = False
    ) -> None:
        """Own `descriptor`, of which `status` tells; `in_memory` says that no disk is beneath."""
        self._path = path
        self._descriptor = descriptor
        # The change time would tell more, but it also moves when the file is renamed over or
        # linked, which leaves these bytes as they are.
        self._pinned = (status.st_size, status.st_mtime_ns)
        self.entry = entry_of(basename(path), status)
        self._in_memory = in_memory

    def read_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise BadRange(self._path, detail="offset and size may not be negative")
        # Python makes room for all that is asked before it reads.
        size = min(size, self.entry.size - offset)
        with Translated(self._path):
            data = os.pread(self._fd(), size, offset) if size > 0 else b""
            if 0 < len(data) < size:  # Linux reads 2 GiB at once at most
                blocks = [data]
                done = len(data)
                while data := os.pread(self._fd(), size - done, offset + done):
                    blocks.append(data)
                    done += len(data)
                data = b"".join(blocks)
            self.check()
            return data

    def read_now(self, offset: int, size: int) -> bytes | bytearray | None:
        data = read_now(self._fd(), offset, size, in_memory=self._in_memory)
        if data is not None:
            with Translated(self._path):
                self.check()
        return data

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def fileno(self) -> int | None:
        return self._fd()

    def check(self, sent: int = 0) -> None:
        status = os.fstat(self._fd())
        if (status.st_size, status.st_mtime_ns) != self._pinned:
            raise Changed(self._path, detail="it was written in place while it was read")

    def __del__(self) -> None:
        if self._descriptor >= 0:
            warnings.warn(f"unclosed reader of {self._path!r}", ResourceWarning, stacklevel=1)
            self.close()

    def _fd(self) -> int:
        if self._descriptor < 0:
            raise ValueError("this reader is closed")
        return self._descriptor


def read_now(descriptor: int, offset: int, size: int, *, in_memory: bool) -> bytearray | None:
    """Return just `size` bytes if no disk has to be asked for them, else None."""
    buffer = bytearray(size)
    try:
        # File systems that are in memory anyway have no word for it.
        flags = 0 if in_memory else os.RWF_NOWAIT
        done = os.preadv(descriptor, (buffer,), offset, flags)
    except OSError:  # the disk has to be asked, or the file system cannot tell
        return None
    return buffer if done == size else None


def whole_now(descriptor: int, status: os.stat_result, *, in_memory: bool) -> bytearray:
    """Return all of a small file without holes, if no disk has to be asked; else WouldWait."""
    size = status.st_size
    if size > WHOLE_BYTES or status.st_blocks * 512 < size:
        raise waiting.WouldWait
    data = read_now(descriptor, 0, size, in_memory=in_memory)
    if data is None:
        raise waiting.WouldWait
    return data
