"""Flights: each block is fetched by one thread of one process at a time.

Between threads a dictionary in memory decides, between processes a lock on the block's byte of the
cached file. That lock belongs to the open file and dies with its process, so a killed fetcher holds
nobody up.
"""

import copy
import errno
import fcntl
import struct
import threading
import time
from collections.abc import Callable

# The locks lie far behind anything a file can hold.
_LOCKS = 1 << 61
_FLOCK = struct.Struct("@hhqqi0q")
_FIRST_NAP_SECONDS = 0.001
_LONGEST_NAP_SECONDS = 0.02
_LOOK_SECONDS = 0.1
# A process that was stopped while it fetched must not hold the others up for good.
_PATIENCE_SECONDS = 60.0
_NOTHING = memoryview(b"")


class Flight:
    """One run of blocks that one thread fetches.

    `first` is fixed. `_condition` guards the rest: `last`, which may shrink at the start; `done`,
    the first block that is not published yet; `ended`; `error`; `_held`, the bytes that are here
    and not yet on disk. `locked_last` belongs to the owner.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self.done = first
        self.locked_last = first - 1
        self.ended = False
        self.error: Exception | None = None
        self._held: list[tuple[int, memoryview]] = []
        self._condition = threading.Condition()

    def shrink(self, last: int) -> None:
        """Give up the blocks behind `last`: somebody else has them."""
        with self._condition:
            self.last = last
            self._condition.notify_all()

    def publish(self, done: int) -> None:
        """Say that the blocks before `done` can be had."""
        with self._condition:
            self.done = done
            self._condition.notify_all()

    def hold(self, offset: int, data: memoryview) -> None:
        """Say that these bytes of the file can be had from memory until the flight ends."""
        with self._condition:
            self._held.append((offset, data))
            self._condition.notify_all()

    def peek(self, offset: int, most: int) -> bytes:
        """Return up to `most` bytes from `offset` that are held; none when they are not."""
        with self._condition:
            return bytes(self._find(offset)[:most])

    def end(self, error: Exception | None) -> None:
        """Say that no more comes, and why. Nothing is held any more."""
        with self._condition:
            self._held = []
            self.ended = True
            self.error = error
            self._condition.notify_all()

    def wait(
        self, block: int, offset: int | None = None, *, look: Callable[[], None] | None = None
    ) -> Exception | None:
        """Wait until `block` is published or will not be, or what is at `offset` of it is held.

        `look` is called now and then meanwhile, and may raise to end the waiting. Return the error
        that prevented it.
        """
        with self._condition:
            while not self.ended and self.done <= block <= self.last:
                if offset is not None and self._find(offset):
                    break
                if not self._condition.wait(None if look is None else _LOOK_SECONDS) and look:
                    look()
            if self.done > block or block > self.last or self.error is None:
                return None
            return _copied(self.error)

    def _find(self, offset: int) -> memoryview:
        for start, data in self._held:
            if start <= offset < start + len(data):
                return data[offset - start :]
        return _NOTHING


class Flights:
    """The flights of one file in this process.

    `_fd` and `_patience_seconds` are fixed; `_lock` guards `_under_way`. It is never held while
    anybody waits.
    """

    def __init__(self, fd: int, *, patience_seconds: float | None = None) -> None:
        self._fd = fd
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._under_way: list[Flight] = []

    def claim(self, first: int, last: int) -> tuple[Flight, bool]:
        """Return the flight that has block `first`, and whether it is a new one of the caller's.

        A new one ends before the next that is under way. Its owner calls `take_off`, and `land` in
        any case.
        """
        with self._lock:
            for flight in self._under_way:
                if flight.first <= first <= flight.last:
                    return flight, False
                if first < flight.first <= last:
                    last = flight.first - 1
            flight = Flight(first, last)
            self._under_way.append(flight)
            return flight, True

    def take_off(self, flight: Flight, is_there: Callable[[int], bool]) -> bool:
        """Lock the flight's blocks against other processes; False if the first one came meanwhile.

        If others have some of them the flight shrinks; if they have the first one, this waits:
        `is_there` is asked again and again, and may raise to end that.
        """
        give_up_at = time.monotonic() + (self._patience_seconds or _PATIENCE_SECONDS)
        nap = _FIRST_NAP_SECONDS
        while True:
            taken = self._conflict(flight)
            if taken is None:
                return not is_there(flight.first)
            if taken > flight.first:
                flight.shrink(taken - 1)
                continue
            if is_there(flight.first):
                return False
            if time.monotonic() > give_up_at:
                flight.shrink(flight.first)
                return True
            time.sleep(nap)
            nap = min(2 * nap, _LONGEST_NAP_SECONDS)

    def land(self, flight: Flight, error: Exception | None = None) -> None:
        """End the flight and give its locks back."""
        with self._lock:
            self._under_way.remove(flight)
        try:
            # Not more than was locked: what lies behind may be another flight's of this process.
            if flight.locked_last >= flight.first:
                self._fcntl(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, flight)
        finally:
            flight.end(error)

    def _conflict(self, flight: Flight) -> int | None:
        """Lock all of the flight's blocks, or return the first that another process has."""
        try:
            self._fcntl(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, flight)
        except OSError as refused:
            if refused.errno not in (errno.EAGAIN, errno.EACCES):
                # A disk without such locks: processes may fetch twice, and write the same bytes.
                return None
            answer = self._fcntl(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, flight)
            kind, _, start, _, _ = _FLOCK.unpack(answer)
            if kind == fcntl.F_UNLCK:
                return self._conflict(flight)
            return max(flight.first, int(start) - _LOCKS)
        flight.locked_last = flight.last
        return None

    def _fcntl(self, command: int, kind: int, flight: Flight) -> bytes:
        last = flight.locked_last if kind == fcntl.F_UNLCK else flight.last
        size = last - flight.first + 1
        return fcntl.fcntl(self._fd, command, _FLOCK.pack(kind, 0, _LOCKS + flight.first, size, 0))


def _copied(error: Exception) -> Exception:
    """Return an exception for another thread: each needs a traceback of its own."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - the caller's exception may do anything when it is copied
        return error
