"""Durable: one SQLite file for what may not be lost.

Unlike `database`, what is damaged is never replaced, and what a durable transaction wrote survives
a power cut.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.errors import JournalBusy, JournalError, JournalFull
from cache.wal import use_wal

# How long a writer waits for the others.
_WAIT_SECONDS = 10.0
_IDLE_CONNECTIONS = 8
_WAL_BYTES = 4 << 20
# Pages in the log before they are moved into the file: the log stays within the reserve.
_CHECKPOINT_PAGES = 100
# Kept aside, so that on a full disk what was uploaded can still be struck off.
_RESERVE_BYTES = 1 << 20


class Durable:
    """Lends connections of one file to any thread of any process that shares it.

    `file`, `_schema` and `_version` are fixed. `_turn` is held by the one thread of this process
    that writes. `_opening` guards the making of the file; it is taken while `_turn` may be held.
    `_idle` and `_closed` need no lock: each is changed in one step. Every method raises
    JournalError.
    """

    def __init__(self, file: Path, schema: str, version: int) -> None:
        self.file = file
        self._schema = schema
        self._version = version
        self._turn = threading.Lock()
        self._opening = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection within a transaction that reads one state."""
        connection = self._take()
        try:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.close()
            raise self._translate(error) from error
        except BaseException:
            connection.close()
            raise
        self._give(connection)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Lend a connection within a transaction that ends with the block: all of it or nothing.

        With durable=False it survives a killed process, but perhaps not a power cut.
        """
        if not self._turn.acquire(timeout=_WAIT_SECONDS):
            raise JournalBusy("other writers of the journal did not finish in time")
        try:
            connection = self._take()
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                connection.close()
                raise self._translate(error) from error
            except BaseException:
                connection.close()
                raise
            self._give(connection)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        self._closed = True
        self._drain()

    def free_reserve(self) -> None:
        """Give the room that was kept aside to a transaction that must succeed."""
        with contextlib.suppress(OSError):
            self._reserve.unlink()

    def keep_reserve(self) -> None:
        """Set room aside again, if there is any."""
        if self._reserve.exists():
            return
        try:
            descriptor = os.open(self._reserve, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError:
            self.free_reserve()

    @property
    def _reserve(self) -> Path:
        return self.file.with_name("reserve")

    def _take(self) -> sqlite3.Connection:
        if self._closed:
            raise JournalError("the journal was closed")
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _give(self, connection: sqlite3.Connection) -> None:
        if len(self._idle) < _IDLE_CONNECTIONS:
            self._idle.append(connection)
            if self._closed:
                self._drain()
        else:
            connection.close()

    def _drain(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _open(self) -> sqlite3.Connection:
        with self._opening:
            try:
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                connection = sqlite3.connect(
                    self.file,
                    timeout=_WAIT_SECONDS,
                    isolation_level=None,
                    check_same_thread=False,
                )
            except OSError as error:
                raise JournalError(f"'{self.file}': {error.strerror}") from error
            except sqlite3.Error as error:
                raise self._translate(error) from error
            try:
                self._prepare(connection)
            except sqlite3.Error as error:
                connection.close()
                raise self._translate(error) from error
            except OSError as error:
                connection.close()
                raise JournalError(f"'{self.file}': {error.strerror}") from error
            except BaseException:
                connection.close()
                raise
            return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        use_wal(connection, _WAIT_SECONDS)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA trusted_schema = OFF")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE;{self._schema};PRAGMA user_version = {self._version};COMMIT"
            )
            sync_folder(self.file.parent)
        elif version != self._version:
            raise JournalError(
                f"'{self.file}' was written by another version of the gateway; let that one upload"
                " what is pending"
            )
        self.keep_reserve()

    def _translate(self, error: sqlite3.Error) -> JournalError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return JournalBusy("another process did not finish writing the journal in time")
        if code == sqlite3.SQLITE_FULL:
            return JournalFull("the disk of the journal is full")
        return JournalError(f"'{self.file}': {error}")


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
