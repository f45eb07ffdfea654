"""Pool: the threads that answer requests, more of them while some wait for slow peers."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from vfs.http.bad_request import BadRequest
from vfs.http.connection import Connection

THREADS = 48
"""Threads that work. The breaker lets one stalled store hold fewer than these."""

THREADS_MAX = 768
"""With those that wait for a peer; such a thread costs little more than a few pages of stack."""

ABORT_SECONDS = 5.0
"""How long a thread may take to end once its connection was cut under it."""

_log = logging.getLogger(__name__)


class Pool:
    """Keeps `THREADS` threads able to work, however many wait for a peer. It stands in cheroot's.

    `_queue` and `_give_back` are fixed; `_guard` guards the rest. `_size` counts the threads that
    were started and not yet told to end, `_busy` holds what each thread answers. The threads are
    daemons: one that hangs in a store must not keep the process from ending.
    """

    def __init__(self, give_back: Callable[[Connection], None]) -> None:
        self._give_back = give_back
        self._queue: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._busy: dict[threading.Thread, Connection | None] = {}
        self._size = 0
        self._blocked = 0
        self._is_stopped = False

    def start(self) -> None:
        """Start the threads that work."""
        with self._guard:
            while self._size < THREADS:
                self._add()

    def put(self, connection: Connection) -> None:
        """Queue a connection whose request is gathered."""
        self._queue.put(connection)

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Mark the calling thread as waiting for its peer; another takes its place.

        Raises BadRequest when more peers keep threads waiting than the pool can bear.
        """
        with self._guard:
            able = self._size - self._blocked - 1
            if able < THREADS and not self._is_stopped and not self._grown(able):
                raise BadRequest(
                    503, "too many slow transfers at once", headers=(("Retry-After", "5"),)
                )
            self._blocked += 1
        try:
            yield
        finally:
            with self._guard:
                self._blocked -= 1
                if self._size - self._blocked > 2 * THREADS and not self._is_stopped:
                    self._size -= 1
                    self._queue.put(None)

    def stop(self, timeout: float = 5) -> None:
        """End the threads after what is queued; after `timeout` seconds cut what still runs."""
        with self._guard:
            self._is_stopped = True
            threads = list(self._busy)
            for _ in range(self._size):
                self._queue.put(None)
            self._size = 0
        if not _join(threads, timeout):
            return
        with suppress(queue.Empty):
            while True:
                queued = self._queue.get_nowait()
                if queued is not None:
                    queued.close()
        with self._guard:
            running = dict(self._busy)
        for connection in running.values():
            self._queue.put(None)
            if connection is not None:
                connection.interrupt()
        stuck = _join(threads, ABORT_SECONDS)
        if stuck:
            _log.warning("%d requests hang in a store; they end with the process", stuck)

    def _add(self) -> None:
        """Start one more thread. Needs `_guard`."""
        thread = threading.Thread(target=self._work, name="request", daemon=True)
        thread.start()
        self._busy[thread] = None
        self._size += 1

    def _grown(self, able: int) -> bool:
        """Start one more thread, if it may be; tell whether enough can work. Needs `_guard`."""
        if self._size < THREADS_MAX:
            try:
                self._add()
            except RuntimeError as error:
                _log.warning("the system gives no more threads: %s", error)
            else:
                return True
        return able >= THREADS // 2

    def _work(self) -> None:
        """Answer one request after the other, until None is queued."""
        me = threading.current_thread()
        while (connection := self._queue.get()) is not None:
            with self._guard:
                self._busy[me] = connection
            self._answer(connection)
            with self._guard:
                self._busy[me] = None
        with self._guard:
            del self._busy[me]

    def _answer(self, connection: Connection) -> None:
        goes_on = False
        try:
            goes_on = connection.communicate()
        except Exception:  # noqa: BLE001 - one connection must not end the thread
            _log.exception("a connection failed")
        try:
            if goes_on:
                self._give_back(connection)
            else:
                connection.close()
        except Exception:  # noqa: BLE001 - likewise
            _log.exception("a connection could not be put aside")


def _join(threads: list[threading.Thread], seconds: float) -> int:
    """Wait for threads to end; return how many did not."""
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return sum(thread.is_alive() for thread in threads)
