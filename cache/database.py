"""Database: one SQLite file for what is small: listings, stats, pins, counters.

The cache may be deleted at any time, so a damaged file, or one of another schema, is replaced by an
empty one.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.wal import use_wal

_LOG = logging.getLogger(__name__)
_VERSION = 1
_WAIT_SECONDS = 5.0
_IDLE_CONNECTIONS = 8
_WAL_BYTES = 16 << 20

_SCHEMA = """
-- One listing of one folder. It is visible once `complete` is 1; of those the newest counts.
CREATE TABLE IF NOT EXISTS listings (
    id INTEGER PRIMARY KEY,
    mount BLOB NOT NULL,
    path BLOB NOT NULL,
    fetched_at REAL NOT NULL,       -- Unix seconds: when the origin was asked
    complete INTEGER NOT NULL,
    bytes INTEGER NOT NULL          -- of all names and values, for the limit
) STRICT;
CREATE INDEX IF NOT EXISTS listings_by_path ON listings (mount, path, complete);
CREATE INDEX IF NOT EXISTS listings_by_age ON listings (fetched_at);
CREATE TABLE IF NOT EXISTS entries (
    listing INTEGER NOT NULL,
    name BLOB NOT NULL,
    value BLOB NOT NULL,            -- the caller's bytes
    PRIMARY KEY (listing, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stats (
    mount BLOB NOT NULL,
    path BLOB NOT NULL,
    fetched_at REAL NOT NULL,
    value BLOB,                     -- NULL: there is nothing at this path
    PRIMARY KEY (mount, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stats_by_age ON stats (fetched_at);
-- What we changed ourselves, so that an answer asked for before and stored after does not count.
CREATE TABLE IF NOT EXISTS changes (
    mount BLOB NOT NULL,
    path BLOB NOT NULL,
    changed_at REAL NOT NULL,
    tree INTEGER NOT NULL,          -- 1: all below has changed as well
    PRIMARY KEY (mount, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS changes_by_age ON changes (changed_at);
CREATE TABLE IF NOT EXISTS pins (
    mount BLOB NOT NULL,
    path BLOB NOT NULL,
    PRIMARY KEY (mount, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (
    mount BLOB NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (mount, name)
) STRICT, WITHOUT ROWID;
"""


class Database:
    """Lends connections of one file to any thread of any process that shares it.

    `file`, `_schema` and `_version` are fixed. `_turn` is held by the one thread of this process
    that writes, and guards `_ready`. `_idle` needs no lock: a list is changed in one step. Every
    method raises sqlite3.Error or OSError; what that means is the caller's to decide.
    """

    def __init__(self, file: Path, *, schema: str = _SCHEMA, version: int = _VERSION) -> None:
        self.file = file
        self._schema = schema
        self._version = version
        self._turn = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._ready = False
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for one statement, or for several within a BEGIN of the caller's."""
        connection = self._take()
        try:
            yield connection
        except BaseException as error:
            connection.close()
            self._consider(error)
            raise
        self._give(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection within a transaction that ends with the block: all of it or nothing."""
        if not self._turn.acquire(timeout=_WAIT_SECONDS):
            raise sqlite3.OperationalError("other writers did not finish in time")
        try:
            connection = self._take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                connection.close()
                self._consider(error)
                raise
            self._give(connection)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        self._closed = True
        self._drain()

    def _take(self) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("the cache was closed")
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _give(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.rollback()
        if len(self._idle) < _IDLE_CONNECTIONS and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()

    def _drain(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _open(self) -> sqlite3.Connection:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.file.exists():
            os.close(os.open(self.file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._ready = False
        connection = sqlite3.connect(
            self.file, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException as error:
            connection.close()
            self._consider(error)
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        use_wal(connection, _WAIT_SECONDS)
        # A cache need not survive a power cut to the last moment; OFF would harm the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        connection.execute("PRAGMA trusted_schema = OFF")
        if self._ready:
            return
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, self._version):
            raise sqlite3.DatabaseError("the cache is of another version of the gateway")
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE;{self._schema};PRAGMA user_version = {self._version};COMMIT"
            )
        self._ready = True

    def _consider(self, error: BaseException) -> None:
        """Remove the file if it is damaged; the next connection makes a new one."""
        code = getattr(error, "sqlite_errorcode", None)
        damaged = code is not None and code & 0xFF in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        )
        if not damaged and not (type(error) is sqlite3.DatabaseError and code is None):
            return
        _LOG.warning("the index of the cache is made anew: %s: %s", self.file, error)
        self._drain()
        for suffix in ("", "-wal", "-shm"):
            self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
        self._ready = False
