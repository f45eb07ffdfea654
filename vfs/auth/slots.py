"""Slots: bounded tables of counts that all processes of a gateway share, as a mapped file.

A table is cut into buckets of eight. A key has its place in one of them, by a keyed hash; a new key
takes the place of the one in its bucket that changed longest ago. So nothing grows, nothing waits
for a disk, and a killed process leaves at worst one count as it was.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import logging
import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

WAIT_SECONDS = 1.0
"""How long a count waits for another process; then it is made without its turn."""

_PAUSE_SECONDS = 0.0005
_WAYS = 8
_KEY_BYTES = 16
# A digest, failures or such, when it changed last, and a moment of the owner's.
_SLOT = struct.Struct("<16sQdd")
_HEADER = 64
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# By a call that keeps the interpreter's lock: it takes a microsecond, and whoever lets go of that
# lock with a lock of its own in hand has all other threads queue up behind it.
_flock = ctypes.PyDLL(None).flock

_log = logging.getLogger(__name__)


class Slot(msgspec.Struct):
    """What is known of one key. `last` is when it changed, `until` a moment; both are monotonic."""

    number: int
    last: float
    until: float


class Slots:
    """Holds `tables` tables of at least `most` keys each; without a file this process's alone.

    The clock of the moments is that of the running system, so what another one has left is wiped.
    `_lock` keeps the threads of this process apart, a lock of the file the processes; `turn` takes
    both. All else is fixed but for the bytes themselves.
    """

    def __init__(self, file: Path | None, *, tables: int, most: int) -> None:
        self._buckets = -(-most // _WAYS)
        self._tables = tables
        self._lock = threading.Lock()
        self._file = -1
        size = _HEADER + tables * self._buckets * _WAYS * _SLOT.size
        try:
            self._file, self._map = _opened(file, size)
        except OSError as error:
            _log.warning(
                "'%s' cannot be used, so each process counts by itself: %s", file, error.strerror
            )
            self._map = mmap.mmap(-1, size)
            self._map[:_HEADER] = _header()
        self._key = self._map[_HEADER - _KEY_BYTES : _HEADER]

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Have nobody else change anything for a `with` block, which must not wait."""
        with self._lock:
            taken = self._file >= 0 and _taken(self._file)
            try:
                yield
            finally:
                if taken:
                    _flock(self._file, fcntl.LOCK_UN)

    def get(self, table: int, key: str) -> Slot | None:
        """Return what is known of a key, a copy; None if nothing is.

        What is to be changed by it needs its turn. Without, it may be half of a change.
        """
        digest, start = self._place(table, key)
        found = self._find(digest, start)
        if found is None:
            return None
        return Slot(*_SLOT.unpack_from(self._map, found)[1:])

    def put(self, table: int, key: str, slot: Slot) -> None:
        """Set what is known of a key. Needs its turn."""
        digest, start = self._place(table, key)
        found = self._find(digest, start)
        if found is None:
            found = min(
                range(start, start + _WAYS * _SLOT.size, _SLOT.size),
                key=lambda place: _SLOT.unpack_from(self._map, place)[2],
            )
        _SLOT.pack_into(self._map, found, digest, slot.number, slot.last, slot.until)

    def close(self) -> None:
        """Let go of the file; closing twice is no error."""
        with self._lock:
            file, self._file = self._file, -1
            if file >= 0:
                os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _place(self, table: int, key: str) -> tuple[bytes, int]:
        """Return the digest of a key, and where its bucket begins."""
        text = key.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=16, key=self._key).digest()
        bucket = int.from_bytes(digest[:8], "little") % self._buckets
        return digest, _HEADER + (table * self._buckets + bucket) * _WAYS * _SLOT.size

    def _find(self, digest: bytes, start: int) -> int | None:
        end = start + _WAYS * _SLOT.size
        found = self._map.find(digest, start, end)
        while found >= 0 and (found - start) % _SLOT.size:
            found = self._map.find(digest, found + 1, end)
        return found if found >= 0 else None


def _taken(descriptor: int) -> bool:
    """Take the lock of the file, unless who has it does not go on."""
    end = 0.0
    while True:
        if not _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return True
        now = time.monotonic()
        end = end or now + WAIT_SECONDS
        if now > end:
            return False
        time.sleep(_PAUSE_SECONDS)


def _opened(file: Path | None, size: int) -> tuple[int, mmap.mmap]:
    """Return the descriptor of a file and its bytes, whose header is that of the running system.

    It never shrinks: that would kill whoever has it mapped.
    """
    if file is None:
        made = mmap.mmap(-1, size)
        made[:_HEADER] = _header()
        return -1, made
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        taken = _taken(descriptor)
        is_new = os.fstat(descriptor).st_size == 0
        # With its blocks: a full disk would otherwise kill the process at a write.
        os.posix_fallocate(descriptor, 0, size)
        mapped = mmap.mmap(descriptor, size)
        fresh = _header()
        if mapped[: _HEADER - _KEY_BYTES] != fresh[: _HEADER - _KEY_BYTES]:
            if not is_new:  # to touch what is empty would only take memory
                mapped[:size] = bytes(size)
            mapped[:_HEADER] = fresh
        if taken:
            _flock(descriptor, fcntl.LOCK_UN)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, mapped


def _header() -> bytes:
    """Return a header: the running system, then a new key."""
    boot = _BOOT_ID.read_bytes()[:36]
    return boot.ljust(_HEADER - _KEY_BYTES, b"\0") + secrets.token_bytes(_KEY_BYTES)
