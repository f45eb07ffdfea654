"""Turns: of one address, one password at a time is verified for one name.

Else tries that come at the same moment would all pass the throttle before the first has failed,
and a guesser's queue for the hashes would be everybody's. For a program that opens many
connections at once it means that one verification serves them all.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vfs.auth.errors import Throttled
from vfs.auth.throttle import Pair, pair

WAITING_MAX = 32
"""Logins of one address and name that wait for their turn; one more is refused."""

TURN_SECONDS = 5.0
"""How long one waits for its turn."""


class _Queue:
    __slots__ = ("length", "turn")

    def __init__(self) -> None:
        self.length = 0
        self.turn = threading.Lock()


class Turns:
    """Lines up logins. `_lock` guards `_queues`, which holds only those that somebody is in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Pair, _Queue] = {}

    @contextmanager
    def turn(self, address: str, name: str) -> Iterator[None]:
        """Wait until no other login of this address and name is verified; Throttled if too long."""
        key = pair(address, name)
        with self._lock:
            queue = self._queues.setdefault(key, _Queue())
            if queue.length > WAITING_MAX:
                raise _too_many(429)
            queue.length += 1
        try:
            if not queue.turn.acquire(timeout=TURN_SECONDS):
                raise _too_many(503)
            try:
                yield
            finally:
                queue.turn.release()
        finally:
            with self._lock:
                queue.length -= 1
                if not queue.length:
                    del self._queues[key]


def _too_many(status: int) -> Throttled:
    return Throttled(
        "Too many logins of this name at once. Try again in a moment.",
        retry_after_seconds=1.0,
        status=status,
    )
