"""Memo: small values that belong to one version of one thing, kept on disk and mapped when read.

A memo may forget anything at any time: a full or unwritable disk is no error, and the oldest values
go first when there is too much of them.
"""

import contextlib
import mmap
import os
import secrets
import struct
import time
import zlib
from hashlib import blake2b
from pathlib import Path

from cache.boot import boot_tag
from cache.budget import Budget, Limits
from cache.sweeper import Sweeper

MEMO = "memo"
# Behind each value: magic, its CRC, and the tag of the machine's run in which that was verified.
_TAIL = struct.Struct("<4sIIQ")
_MAGIC = b"HGM1"
# A value is marked as used at most so often.
_TOUCH_SECONDS = 60.0


class Memo:
    """Reads and writes values in `folder`; any number of processes share it. All is fixed."""

    def __init__(self, folder: Path, *, boot: str | None = None) -> None:
        self._folder = folder
        self._tag = boot_tag(boot)

    def get(self, kind: str, identity: str, version: str) -> memoryview | None:
        """Return the value, mapped from disk, or None."""
        try:
            descriptor = os.open(
                self._place(kind, identity, version), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            )
        except OSError:
            return None
        try:
            return self._read(descriptor)
        except (OSError, ValueError):
            return None
        finally:
            os.close(descriptor)

    def put(self, kind: str, identity: str, version: str, value: bytes | memoryview) -> None:
        """Remember a value; what hinders that is no error."""
        place = self._place(kind, identity, version)
        fresh = place.with_name(f"new-{secrets.token_hex(8)}")
        tail = _TAIL.pack(_MAGIC, zlib.crc32(value), self._tag, len(memoryview(value).cast("B")))
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(fresh, "xb", opener=_private) as file:
                file.write(value)
                file.write(tail)
            fresh.rename(place)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()

    def _read(self, descriptor: int) -> memoryview | None:
        status = os.fstat(descriptor)
        size = status.st_size - _TAIL.size
        if size < 0:
            return None
        magic, crc, tag, told = _TAIL.unpack(os.pread(descriptor, _TAIL.size, size))
        if magic != _MAGIC or told != size:
            return None
        # One byte more than the value: an empty file cannot be mapped.
        whole = memoryview(mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ))
        value = whole[:size]
        if tag != self._tag:
            # Nothing was synced: after the machine went down the value may be torn.
            if zlib.crc32(value) != crc:
                return None
            os.pwrite(descriptor, _TAIL.pack(_MAGIC, crc, self._tag, size), size)
        touch(descriptor, status.st_mtime)
        return value

    def _place(self, kind: str, identity: str, version: str) -> Path:
        text = f"{kind}\0{identity}\0{version}"
        name = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
        return self._folder / MEMO / name[:2] / name[2:4] / name


class MemoKeeper:
    """Keeps a memo within its limits; one for each process of the gateway. Fixed once made."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.budget = Budget(folder, limits, lambda _: False, store=MEMO)
        self._sweeper = Sweeper(self.budget, name="memo-sweeper")

    def close(self) -> None:
        """Stop sweeping."""
        self._sweeper.close()


def touch(descriptor: int, used_at: float) -> None:
    """Mark a file as used just now, unless it was marked lately; eviction goes by that."""
    if time.time() - used_at > _TOUCH_SECONDS:
        with contextlib.suppress(OSError):
            os.utime(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
