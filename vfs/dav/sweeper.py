"""Sweeper: removes what clients and killed processes have left behind."""

import logging
import threading
from collections.abc import Callable

from vfs.dav.parts import Parts

IDLE_SECONDS = 86_400.0
"""How long an upload waits for its next part."""

INTERVAL_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class Sweeper:
    """Ends forgotten uploads once when it is started and every hour from then on.

    `sweep_stores` is called once, after the first of these: a store takes a walk through all of it.
    It is told what asks it to stop. There is one thread. All attributes are fixed; `_stop` is set
    once. Several processes may sweep the same uploads.
    """

    def __init__(
        self,
        parts: Parts,
        sweep_stores: Callable[[Callable[[], bool]], None] = lambda _stopped: None,
    ) -> None:
        self._parts = parts
        self._sweep_stores = sweep_stores
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the sweep that it is at."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        is_first = True
        while True:
            try:
                self._parts.sweep(untouched_seconds=IDLE_SECONDS)
            except Exception:  # noqa: BLE001 - the next sweep may do what this one could not
                _log.exception("uploads that nobody goes on with could not be swept")
            if is_first:
                is_first = False
                self._sweep_stores(self._stop.is_set)
            if self._stop.wait(INTERVAL_SECONDS):
                return
