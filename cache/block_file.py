"""BlockFile: one cached version of one file on disk, sparse, with a record for each block.

The layout, in one file, so that it appears and goes in one step:

    0 .. size          the bytes of the file, at their own offsets; what is not present is a hole
    T                  = size rounded up to 8: for each block a record of two little-endian 32-bit
                       numbers: the CRC-32 of its bytes, and the boot tag of who wrote or verified
                       it. A hole reads as the tag 0: not present.
    T + 8 x blocks     the header, in msgpack: the whole key, the size, the size of a block
    the last 16 bytes  "HGB1", the length of the header, its CRC-32, 0

A block is written first, then its record. The pages of a killed process stay with the kernel, so
within one run of the machine a record that is seen means that its block is whole. After a crash of
the machine either may be lost: the tag is then another boot's, and the block is compared with its
CRC before it is believed again.
"""

import errno
import fcntl
import os
import secrets
import struct
import time
from pathlib import Path
from typing import Self

import msgspec

from cache.bitmap import Bitmap
from cache.key import Key
from cache.single import Flights

try:
    from isal.isal_zlib import crc32  # ten times as quick
except ImportError:  # where there is no build of it
    from zlib import crc32

_RECORD_BYTES = 8
_TRAILER = struct.Struct("<4sIII")
_MAGIC = b"HGB1"
_HEADER_MAX_BYTES = 1 << 20
# What is looked at in one go when a record is looked for: 512 records, one page of the disk.
_LOOK = 512
# The use of a file is noted at most this often: it orders eviction, and nothing finer is needed.
_TOUCH_SECONDS = 60.0
# O_DIRECT takes whole pages, and some file systems do not take it; /proc may not be there.
_PAGE_BYTES = 4096
_REFUSALS = frozenset({errno.EINVAL, errno.ENOENT, errno.ENOTSUP, errno.EACCES, errno.EPERM})
_CANNOT = -1
_HOLD_TRIES = 50
_HOLD_NAP_SECONDS = 0.002


class _Header(msgspec.Struct, frozen=True):
    mount: bytes
    path: bytes
    version: bytes
    size: int
    block_bytes: int


