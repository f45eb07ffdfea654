"""Breaker: keeps a failing store from hurting whoever does not need it."""

import threading
import time
from collections.abc import Callable

from providers import waiting
from providers.errors import BadCredentials, StorageError, TimedOut, Unavailable

DOWN = (Unavailable, TimedOut, BadCredentials)
"""What tells that a store does not serve. A login that is refused must not be tried again with each
request: servers lock accounts for that."""

FAILURES_TO_OPEN = 3
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
CALLS_AT_ONCE = 32
"""Fewer than the server has threads, so that one stalled store can never hold them all."""

QUEUE_SECONDS = 5.0
"""How long a call waits for its turn while the store gets on with others."""

STALL_SECONDS = 0.5
"""A store in which no call begins or ends for so long gets on with nothing."""


class Breaker:
    """Counts failures in a row; after too many it refuses at once until a pause has passed.

    Then one call is let through as a probe. If it fails the pause doubles, up to a minute. It also
    bounds how many calls are in the store at once: more wait their turn while calls come and go,
    and are refused when the store stalls. `clock` and the limits are fixed; `_lock` guards the
    rest, and is never held while the store is called; `_turn` is its condition.
    """

    def __init__(
        self,
        *,
        calls_at_once: int = CALLS_AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._calls_at_once = calls_at_once
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._queued = 0
        self._calls = 0
        self._moved_at = clock()
        self._failures = 0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._open_until: float | None = None
        self._probing = False
        self._round = 0
        self._down_since: float | None = None

    @property
    def down_seconds(self) -> float | None:
        """How long the store has been down, or None while it serves."""
        since = self._down_since
        return None if since is None else self._clock() - since

    def enter(self) -> int:
        """Count a call in and return its round, for `leave`.

        Raises Unavailable, with the time to wait, when the call should not be made.
        """
        with self._lock:
            if self._open_until is not None:
                wait = self._open_until - self._clock()
                if wait > 0 or self._probing:
                    raise Unavailable(
                        detail="it failed repeatedly and is tried again in a moment",
                        retry_after_seconds=max(wait, 1.0),
                    )
                self._probing = True
                self._round += 1
            elif self._calls >= self._calls_at_once:
                self._queue()
            self._calls += 1
            self._moved_at = self._clock()
            return self._round

    def leave(self, entered: int, error: StorageError | None = None) -> None:
        """Count a call out, with the error it ended in. Only a store that is down counts.

        A call that began before the breaker opened, or before a later probe, tells nothing of now
        when it fails: only the probe decides how long the pause is.
        """
        failed = error is not None and isinstance(error, DOWN)
        with self._lock:
            self._calls -= 1
            self._moved_at = self._clock()
            if self._queued:
                self._turn.notify()
            if not failed:
                if self._failures:
                    self._succeed()
            elif entered == self._round and (self._open_until is None or self._probing):
                self._fail()

    def _queue(self) -> None:
        """Wait until a call has ended; raise Unavailable when none does."""
        waiting.begin()
        end = self._clock() + QUEUE_SECONDS
        while self._calls >= self._calls_at_once:
            now = self._clock()
            left = min(end, self._moved_at + STALL_SECONDS) - now
            if left <= 0:
                raise Unavailable(
                    detail=f"{self._calls} calls to it are waiting already",
                    retry_after_seconds=FIRST_PAUSE_SECONDS,
                )
            self._queued += 1
            try:
                self._turn.wait(left)
            finally:
                self._queued -= 1

    def _fail(self) -> None:
        self._failures += 1
        if self._probing:
            self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        if self._failures >= FAILURES_TO_OPEN:
            self._probing = False
            now = self._clock()
            self._open_until = now + self._pause_seconds
            if self._down_since is None:
                self._down_since = now

    def _succeed(self) -> None:
        self._failures = 0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._open_until = None
        self._probing = False
        self._down_since = None
