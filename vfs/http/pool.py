"""Pool: cheroot's threads, more of them while some wait for slow peers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cheroot.server import HTTPServer
from cheroot.workers.threadpool import ThreadPool

from vfs.http.bad_request import BadRequest

THREADS = 48
"""Threads that work. The breaker lets one stalled store hold fewer than these."""

THREADS_MAX = 768
"""With those that wait for a peer; such a thread costs little more than a few pages of stack."""


class Pool(ThreadPool):
    """Keeps `THREADS` threads able to work, however many wait for a peer.

    `_guard` guards the counts; the queue and the threads themselves are cheroot's.
    """

    def __init__(self, server: HTTPServer) -> None:
        super().__init__(server, min=THREADS, max=THREADS_MAX)
        self._guard = threading.Lock()
        self._size = THREADS
        self._blocked = 0

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Mark the calling thread as waiting for its peer; another takes its place.

        Raises BadRequest when more peers keep threads waiting than the pool can bear.
        """
        with self._guard:
            able = self._size - self._blocked - 1
            if able < THREADS // 2 and self._size >= THREADS_MAX:
                raise BadRequest(
                    503, "too many slow transfers at once", headers=(("Retry-After", "5"),)
                )
            self._blocked += 1
            more = able < THREADS and self._size < THREADS_MAX
            self._size += more
        if more:
            self.grow(1)
        try:
            yield
        finally:
            with self._guard:
                self._blocked -= 1
                fewer = self._size - self._blocked > 2 * THREADS
                self._size -= fewer
            if fewer:
                self.shrink(1)
