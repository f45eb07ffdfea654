"""Pace: how slow a peer may be."""

from typing import Protocol

from vfs.http.bad_request import BadRequest

HEAD_SECONDS = 20.0
"""From the first byte of a request to the end of its head."""

IDLE_SECONDS = 75.0
"""Between two requests on one connection."""

STALL_SECONDS = 60.0
"""Without a single byte while one is due."""

GRACE_SECONDS = 20.0
"""Before the average rate counts."""

RATE_BYTES = 1024
"""A second, on average after the grace: enough for a modem, too much for whoever only drips."""


class Waiting(Protocol):
    """A connection that knows how long its peer has kept it waiting."""

    waited_seconds: float


class Pace:
    """Measures one transfer in one direction; used by one thread.

    Only the time counts for which the peer kept us waiting: a slow store is not its fault.
    """

    def __init__(self, line: Waiting) -> None:
        self._line = line
        self._start = line.waited_seconds
        self._size = 0

    def add(self, size: int) -> None:
        """Count bytes that went through; raise BadRequest when they come too slowly."""
        self._size += size
        over = self._line.waited_seconds - self._start - GRACE_SECONDS
        if over > 0 and self._size < over * RATE_BYTES:
            raise BadRequest(408, f"the transfer is slower than {RATE_BYTES} bytes a second")
