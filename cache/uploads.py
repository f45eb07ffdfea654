"""Uploads: what the one process knows and says of a journal that uploads from it."""

import fcntl
import os
import threading
import time

from cache import records
from cache.contents import Contents
from cache.errors import JournalError
from cache.holds import Holds
from cache.pending import COLUMNS, Pending, to_key, to_pending

# So many of what arrived are shown by the version they were accepted with.
SETTLED_MAX = 1_000_000
_CONFLICTS_KEPT = 1000
_BATCH = 256


class Uploads:
    """The steps of an upload. `_contents` and `_holds` are fixed.

    `_lock` guards `_lead`, the descriptor of the lock of the one that uploads. Every method raises
    JournalError.
    """

    def __init__(self, contents: Contents, holds: Holds) -> None:
        self._contents = contents
        self._holds = holds
        self._lock = threading.Lock()
        self._lead = -1

    def lead(self) -> bool:
        """Become, or stay, the one that uploads; False while another one is."""
        with self._lock:
            if self._lead >= 0:
                return True
            try:
                lead = os.open(
                    self._contents.folder / "lead.lock",
                    os.O_CREAT | os.O_RDWR | os.O_CLOEXEC,
                    0o600,
                )
            except OSError as error:
                raise JournalError(f"the journal's disk refused: {error.strerror}") from error
            try:
                fcntl.flock(lead, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lead)
                return False
            self._lead = lead
        self._contents.sweep()
        return True

    def resign(self) -> None:
        """Let another one upload."""
        with self._lock:
            lead, self._lead = self._lead, -1
            if lead >= 0:
                os.close(lead)

    def ready(self, limit: int) -> list[Pending]:
        """Return what may be uploaded now: the first of each path, in order."""
        with self._contents.database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM pending AS one WHERE state != 'stuck' AND retry_at <= ?"  # noqa: S608 - constant names
                " AND NOT EXISTS (SELECT 1 FROM pending AS other"
                " WHERE other.path = one.path AND other.id < one.id) ORDER BY id LIMIT ?",
                (time.time(), limit),
            )
            return [to_pending(row) for row in rows]

    def begin(self, pending: Pending) -> Pending | None:
        """Note that a content is on its way; None when it is gone, or its path is held."""

        def note() -> Pending | None:
            with self._contents.database.write() as connection:
                if not pending.is_begun and self._holds.find(connection, pending.path):
                    return None
                done = connection.execute(
                    "UPDATE pending SET state = 'begun'"
                    " WHERE id = ? AND path = ? AND state != 'stuck'",
                    (pending.id, to_key(pending.path)),
                )
                return records.get(connection, pending.id) if done.rowcount else None

        return self._contents.must(note)

    def put_back(
        self,
        pending: Pending,
        state: str,
        *,
        cause: str = "",
        wait_seconds: float = 0.0,
        tried: bool = True,
    ) -> None:
        """Note that an upload ended without success, why, and when it is tried again."""

        def note() -> None:
            with self._contents.database.write(durable=False) as connection:
                connection.execute(
                    "UPDATE pending SET state = ?, cause = ?, retry_at = ?, attempts = attempts + ?"
                    " WHERE id = ?",
                    (state, cause, time.time() + wait_seconds, int(tried), pending.id),
                )

        self._contents.must(note)

    def settle(self, pending: Pending, version: str, mtime_ns: int) -> Pending | None:
        """Strike off what arrived. When it was given another time meanwhile, return it anew."""
        key = to_key(pending.path)

        def strike() -> Pending | None:
            with self._contents.database.write(durable=False) as connection:
                now = records.get(connection, pending.id)
                if now is not None and now.mtime_ns != pending.mtime_ns:
                    return now
                connection.execute("DELETE FROM pending WHERE id = ?", (pending.id,))
                connection.execute("UPDATE pending SET base = ? WHERE path = ?", (version, key))
                connection.execute(
                    "INSERT OR REPLACE INTO settled VALUES (?, ?, ?, ?, ?, ?)",
                    (key, pending.id, version, mtime_ns, pending.token, pending.mtime_ns),
                )
                if pending.id % _BATCH == 0:
                    connection.execute(
                        "DELETE FROM settled WHERE id < ?", (pending.id - SETTLED_MAX,)
                    )
            self._contents.unlink([pending.data])
            return None

        return self._contents.must(strike)

    def set_beside(self, pending: Pending, beside: str) -> None:
        """Note where a content goes whose path was changed meanwhile."""
        with self._contents.database.write() as connection:
            connection.execute(
                "UPDATE pending SET beside = ? WHERE id = ?", (to_key(beside), pending.id)
            )

    def set_aside(self, pending: Pending, beside: str) -> None:
        """Strike off what arrived beside, and keep a note of it."""

        def strike() -> None:
            with self._contents.changing() as (connection, gone):
                connection.execute("DELETE FROM pending WHERE id = ?", (pending.id,))
                gone.append(pending.data)
                connection.execute(
                    "INSERT INTO conflicts VALUES (?, ?, ?, ?)",
                    (pending.id, to_key(pending.path), to_key(beside), time.time_ns()),
                )
                connection.execute(
                    "DELETE FROM conflicts WHERE id NOT IN"
                    " (SELECT id FROM conflicts ORDER BY id DESC LIMIT ?)",
                    (_CONFLICTS_KEPT,),
                )

        self._contents.must(strike)
