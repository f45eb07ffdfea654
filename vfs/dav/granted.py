"""Granted: the locks that this process has just granted, so that ending one needs no look-up."""

import threading

from vfs.auth.recent import Recent
from vfs.state.base import LockRecord

KNOWN_MAX = 1024
KNOWN_CHARACTERS = 1024
"""Of path and owner together, so that all of them take some MiB at most."""


class Granted:
    """Knows locks by their tokens.

    What is asked of one never changes: where it is, what it covers, whose it is. Whether it still
    stands only the state store can say. `_lock` guards changes of `_recent`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: Recent[str, LockRecord] = Recent(KNOWN_MAX)

    def get(self, token: str) -> LockRecord | None:
        """Return the lock, or None if it was granted long ago or by somebody else."""
        return self._recent.get(token)

    def put(self, lock: LockRecord) -> None:
        """Remember a lock, unless it is large."""
        if len(lock.path) + len(lock.owner_xml) <= KNOWN_CHARACTERS:
            with self._lock:
                self._recent.put(lock.token, lock)

    def drop(self, lock: LockRecord) -> None:
        """Forget a lock that has ended."""
        with self._lock:
            self._recent.pop(lock.token)
