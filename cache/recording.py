"""Recording: a listing on its way into the index."""

import logging
import sqlite3

from cache.changes import changed_since
from cache.database import Database
from cache.place import Place

_LOG = logging.getLogger(__name__)

# So many entries are written in one transaction: others need not wait long for their turn.
CHUNK = 2000
NEWEST = (
    "SELECT id, fetched_at FROM listings WHERE mount = ? AND path = ? AND complete = 1"
    " ORDER BY fetched_at DESC, id DESC LIMIT 1"
)


class Recording:
    """Takes the entries of one folder in constant memory; they count once `finish` has returned.

    Used by one thread. When the disk refuses, the rest is taken and dropped. `_listing` is the
    number of the listing in the index, None when nothing is kept any more.
    """

    def __init__(self, database: Database, place: Place, fetched_at: float) -> None:
        self._database = database
        self._place = place
        self._fetched_at = fetched_at
        self._chunk: list[tuple[int, bytes, bytes]] = []
        self._size = 0
        self._listing: int | None = None
        self._begin()

    @property
    def is_kept(self) -> bool:
        """Tell whether entries are still kept."""
        return self._listing is not None

    def add(self, name: str, value: bytes) -> None:
        """Take one entry."""
        if self._listing is None:
            return
        key = name.encode("utf-8", "surrogatepass")
        self._chunk.append((self._listing, key, value))
        self._size += len(key) + len(value)
        if len(self._chunk) >= CHUNK:
            self._insert()

    def finish(self) -> bool:
        """Make it the listing of its folder; tell whether it is.

        It is not when the folder was changed since the origin was asked.
        """
        if self._chunk:
            self._insert()
        listing = self._listing
        if listing is None:
            return False
        try:
            with self._database.write() as connection:
                done = self._complete(connection, listing)
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("a listing is not remembered: %s", error)
            done = False
        if done:
            self._listing = None
        else:
            self.drop()
        return done

    def drop(self) -> None:
        """Forget what was taken. After `finish` it does nothing."""
        listing, self._listing = self._listing, None
        if listing is None:
            return
        try:
            with self._database.write() as connection:
                forget_listings(connection, "id = ?", (listing,))
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("an incomplete listing is left for the next trim: %s", error)

    def _begin(self) -> None:
        try:
            with self._database.write() as connection:
                made = connection.execute(
                    "INSERT INTO listings (mount, path, fetched_at, complete, bytes)"
                    " VALUES (?, ?, ?, 0, 0)",
                    (*self._place.key, self._fetched_at),
                )
                self._listing = made.lastrowid
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("a listing is not remembered: %s", error)
            self._listing = None

    def _insert(self) -> None:
        chunk, self._chunk = self._chunk, []
        try:
            with self._database.write() as connection:
                connection.executemany("REPLACE INTO entries VALUES (?, ?, ?)", chunk)
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("a listing is not remembered: %s", error)
            self.drop()

    def _complete(self, connection: sqlite3.Connection, listing: int) -> bool:
        place = self._place
        if changed_since(connection, place, self._fetched_at):
            return False
        newest = connection.execute(NEWEST, place.key).fetchone()
        if newest is not None and newest[1] > self._fetched_at:
            return False
        forget_listings(connection, "mount = ? AND path = ? AND complete = 1", place.key)
        done = connection.execute(
            "UPDATE listings SET complete = 1, bytes = ? WHERE id = ?", (self._size, listing)
        )
        # None is left when the cache was emptied meanwhile.
        return done.rowcount == 1


def forget_listings(
    connection: sqlite3.Connection, where: str, values: tuple[bytes | int, ...]
) -> None:
    """Delete listings with their entries. `where` is text of this package, never of a caller."""
    connection.execute(
        f"DELETE FROM entries WHERE listing IN (SELECT id FROM listings WHERE {where})",  # noqa: S608 - see above
        values,
    )
    connection.execute(f"DELETE FROM listings WHERE {where}", values)  # noqa: S608 - see above
