"""Sweeper: has a budget enforced in the background."""

import logging
import threading
import time
from collections.abc import Callable

from cache.budget import SWEEP_SECONDS, Budget

_LOG = logging.getLogger(__name__)

# A sweep is followed by a pause of so many times its own duration.
_SWEEP_REST = 10
_STOP_SECONDS = 2.0


class Sweeper:
    """Sweeps when it is due, and every minute; rests longer than it takes. Fixed once made."""

    def __init__(
        self, budget: Budget, *, name: str, before: Callable[[], None] = lambda: None
    ) -> None:
        """Begin at once; `before` is called before each sweep and may raise OSError."""
        self._budget = budget
        self._before = before
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._sweep_on, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop. A sweep of very many files is left behind; it ends with the process."""
        self._closed.set()
        self._budget.is_due.set()
        self._thread.join(_STOP_SECONDS)

    def _sweep_on(self) -> None:
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                self._before()
                self._budget.sweep(wait=False)
            except OSError as error:
                _LOG.warning("%s: the cache could not be swept: %s", self._thread.name, error)
            rest = max(1.0, _SWEEP_REST * (time.monotonic() - began))
            if self._closed.wait(rest):
                return
            self._budget.is_due.wait(SWEEP_SECONDS)
            self._budget.is_due.clear()
