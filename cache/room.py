"""Room: how much may be pending, and who waits until some of it is gone."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from cache.errors import JournalFull

# How long a writer waits for room before it is refused.
ROOM_SECONDS = 20.0
# How often the numbers are looked at anew.
_LOOK_SECONDS = 0.05


class RoomLimits(msgspec.Struct, frozen=True):
    """How much may be pending in one journal, and what it leaves free on its disk."""

    pending_bytes: int = 10 << 30
    free_bytes: int = 256 << 20
    wait_seconds: float = ROOM_SECONDS


class Room:
    """Counts what writers have taken; lets them wait, for a bounded time, while there is none.

    `limits`, `_folder` and `_pending` are fixed. `_changed` guards the rest; under it the numbers
    are read from the disk at most every `_LOOK_SECONDS`.
    """

    def __init__(self, folder: Path, limits: RoomLimits, pending: Callable[[], int]) -> None:
        """Take what is pending already from `pending`."""
        self.limits = limits
        self._folder = folder
        self._pending = pending
        self._changed = threading.Condition()
        self._taken = 0
        self._looked_at = float("-inf")
        self._used = 0
        self._free = 0

    def take(self, size: int, *, total: int) -> None:
        """Count `size` more bytes of a content that takes `total` with them; JournalFull."""
        if total > self.limits.pending_bytes:
            raise JournalFull(
                f"at most {self.limits.pending_bytes} bytes may be pending; raise pending_bytes",
                passing=False,
            )
        self._until(lambda: self._fits(size), size)

    def give(self, size: int) -> None:
        """Count bytes out that were taken."""
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    def refresh(self) -> None:
        """Look at the numbers anew: something was accepted or uploaded."""
        with self._changed:
            self._looked_at = float("-inf")
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait a moment for the disk to have room again, after it refused a write."""
        with self._changed:
            self._changed.wait(_LOOK_SECONDS)

    def _until(self, fits: Callable[[], bool], size: int) -> None:
        give_up_at = time.monotonic() + self.limits.wait_seconds
        with self._changed:
            while not fits():
                left = give_up_at - time.monotonic()
                if left <= 0:
                    raise JournalFull("too much waits to be uploaded; try again later")
                self._changed.wait(min(left, _LOOK_SECONDS))
            self._taken += size

    def _fits(self, size: int) -> bool:
        now = time.monotonic()
        if now - self._looked_at > _LOOK_SECONDS:
            self._used = self._pending()
            status = os.statvfs(self._folder)
            self._free = status.f_bavail * status.f_frsize
            self._looked_at = now
        more = self._taken + size
        if self._used + more > self.limits.pending_bytes:
            return False
        # What was taken is, for the most part, on the disk already: only the new part is counted.
        return self._free - size >= self.limits.free_bytes or size == 0
