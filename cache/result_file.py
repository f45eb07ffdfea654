"""ResultFile: one derived file on disk, its bytes first, so that it is sent as it lies there.

Behind the bytes stands a record, then a tail of fixed length. Nothing is synced to disk: the tail
says in which run of the machine the file was made, and in another run its digest is verified once.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Self

import msgspec

from cache.memo import touch

# Magic, the record's length and CRC, the tag of the machine's run.
_TAIL = struct.Struct("<4sIII")
_MAGIC = b"HGR1"
_RECORD_MAX_BYTES = 1 << 20
_HASH_BYTES = 1 << 20
# Both are read in one go, mostly.
_GUESS_BYTES = 4096


class ResultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a result. `about` is the caller's."""

    key: str
    size: int
    sha256: str
    media_type: str
    made_at_ns: int
    timings: Mapping[str, float] = {}
    about: Mapping[str, Any] = {}


class ResultFile:
    """Reads one result; what it was when it was opened, whatever happens to its name.

    All is fixed but the descriptor, which `close` sets to -1.
    """

    def __init__(self, descriptor: int, record: ResultRecord) -> None:
        self.record = record
        self._descriptor = descriptor

    @classmethod
    def open(cls, place: str, key: str, tag: int) -> Self | None:
        """Open it and mark it as used; None when there is none, or no sound one. Raises OSError."""
        try:
            descriptor = os.open(place, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            record = _record(descriptor, key, tag)
        except BaseException:
            os.close(descriptor)
            raise
        if record is None:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)  # noqa: PTH108 - a Path would have to be made first
            return None
        return cls(descriptor, record)

    def fileno(self) -> int:
        """Return the descriptor. Take nothing behind `record.size`."""
        return self._descriptor

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer only at the end."""
        size = min(size, self.record.size - offset)
        return os.pread(self._descriptor, size, offset) if size > 0 else b""

    def read_now(self, offset: int, size: int) -> bytearray | None:
        """Return what `read_at` would if it is in memory, else None."""
        buffer = bytearray(size)
        try:
            done = os.preadv(self._descriptor, (buffer,), offset, os.RWF_NOWAIT)
        except OSError:  # the disk has to be asked, or the file system cannot tell
            return None
        return buffer if done == size else None

    def detach(self) -> int:
        """Return the descriptor, which is the caller's from now on."""
        descriptor, self._descriptor = self._descriptor, -1
        return descriptor

    def close(self) -> None:
        """Give the descriptor back. Closing twice is no error."""
        descriptor = self.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def append_record(descriptor: int, record: ResultRecord, tag: int) -> int:
    """Write record and tail behind the bytes; return the length of the file. Raises OSError."""
    data = msgspec.msgpack.encode(record)
    data += _TAIL.pack(_MAGIC, len(data), zlib.crc32(data), tag)
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], record.size + written)
    return record.size + len(data)


def _record(descriptor: int, key: str, tag: int) -> ResultRecord | None:
    """Return the record if it belongs to the key and the bytes are sound."""
    status = os.fstat(descriptor)
    start = max(0, status.st_size - _GUESS_BYTES)
    end = os.pread(descriptor, _GUESS_BYTES, start)
    if len(end) < _TAIL.size:
        return None
    magic, length, crc, made_in = _TAIL.unpack(end[-_TAIL.size :])
    if magic != _MAGIC or length > min(_RECORD_MAX_BYTES, status.st_size - _TAIL.size):
        return None
    at = status.st_size - _TAIL.size - length
    data = end[at - start : -_TAIL.size] if at >= start else os.pread(descriptor, length, at)
    if len(data) != length or zlib.crc32(data) != crc:
        return None
    try:
        record = msgspec.msgpack.decode(data, type=ResultRecord)
    except msgspec.DecodeError:
        return None
    if record.key != key or record.size != at:
        return None
    if made_in != tag:
        if _digest(descriptor, record.size) != record.sha256:
            return None
        tail = _TAIL.pack(_MAGIC, length, crc, tag)
        os.pwrite(descriptor, tail, status.st_size - _TAIL.size)
    touch(descriptor, status.st_mtime)
    return record


def _digest(descriptor: int, size: int) -> str:
    digest = sha256()
    offset = 0
    while offset < size:
        data = os.pread(descriptor, min(_HASH_BYTES, size - offset), offset)
        if not data:
            break
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()
