"""Pace: how slow a peer may be."""

import time

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


class Pace:
    """Measures one transfer in one direction; used by one thread."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._size = 0

    def add(self, size: int) -> None:
        """Count bytes that went through; raise BadRequest when they come too slowly."""
        self._size += size
        elapsed = time.monotonic() - self._start
        if elapsed > GRACE_SECONDS and self._size < (elapsed - GRACE_SECONDS) * RATE_BYTES:
            raise BadRequest(408, f"the transfer is slower than {RATE_BYTES} bytes a second")
