"""Listings: directory entries and stats, kept across restarts.

Everything is bytes of the caller's, with the time at which the origin was asked. Whether that is
still good is `freshness`'s to say. What the disk refuses is not remembered, and never fails a
request.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from cache.changes import changed_since, note
from cache.database import Database
from cache.errors import CacheError
from cache.place import Place
from cache.recording import CHUNK, NEWEST, Recording, forget_listings

_LOG = logging.getLogger(__name__)

# The names and values of all listings. Beyond it the oldest listings go.
MAX_BYTES = 1 << 30
# The stats that are kept beside them. Beyond it the oldest go.
STATS_MAX = 1_000_000
_TRIM_SECONDS = 60.0
# A listing that is still incomplete after this time belongs to a process that was killed.
_LEFTOVER_SECONDS = 3600.0


class Remembered(msgspec.Struct, frozen=True):
    """What the origin said of one path; `value` is None where it said that there is nothing."""

    value: bytes | None
    fetched_at: float


class Listing(msgspec.Struct, frozen=True):
    """The entries of one folder in the order of their names, to be read once.

    They are of one listing, also when it is replaced meanwhile. Reading them raises CacheError when
    the disk fails.
    """

    fetched_at: float
    entries: Iterator[tuple[str, bytes]]


class Listings:
    """Remembers what folders hold and what paths are.

    `_database`, `max_bytes`, `stats_max` are fixed. `_lock` guards `_trimmed_at`. `_void_before`,
    one number, is set when a change could not be written down: what was remembered before it is
    then not believed by this process.
    """

    def __init__(
        self, database: Database, max_bytes: int = MAX_BYTES, stats_max: int = STATS_MAX
    ) -> None:
        self.max_bytes = max_bytes
        self.stats_max = stats_max
        self._database = database
        self._lock = threading.Lock()
        self._trimmed_at = 0.0
        self._void_before = 0.0

    def put_listing(
        self, mount: str, path: str, entries: Iterable[tuple[str, bytes]], fetched_at: float
    ) -> bool:
        """Remember a listing in constant memory; it counts once the last entry was taken.

        Tell whether it was kept. It is not when the folder was changed since `fetched_at`; then,
        and when the disk refuses, `entries` may not be read to its end. What `entries` raises goes
        through, and the old listing stays.
        """
        recording = self.record(mount, path, fetched_at)
        try:
            for name, value in entries:
                recording.add(name, value)
                if not recording.is_kept:
                    return False
            return recording.finish()
        finally:
            recording.drop()

    def record(self, mount: str, path: str, fetched_at: float) -> Recording:
        """Return what takes a listing entry by entry; who has it calls `finish` or `drop`."""
        self._trim_sometimes()
        return Recording(self._database, Place(mount, path), fetched_at)

    @contextmanager
    def listing(self, mount: str, path: str) -> Iterator[Listing | None]:
        """Lend what is remembered of a folder, None if nothing is."""
        place = Place(mount, path)
        try:
            lent = self._database.read()
            connection = lent.__enter__()
        except (sqlite3.Error, OSError):
            yield None
            return
        try:
            found = self._look(connection, place)
            yield found
        except BaseException as error:
            lent.__exit__(type(error), error, error.__traceback__)
            raise
        lent.__exit__(None, None, None)

    def stat(self, mount: str, path: str) -> Remembered | None:
        """Return what is remembered of a path: by itself, or from the listing of its folder.

        A folder's listing without the name says that there is nothing.
        """
        place = Place(mount, path)
        try:
            with self._database.read() as connection:
                row = connection.execute(
                    "SELECT value, fetched_at FROM stats WHERE mount = ? AND path = ?", place.key
                ).fetchone()
                listed = None if place.is_root else _listed(connection, place)
        except (sqlite3.Error, OSError):
            return None
        found = [Remembered(*known) for known in (row, listed) if known is not None]
        newest = max(found, key=lambda known: known.fetched_at, default=None)
        return None if newest is None or newest.fetched_at <= self._void_before else newest

    def put_stat(self, mount: str, path: str, value: bytes, fetched_at: float) -> None:
        """Remember what the origin said, unless the path was changed since it was asked."""
        self._put(Place(mount, path), value, fetched_at)

    def put_absent(self, mount: str, path: str, fetched_at: float) -> None:
        """Remember that there is nothing at a path."""
        self._put(Place(mount, path), None, fetched_at)

    def put_own(self, mount: str, path: str, value: bytes | None) -> None:
        """Remember what a change of our own made of a path, also in the listing of its folder.

        `value` is None when it was removed. Answers that were asked for before do not count.
        """
        place = Place(mount, path)

        def change(connection: sqlite3.Connection) -> None:
            now = time.time()
            note(connection, place, now)
            connection.execute("REPLACE INTO stats VALUES (?, ?, ?, ?)", (*place.key, now, value))
            if value is None:
                forget_listings(connection, "mount = ? AND path = ?", place.key)
            if place.is_root:
                return
            note(connection, place.parent, now)
            newest = connection.execute(NEWEST, place.parent.key).fetchone()
            if newest is not None:
                _edit(connection, newest[0], place.name, value)

        self._change(change)

    def invalidate(self, mount: str, path: str) -> None:
        """Forget a path and the listings that show it: its own and that of its folder."""
        place = Place(mount, path)

        def change(connection: sqlite3.Connection) -> None:
            now = time.time()
            for known in {place, place.parent}:
                note(connection, known, now)
                connection.execute("DELETE FROM stats WHERE mount = ? AND path = ?", known.key)
                forget_listings(connection, "mount = ? AND path = ?", known.key)

        self._change(change)

    def invalidate_tree(self, mount: str, path: str) -> None:
        """Forget a path, all below it, and the listing of its folder."""
        place = Place(mount, path)

        def change(connection: sqlite3.Connection) -> None:
            note(connection, place, time.time(), tree=True)
            note(connection, place.parent, time.time(), tree=place.is_root)
            _forget_tree(connection, place)
            forget_listings(connection, "mount = ? AND path = ?", place.parent.key)

        self._change(change)

    def rename_tree(self, mount: str, source: str, target: str) -> None:
        """Move what is remembered below `source`; forget both paths themselves.

        Their folders' listings are edited or forgotten. Follow it with `put_own` of `target`.
        """
        old, new = Place(mount, source), Place(mount, target)

        def change(connection: sqlite3.Connection) -> None:
            now = time.time()
            for place in (old, new):
                note(connection, place, now, tree=True)
                note(connection, place.parent, now)
            _forget_tree(connection, new)
            for table in ("listings", "stats"):
                connection.execute(
                    f"UPDATE {table} SET path = CAST(? || substr(path, ?) AS BLOB) WHERE {_BELOW}",  # noqa: S608 - the names are ours
                    (new.key[1], len(old.key[1]) + 1, *old.below),
                )
            connection.execute(
                "UPDATE listings SET path = ? WHERE mount = ? AND path = ?", (new.key[1], *old.key)
            )
            connection.execute("DELETE FROM stats WHERE mount = ? AND path = ?", old.key)
            newest = connection.execute(NEWEST, old.parent.key).fetchone()
            if newest is not None:
                _edit(connection, newest[0], old.name, None)
            if new.parent != old.parent or newest is None:
                forget_listings(connection, "mount = ? AND path = ?", new.parent.key)

        self._change(change)

    def trim(self) -> None:
        """Remove the oldest beyond the limits, and what killed processes left."""
        try:
            while self._trim_step():
                continue
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("the listings were not trimmed: %s", error)

    def _look(self, connection: sqlite3.Connection, place: Place) -> Listing | None:
        try:
            # What the iterator reads stays as it is now, whatever others write.
            connection.execute("BEGIN")
            row = connection.execute(NEWEST, place.key).fetchone()
        except sqlite3.Error as error:
            _LOG.debug("a listing cannot be read: %s", error)
            return None
        if row is None or row[1] <= self._void_before:
            return None
        return Listing(row[1], _entries(connection, row[0]))

    def _put(self, place: Place, value: bytes | None, fetched_at: float) -> None:
        try:
            with self._database.write() as connection:
                if not changed_since(connection, place, fetched_at):
                    connection.execute(
                        "INSERT INTO stats (mount, path, fetched_at, value) VALUES (?, ?, ?, ?)"
                        " ON CONFLICT DO UPDATE SET fetched_at = excluded.fetched_at,"
                        " value = excluded.value WHERE excluded.fetched_at >= fetched_at",
                        (*place.key, fetched_at, value),
                    )
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("a stat is not remembered: %s", error)
        self._trim_sometimes()

    def _change(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """Write a change down; if that fails believe nothing that was remembered before it."""
        try:
            with self._database.write() as connection:
                change(connection)
        except (sqlite3.Error, OSError) as error:
            self._void_before = time.time()
            _LOG.warning("listings cannot be kept, so they are asked for again: %s", error)

    def _trim_sometimes(self) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._trimmed_at < _TRIM_SECONDS and self._trimmed_at:
                return
            self._trimmed_at = now
        self.trim()

    def _trim_step(self) -> bool:
        """Remove one listing, or some stats; tell whether there may be more to remove."""
        with self._database.write() as connection:
            past = time.time() - _LEFTOVER_SECONDS
            connection.execute("DELETE FROM changes WHERE changed_at < ?", (past,))
            (stats,) = connection.execute("SELECT count(*) FROM stats").fetchone()
            if stats > self.stats_max:
                connection.execute(
                    "DELETE FROM stats WHERE (mount, path) IN"
                    " (SELECT mount, path FROM stats ORDER BY fetched_at LIMIT ?)",
                    (min(CHUNK, stats - self.stats_max),),
                )
                return True
            (size,) = connection.execute("SELECT total(bytes) FROM listings").fetchone()
            oldest = connection.execute(
                "SELECT id FROM listings WHERE complete = 0 AND fetched_at < ?"
                " UNION ALL SELECT * FROM (SELECT id FROM listings WHERE complete = 1 AND ?"
                " ORDER BY fetched_at LIMIT 1) LIMIT 1",
                (past, size > self.max_bytes),
            ).fetchone()
            if oldest is not None:
                forget_listings(connection, "id = ?", oldest)
            return oldest is not None


_BELOW = "mount = ? AND path >= ? AND path < ?"


def _entries(connection: sqlite3.Connection, listing: int) -> Iterator[tuple[str, bytes]]:
    try:
        for name, value in connection.execute(
            "SELECT name, value FROM entries WHERE listing = ? ORDER BY name", (listing,)
        ):
            yield name.decode("utf-8", "surrogatepass"), value
    except sqlite3.Error as error:
        raise CacheError(f"the listing cannot be read to its end: {error}") from error


def _listed(connection: sqlite3.Connection, place: Place) -> tuple[bytes | None, float] | None:
    row: tuple[bytes | None, float] | None = connection.execute(
        "SELECT value, fetched_at FROM listings LEFT JOIN entries ON listing = id AND name = ?"
        " WHERE mount = ? AND path = ? AND complete = 1 ORDER BY fetched_at DESC, id DESC LIMIT 1",
        (place.name, *place.parent.key),
    ).fetchone()
    return row


def _edit(connection: sqlite3.Connection, listing: int, name: bytes, value: bytes | None) -> None:
    if value is None:
        connection.execute("DELETE FROM entries WHERE listing = ? AND name = ?", (listing, name))
    else:
        connection.execute("REPLACE INTO entries VALUES (?, ?, ?)", (listing, name, value))


def _forget_tree(connection: sqlite3.Connection, place: Place) -> None:
    for where, values in ((_BELOW, place.below), ("mount = ? AND path = ?", place.key)):
        forget_listings(connection, where, values)
        connection.execute(f"DELETE FROM stats WHERE {where}", values)  # noqa: S608 - see above
