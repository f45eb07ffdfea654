"""ProvenanceLog: keeps how derived files came to be, off the way of who waits for them."""

import logging
import queue
import threading

from processors.making.provenance import Provenance
from vfs.state.base import StateStore
from vfs.state.errors import StateError

_log = logging.getLogger(__name__)

# So many records wait at most; a store that takes no more for so long loses the next ones.
_WAITING_MAX = 10_000
_BATCH = 500
# Others that come so soon after the first are written with it, in one commit.
_GATHER_SECONDS = 0.5
# After so many records the oldest are pruned.
_PRUNE_EVERY = 1000
_STOP_SECONDS = 5.0


class ProvenanceLog:
    """Writes records in a thread of its own, which the first one starts.

    `_lock` guards `_thread`; the rest is fixed. Each result has its own record beside its bytes, so
    one that is lost here is not lost at once.
    """

    def __init__(
        self, state: StateStore, *, most: int, older_than_seconds: float | None = None
    ) -> None:
        self._state = state
        self._most = most
        self._older_than_seconds = older_than_seconds
        self._waiting: queue.Queue[Provenance | None] = queue.Queue(_WAITING_MAX)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def record(self, provenance: Provenance) -> None:
        """Have a record kept, soon."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="provenance", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(provenance)
        except queue.Full:
            _log.error("provenance %s is lost: the state store is too slow", provenance.id)

    def find(self, key: str) -> Provenance | None:
        """Return the youngest record of a result; None too when the store cannot be asked."""
        try:
            return self._state.provenance(key)
        except StateError as error:
            _log.warning("provenance cannot be read: %s", error)
            return None

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.set()
            self._waiting.put(None)
            thread.join(_STOP_SECONDS)

    def _write(self) -> None:
        written = 0
        is_over = False
        while not is_over:
            batch = [self._waiting.get()]
            self._closing.wait(_GATHER_SECONDS)
            while len(batch) < _BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            is_over = None in batch
            records = [record for record in batch if record is not None]
            try:
                self._state.add_provenance(records)
                if not written or written + len(records) > _PRUNE_EVERY:
                    written = 0
                    self._state.prune_provenance(
                        most=self._most, older_than_seconds=self._older_than_seconds
                    )
                written += len(records)
            except StateError as error:
                _log.error("provenance of %d files is lost: %s", len(records), error)
