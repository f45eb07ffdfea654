"""Budget: how much of the disk the cache may take, and what goes when it is too much."""

import fcntl
import heapq
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

_LOG = logging.getLogger(__name__)

# The folder below the cache's that holds the files of blocks.
BLOCKS = "blocks"
# Eviction goes on until so much of the limit is used.
_LOW_WATER = 0.9
# It starts before the limit is reached, so that writers need not stop.
_HIGH_WATER = 0.95
# The total is counted anew after this part of the limit was written, or after this time.
_RECOUNT_PART = 1 / 32
_RECOUNT_MAX_BYTES = 4 << 30
SWEEP_SECONDS = 60.0
# The oldest so many files are considered in one step: memory stays bounded however many there are.
_STEP_FILES = 10_000
# After the disk refused a write nothing is written for this long.
RETRY_SECONDS = 30.0
# Free space is looked at after so many bytes.
_LOOK_BYTES = 64 << 20
# What a killed process left half made is removed when it is so old.
_LEFTOVER_SECONDS = 3600.0


class Limits(msgspec.Struct, frozen=True):
    """How much the cache may hold: bytes on disk, age since the last use, what it leaves free."""

    max_bytes: int = 100 << 30
    max_age_seconds: float | None = None
    free_bytes: int = 1 << 30


class Swept(msgspec.Struct, frozen=True):
    """What a sweep found, in use or not, and what it removed."""

    files: int
    size: int
    removed_files: int
    removed_bytes: int


class _Found(msgspec.Struct, frozen=True, order=True):
    used_at: float
    place: str
    size: int


