"""Sweeper: removes what clients and killed processes have left behind."""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from vfs.dav.parts import Parts

IDLE_SECONDS = 86_400.0
"""How long an upload waits for its next part."""

INTERVAL_SECONDS = 3600.0

LEAD_SECONDS = 5.0
"""Between two looks at whether the process that sweeps is gone."""

_log = logging.getLogger(__name__)


class Sweeper:
    """Ends forgotten uploads when it is started and every hour from then on.

    Of all processes that share `lock_file` one does so; when it is gone, another one does. In the
    stores, which take a walk through all they hold, each sweeps once if it is told to, by
    `sweep_stores`, which in turn is told what asks it to stop. There is one thread; `_walks` is
    its own once it runs, `_stop` is set once, all else is fixed.
    """

    def __init__(
        self,
        parts: Parts,
        lock_file: Path,
        sweep_stores: Callable[[Callable[[], bool]], None] = lambda _stopped: None,
    ) -> None:
        self._parts = parts
        self._lock_file = lock_file
        self._sweep_stores = sweep_stores
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._walks = True

    def start(self, *, walks: bool = True) -> None:
        """Begin to sweep; `walks` tells whether the stores are to be swept."""
        self._walks = walks
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the sweep that it is at."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        lead = None
        try:
            sweep_at = time.monotonic()
            while True:
                if lead is None:
                    lead = self._lead()
                if lead is not None and time.monotonic() >= sweep_at:
                    sweep_at = time.monotonic() + INTERVAL_SECONDS
                    self._sweep()
                if self._walks:
                    self._walks = False
                    self._sweep_stores(self._stop.is_set)
                if self._stop.wait(LEAD_SECONDS):
                    return
        finally:
            if lead is not None:
                os.close(lead)

    def _lead(self) -> int | None:
        """Become the one that sweeps; None while another process is."""
        try:
            lead = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _log.warning("uploads cannot be swept: '%s': %s", self._lock_file, error.strerror)
            return None
        try:
            fcntl.flock(lead, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lead)
            return None
        return lead

    def _sweep(self) -> None:
        try:
            self._parts.sweep(untouched_seconds=IDLE_SECONDS)
        except Exception:  # noqa: BLE001 - the next sweep may do what this one could not
            _log.exception("uploads that nobody goes on with could not be swept")
