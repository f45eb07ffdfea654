"""Spool: a content that is being written, in a file of the journal."""

import contextlib
import errno
import os
import time
from pathlib import Path

from cache.durable import sync_folder
from cache.errors import JournalError, JournalFull
from cache.room import Room

# Room is taken in steps, so that most writes count nothing.
_STEP_BYTES = 1 << 20
_COPY_BYTES = 8 << 20


class Spool:
    """Takes the bytes of one content. One thread at a time.

    `file` and `_room` are fixed. It is gone with `discard`, unless the journal has taken it over.
    Every method raises JournalError; JournalFull when there was no room in time.
    """

    def __init__(self, file: Path, room: Room) -> None:
        self.file = file
        self._room = room
        self._taken = 0
        self._written = 0
        self.size = 0
        try:
            self._descriptor = os.open(
                file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _translated(error) from error

    @property
    def is_open(self) -> bool:
        """Tell whether it still takes bytes."""
        return self._descriptor >= 0

    def expect(self, size: int) -> None:
        """Raise JournalFull early when a content of so many bytes will find no room."""
        self._room.take(size, total=size)
        self._room.give(size)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `offset`; a gap reads as zeros."""
        view = memoryview(data).cast("B")
        self._written += len(view)
        end = max(self.size, offset + len(view))
        self._take(min(self._written, end))
        done = 0
        give_up_at = time.monotonic() + self._room.limits.wait_seconds
        while done < len(view):
            try:
                done += os.pwrite(self._descriptor, view[done:], offset + done)
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not full or time.monotonic() > give_up_at:
                    raise _translated(error) from error
                self._room.wait()
        if view:
            self.size = end

    def truncate(self, size: int) -> None:
        """Make it exactly `size` bytes long."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise _translated(error) from error
        self.size = size

    def take_from(self, source: int) -> None:
        """Begin with the content of a descriptor, holes as holes."""
        size = os.fstat(source).st_size
        offset = 0
        try:
            while offset < size:
                try:
                    offset = os.lseek(source, offset, os.SEEK_DATA)
                except OSError as error:
                    if error.errno == errno.ENXIO:  # nothing but a hole is left
                        break
                    raise
                end = os.lseek(source, offset, os.SEEK_HOLE)
                while offset < end:
                    block = os.pread(source, min(_COPY_BYTES, end - offset), offset)
                    self.write_at(offset, block)
                    offset += len(block)
        except OSError as error:
            raise _translated(error) from error
        self.truncate(size)

    def seal(self) -> int:
        """Bring it to the disk; return how many bytes it takes there."""
        try:
            os.fsync(self._descriptor)
            held = os.fstat(self._descriptor).st_blocks * 512
            sync_folder(self.file.parent)
        except OSError as error:
            raise _translated(error) from error
        return held

    def close(self) -> None:
        """End writing; the file stays."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
            self._room.give(self._taken)

    def discard(self) -> None:
        """Drop it; nothing after `close`."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self.file.unlink()
            self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.discard()

    def _take(self, wanted: int) -> None:
        if wanted > self._taken:
            step = max(
                min(_STEP_BYTES, self._room.limits.pending_bytes // 64), wanted - self._taken
            )
            try:
                self._room.take(step, total=wanted)
            except OSError as error:
                raise _translated(error) from error
            self._taken += step


def _translated(error: OSError) -> JournalError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return JournalFull("the disk of the journal is full")
    return JournalError(f"the journal's disk refused: {error.strerror or error}")