class Budget:
    """Admits writes, and removes the files that were not used for the longest time.

    `store` is the folder below `folder` that holds the files, two folders deep. `limits`,
    `_folder`, `_files`, `_sweep_lock`, `_is_pinned` are fixed; `is_due` guards itself. `_lock`
    guards the changes of the rest and is held for a few additions only, never during I/O; single
    numbers are read without it. Readers take no lock that a sweep holds: it skips a file that any
    process has open, and a file that it does remove is found missing by the next who asks.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        is_pinned: Callable[[Path], bool],
        *,
        store: str = BLOCKS,
    ) -> None:
        self.limits = limits
        self.is_due = threading.Event()
        self._folder = folder
        self._files = folder / store
        self._sweep_lock = "sweep.lock" if store == BLOCKS else f"{store}.lock"
        self._is_pinned = is_pinned
        self._lock = threading.Lock()
        self._total = 0
        self._written = 0
        self._looked = 0
        self._is_short = False
        self._refused_until = 0.0
        self._fault = ""

    def admits(self) -> bool:
        """Tell whether more may be written now."""
        if self._refused_until and time.monotonic() < self._refused_until:
            return False
        if self._is_short or self._total + self._written >= self.limits.max_bytes:
            self.is_due.set()
            return False
        return True

    def wrote(self, size: int) -> None:
        """Count bytes that were written; have them swept when it is time."""
        with self._lock:
            self._written += size
            self._looked += size
            used = self._total + self._written
            is_near = used > self.limits.max_bytes * _HIGH_WATER
            part = min(self.limits.max_bytes * _RECOUNT_PART, _RECOUNT_MAX_BYTES)
            look = self._looked > min(_LOOK_BYTES, self.limits.free_bytes // 4)
            if look:
                self._looked = 0
        if look and self.free() < self.limits.free_bytes:
            self._is_short = True
        if is_near or self._is_short or self._written > part:
            self.is_due.set()
        if self._fault and time.monotonic() >= self._refused_until:
            self._accept()

    def refuse(self, error: OSError) -> None:
        """Stop writing for a while, since the disk refused it; say so once."""
        with self._lock:
            known, self._fault = self._fault, error.strerror or str(error)
            self._refused_until = time.monotonic() + RETRY_SECONDS
        self.is_due.set()
        if not known:
            _LOG.warning(
                "the cache cannot be written, so files are read from their stores: %s: %s",
                self._folder,
                error.strerror or error,
            )

    def fault(self) -> str:
        """Return why nothing can be written, "" when it can."""
        if self._is_short and not self._fault:
            return f"less than {self.limits.free_bytes} bytes are free on its disk"
        return self._fault

    def free(self) -> int:
        """Return what is free on the disk, also before the folder is made."""
        for place in (self._folder, *self._folder.parents):
            try:
                status = os.statvfs(place)
            except OSError:
                continue
            return status.f_bavail * status.f_frsize
        return self.limits.free_bytes

    def sweep(self, *, wait: bool) -> Swept | None:
        """Count what is there, and remove what is too old or too much.

        If another thread or process is at it, wait for it first, or return None.
        """
        lock = self._lock_sweep(wait=wait)
        if lock is None:
            return None
        try:
            return self._sweep()
        finally:
            os.close(lock)

    def files(self, folder: str | None = None) -> Iterator[os.DirEntry[str]]:
        """Yield every cached file, or those in the folder of one mount, also half made ones."""
        if folder is not None:
            for shard in _entries(self._files / folder):
                yield from _entries(shard.path)
            return
        for mount in _entries(self._files):
            yield from self.files(mount.name)

    def _accept(self) -> None:
        with self._lock:
            known, self._fault = self._fault, ""
            self._refused_until = 0.0
        if known:
            _LOG.info("the cache is written again: %s", self._folder)

    def _lock_sweep(self, *, wait: bool) -> int | None:
        try:
            fd = os.open(
                self._folder / self._sweep_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError:
            # On a full disk files can still be removed. Two sweeps at once do no harm.
            return os.open("/", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def _sweep(self) -> Swept:
        with self._lock:
            written = self._written
        removed_files = removed_bytes = 0
        skip: set[str] = set()
        files = total = 0
        more = True
        while more:
            files, total, oldest = self._count(skip)
            target = self._target(total)
            more = len(oldest) == _STEP_FILES
            for found in oldest:
                if total <= target and not self._is_old(found):
                    more = False
                    break
                if self._remove(found):
                    total -= found.size
                    files -= 1
                    removed_files += 1
                    removed_bytes += found.size
                else:
                    skip.add(found.place)
        with self._lock:
            self._total = total
            self._written -= written
            self._is_short = self.free() < self.limits.free_bytes
        return Swept(files, total, removed_files, removed_bytes)

    def _count(self, skip: set[str]) -> tuple[int, int, list[_Found]]:
        """Return the number of files, their bytes, and the oldest of them, oldest first."""
        files = total = 0

        def all_found() -> Iterator[_Found]:
            nonlocal files, total
            for entry in self.files():
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if entry.name.startswith("new-"):
                    self._remove_leftover(entry.path, status.st_mtime)
                    continue
                files += 1
                total += status.st_blocks * 512
                if entry.path not in skip:
                    yield _Found(status.st_mtime, entry.path, status.st_blocks * 512)

        oldest = heapq.nsmallest(_STEP_FILES, all_found())
        return files, total, oldest

    def _target(self, total: int) -> float:
        """Return to how many bytes the cache must shrink."""
        target: float = self.limits.max_bytes
        if total > target * _HIGH_WATER:
            target *= _LOW_WATER
        short = self.limits.free_bytes - self.free()
        if short > 0:
            target = min(target, total - short - self.limits.free_bytes // 10)
        return target

    def _is_old(self, found: _Found) -> bool:
        age = self.limits.max_age_seconds
        return age is not None and time.time() - found.used_at > age

    def _remove_leftover(self, place: str, made_at: float) -> None:
        """Remove what nobody makes any more: its maker holds a lock, or had an hour."""
        if time.time() - made_at > _LEFTOVER_SECONDS:
            self._remove(_Found(made_at, place, 0))

    def _remove(self, found: _Found) -> bool:
        """Remove a file that nobody has open and no pin covers; tell whether it is gone."""
        try:
            fd = os.open(found.place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_pinned(Path(found.place)):
                return False
            Path(found.place).unlink(missing_ok=True)
        except OSError:
            return False
        finally:
            os.close(fd)
        return True


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return