class BlockFile:
    """Reads and writes the blocks of one file; shared by all handles of one process.

    All attributes are fixed but `_touch_at` and `torn`, where a lost update does no harm, and
    `_straight`, which belongs to the one thread that writes straight.
    `present` and `flights` guard themselves. The descriptor holds a shared flock for its lifetime:
    eviction skips a file that anybody has open.
    """

    def __init__(
        self, fd: int, place: Path, key: Key, size: int, *, block_bytes: int, tag: int
    ) -> None:
        self.fd = fd
        self.place = place
        self.torn = 0
        self.key = key
        self.size = size
        self.block_bytes = block_bytes
        self.blocks = -(-size // block_bytes)
        self.present = Bitmap()
        self.flights = Flights(fd)
        self._tag = tag
        self._table = _table(size)
        self._touch_at = 0.0
        self._straight: int | None = None

    @classmethod
    def open(cls, place: Path, key: Key, size: int, *, block_bytes: int, tag: int) -> Self | None:
        """Open the file at `place`; None if there is none, or it holds something else."""
        try:
            fd = os.open(place, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            if _hold(fd):
                if _read_header(fd) == _header(key, size, block_bytes):
                    return cls(fd, place, key, size, block_bytes=block_bytes, tag=tag)
                place.unlink(missing_ok=True)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    @classmethod
    def create(cls, place: Path, key: Key, size: int, *, block_bytes: int, tag: int) -> Self | None:
        """Make an empty file at `place`; None if another made it first."""
        temporary = place.with_name(f"new-{secrets.token_hex(8)}")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            header = msgspec.msgpack.encode(_header(key, size, block_bytes))
            trailer = _TRAILER.pack(_MAGIC, len(header), crc32(header), 0)
            blocks = -(-size // block_bytes)
            _write(fd, header + trailer, _table(size) + blocks * _RECORD_BYTES)
            os.link(temporary, place)
        except FileExistsError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return cls(fd, place, key, size, block_bytes=block_bytes, tag=tag)

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.fd)
        if self._straight is not None and self._straight >= 0:
            os.close(self._straight)

    def is_unlinked(self) -> bool:
        """Tell whether the file was evicted: who has it open may read on, nobody else finds it."""
        return os.fstat(self.fd).st_nlink == 0

    def touch(self) -> None:
        """Note that the file is in use, so that others are evicted before it."""
        now = time.monotonic()
        if now < self._touch_at:
            return
        try:
            # Whoever had it open before may have noted it: that costs as much as a small read.
            age = time.time() - os.fstat(self.fd).st_mtime
            if not 0 <= age < _TOUCH_SECONDS:
                age = 0.0
                os.utime(self.fd)
        except OSError:
            age = 0.0
        self._touch_at = now + _TOUCH_SECONDS - age

    def extent(self, first: int, last: int) -> tuple[int, int]:
        """Return where the blocks from `first` to `last` begin and end."""
        return first * self.block_bytes, min(self.size, (last + 1) * self.block_bytes)

    def run(self, first: int, last: int) -> int:
        """Return how many blocks in a row are present and whole, from `first` to at most `last`.

        What this process has not seen yet is looked up on disk, and verified where it must be.
        """
        block = first
        while True:
            block += self.present.run(block, last)
            if block > last or not self.look(block, min(last, block + _LOOK - 1)):
                return block - first

    def look(self, first: int, last: int) -> bool:
        """Look up the records of these blocks; tell whether the first one is present and whole."""
        want = (last - first + 1) * _RECORD_BYTES
        records = os.pread(self.fd, want, self._table + first * _RECORD_BYTES)
        numbers = memoryview(records[: len(records) // 8 * 8]).cast("I").tolist()
        tags = numbers[1::2]
        whole = _leading(tags, self._tag)
        if whole:
            self.present.set(first, first + whole - 1)
        for at in range(whole, len(tags)):
            tag = tags[at]
            block = first + at
            if tag == self._tag or (tag and self._verify(block, numbers[2 * at])):
                self.present.set(block, block)
            elif at == 0:
                return False
        return self.present.has(first, first)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of blocks that are present.

        Raises OSError when the disk fails or the file was cut by somebody else.
        """
        data = os.pread(self.fd, size, offset)
        if len(data) == size:
            return data
        parts = [data]
        got = len(data)
        while got < size:
            data = os.pread(self.fd, size - got, offset + got)
            if not data:
                raise OSError("a cached file was cut short")
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def store(self, first: int, data: memoryview, *, straight: bool = False) -> None:
        """Write whole blocks from `first` on, then their records. Raises OSError.

        What is written `straight` goes to the disk past the kernel's cache, as far as that can be:
        then it costs next to no time of a processor, and pushes nothing else out of memory.
        """
        step = self.block_bytes
        done = self._write_straight(data, first * step) if straight else 0
        _write(self.fd, data[done:], first * step + done)
        numbers: list[int] = []
        for at in range(0, len(data), step):
            numbers += (crc32(data[at : at + step]), self._tag)
        records = struct.pack(f"<{len(numbers)}I", *numbers)
        _write(self.fd, records, self._table + first * _RECORD_BYTES)
        self.present.set(first, first + len(numbers) // 2 - 1)

    def _write_straight(self, data: memoryview, offset: int) -> int:
        """Write whole pages by O_DIRECT; return how many bytes that were."""
        size = len(data) // _PAGE_BYTES * _PAGE_BYTES
        if self._straight == _CANNOT or offset % _PAGE_BYTES or not size:
            return 0
        done = 0
        try:
            if self._straight is None:
                flags = os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC
                self._straight = os.open(f"/proc/self/fd/{self.fd}", flags)
            while done < size:
                done += os.pwrite(self._straight, data[done:size], offset + done)
                if done % _PAGE_BYTES:
                    break
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            fd, self._straight = self._straight, _CANNOT
            if fd is not None:
                os.close(fd)
        return done

    def _verify(self, block: int, crc: int) -> bool:
        """Compare a block of an earlier boot with its checksum; if it is whole, say so on disk."""
        start, end = self.extent(block, block)
        data = os.pread(self.fd, end - start, start)
        if len(data) != end - start or crc32(data) != crc:
            self.torn += 1
            return False
        try:
            record = struct.pack("<II", crc, self._tag)
            os.pwrite(self.fd, record, self._table + block * _RECORD_BYTES)
        except OSError:
            return True
        return True


def _leading(tags: list[int], tag: int) -> int:
    """Return how many of them, from the first, are `tag`; at once where all are, or none."""
    if tags.count(tag) == len(tags):
        return len(tags)
    return next(at for at, other in enumerate(tags) if other != tag)


def key_of(place: Path) -> Key | None:
    """Return the key that stands in the file at `place`; None if it is gone or damaged."""
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        header = _read_header(fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    if header is None:
        return None
    parts = (header.mount, header.path, header.version)
    return Key(*(part.decode("utf-8", "surrogatepass") for part in parts))


def _table(size: int) -> int:
    return -(-size // _RECORD_BYTES) * _RECORD_BYTES


def _header(key: Key, size: int, block_bytes: int) -> _Header:
    mount, path, version = (
        part.encode("utf-8", "surrogatepass") for part in (key.mount, key.path, key.version)
    )
    return _Header(mount, path, version, size, block_bytes)


def _read_header(fd: int) -> _Header | None:
    end = os.fstat(fd).st_size - _TRAILER.size
    if end < 0:
        return None
    trailer = os.pread(fd, _TRAILER.size, end)
    if len(trailer) != _TRAILER.size:
        return None
    magic, length, crc, _ = _TRAILER.unpack(trailer)
    if magic != _MAGIC or length > min(end, _HEADER_MAX_BYTES):
        return None
    header = os.pread(fd, length, end - length)
    if len(header) != length or crc32(header) != crc:
        return None
    try:
        return msgspec.msgpack.decode(header, type=_Header)
    except msgspec.DecodeError:
        return None


def _hold(fd: int) -> bool:
    """Take the shared lock that tells eviction of a user; False if the file is being evicted.

    Eviction holds its own lock while it asks for a pin, which is soon over.
    """
    for _ in range(_HOLD_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_HOLD_NAP_SECONDS)
        else:
            return os.fstat(fd).st_nlink > 0
    return False


def _write(fd: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
