"""The connections of the embedded back end: opening, threads, forks, errors.

Python's sqlite3 waits for the file, not for fairness: the waiting between threads of one process
is done here, by a lock, and only one of them at a time competes with other processes.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from cache.wal import is_busy, use_wal
from providers import waiting
from vfs.state.commits import Commits
from vfs.state.errors import Busy, Damaged, Full, StateError, Unavailable
from vfs.state.schema import APPLICATION_ID, MIGRATIONS, VERSION

# How long a writer waits for the others before it gives up with Busy.
WAIT_SECONDS = 10.0
# Connections kept open while nobody uses them, and the pages that each holds; the system has all
# of the file in its own cache anyway.
_IDLE_MAX = 8
_CACHE_KIB = 512
_WAL_BYTES = 16 * 1024 * 1024

COMMITS_KEPT = 128
"""After so many of this process, one that may wait writes the log back into the file."""

# A net beneath that: by then others have written, or much at once.
_LOG_PAGES = 4096

_log = logging.getLogger(__name__)


_process = os.getpid()


def _renew() -> None:
    """Know the number of a process that was forked; asking for it each time is a system call."""
    global _process  # noqa: PLW0603 - one value a process
    _process = os.getpid()


os.register_at_fork(after_in_child=_renew)


class _Connection(sqlite3.Connection):
    """One that may wait, unless it `is_prompt`."""

    is_prompt = False


class Connections:
    """Lends connections of one file to any thread of any process.

    `_file` and `_wait_seconds` are fixed. `_pools` has one entry for each process that used this
    object: after a fork the parent's connections stay referenced and untouched, since a child may
    not even close them.
    """

    def __init__(self, file: Path, wait_seconds: float) -> None:
        self._file = file
        self._wait_seconds = wait_seconds
        self._pools: dict[int, _Pool] = {}

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lend a connection for one statement, or for several within a BEGIN of the caller's."""
        return self._pool().read()

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lend a connection within a transaction that ends with the block: all of it or nothing."""
        return self._pool().write()

    def now(self) -> int | None:
        """Return what changes with each commit of any process; None if that cannot be told now.

        What is read after this call, and finds the same number later, still holds then.
        """
        pool = self._pools.get(_process) or self._pool()
        commits = pool.commits
        return None if commits is None else commits.now()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        self._pool().close()

    def _pool(self) -> "_Pool":
        found = self._pools.get(_process)
        if found is None:
            # Atomic: two threads that come at once get the same one.
            found = self._pools.setdefault(_process, _Pool(self._file, self._wait_seconds))
        return found


class _Pool:
    """The connections of one process; none is used by two threads at once.

    `_file` and `_wait_seconds` are fixed. `_turn` is held by the one thread that writes. `_opening`
    guards the making and upgrading of the file; it is taken while `_turn` may be held. `_idle` and
    `_closed` need no lock: each is changed in one atomic step, and who gives a connection back
    looks at `_closed` afterwards.

    A thread that must not wait takes one of `_prompt`, which gives up where another would wait, and
    never writes the log back into the file, which flushes the disk. Where `_is_wanted` says that
    none is there, whoever may wait leaves one. What such a thread has committed is never to be done
    again, so it may wait from then on. `_unwritten` counts the commits of this process since it
    last wrote the log back; `_turn` guards it. `commits` is set with the first connection.
    """

    def __init__(self, file: Path, wait_seconds: float) -> None:
        self._file = file
        self._wait_seconds = wait_seconds
        self._turn = threading.Lock()
        self._opening = threading.Lock()
        self._idle: list[_Connection] = []
        self._prompt: list[_Connection] = []
        self._is_wanted = True
        self._unwritten = 0
        self.commits: Commits | None = None
        self._closed = False

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        connection = self._take()
        try:
            yield connection
        except sqlite3.Error as error:
            self._drop(connection)
            if is_busy(error):
                waiting.begin()
            raise self._translate(error) from error
        except BaseException:
            if connection.in_transaction:
                self._roll_back(connection)
            else:
                self._give(connection)
            raise
        self._give(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        if not self._turn.acquire(blocking=False):
            waiting.begin()
            if not self._turn.acquire(timeout=self._wait_seconds):
                raise Busy("other writers did not finish in time")
        try:
            if self._unwritten >= COMMITS_KEPT:
                waiting.begin()
            connection = self._take()
            try:
                self._begin(connection)
                commits = self._counted()
                # From here on nobody remembers what may change now.
                begun = commits.begin()
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    commits.end(begun)
                waiting.allow()
                self._unwritten += 1
            except sqlite3.Error as error:
                self._drop(connection)
                raise self._translate(error) from error
            except BaseException:
                self._roll_back(connection)
                raise
            if self._unwritten >= COMMITS_KEPT and not connection.is_prompt:
                self._write_back(connection)
            self._give(connection)
        finally:
            self._turn.release()

    def close(self) -> None:
        self._closed = True
        self.commits = None
        self._drain()

    @staticmethod
    def _begin(connection: _Connection) -> None:
        # IMMEDIATE: what the block reads still holds when it writes.
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                waiting.begin()
            raise

    def _counted(self) -> Commits:
        if self.commits is None:
            raise Unavailable("it was closed", self._where)
        return self.commits

    def _write_back(self, connection: _Connection) -> None:
        """Write the log back into the file, and begin it anew.

        Both flush the disk. The second is done by the first transaction after the log was written
        back as a whole, so there is one here: the next may be of a thread that must not wait.
        """
        self._unwritten = 0
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA user_version = {_version(connection)}")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            # What was to be written stands in the log; a later turn will do this.
            _log.warning("the log of %s could not be written back: %s", self._where, error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _take(self) -> _Connection:
        if self._closed:
            raise Unavailable("it was closed", self._where)
        is_prompt = waiting.is_refused()
        try:
            return self._prompt.pop() if is_prompt else self._idle.pop()
        except IndexError:
            self._is_wanted |= is_prompt
            waiting.begin()
            return self._open()

    def _give(self, connection: _Connection) -> None:
        if connection.is_prompt or (self._is_wanted and self._is_fit(connection)):
            self._is_wanted = False
            self._prompt.append(connection)
        elif len(self._idle) < _IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.close()
            return
        if self._closed:
            self._drain()

    @staticmethod
    def _is_fit(connection: _Connection) -> bool:
        """Make a connection fit for a thread that must not wait; tell whether it is."""
        try:
            connection.execute("PRAGMA busy_timeout = 0").fetchone()
            connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
        except sqlite3.Error:
            return False
        connection.is_prompt = True
        return True

    def _roll_back(self, connection: _Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop(connection)
        else:
            self._give(connection)

    @staticmethod
    def _drop(connection: _Connection) -> None:
        # Closing rolls back. Its own failure must not hide the one that led here.
        try:
            connection.close()
        except sqlite3.Error:
            return

    def _drain(self) -> None:
        for connections in (self._idle, self._prompt):
            with suppress(IndexError):
                while True:
                    connections.pop().close()

    @property
    def _where(self) -> str:
        return str(self._file)

    def _open(self) -> _Connection:
        with self._opening:
            try:
                self._protect()
                connection = sqlite3.connect(
                    self._file,
                    timeout=self._wait_seconds,
                    isolation_level=None,
                    check_same_thread=False,
                    factory=_Connection,
                )
            except OSError as error:
                raise Unavailable(error.strerror or "it cannot be opened", self._where) from error
            except sqlite3.Error as error:
                raise self._translate(error) from error
            try:
                self._prepare(connection)
                if self.commits is None and not self._closed:
                    self.commits = Commits(self._file)
            except OSError as error:
                self._drop(connection)
                raise Unavailable(error.strerror or "it cannot be opened", self._where) from error
            except sqlite3.Error as error:
                self._drop(connection)
                raise self._translate(error) from error
            except BaseException:
                self._drop(connection)
                raise
            return connection

    def _protect(self) -> None:
        """Make the file, for our eyes only. SQLite gives its companions the same mode.

        An existing file is never opened here: closing it again would end the locks that other
        connections of this process hold on it (POSIX).
        """
        try:
            os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if self._file.stat().st_mode & 0o077:
                self._file.chmod(0o600)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        self._check_ours(connection)
        if not use_wal(connection, self._wait_seconds):
            raise Unavailable(
                "its disk cannot share memory between processes; "
                "put the state directory on a local disk",
                self._where,
            )
        # With a WAL, NORMAL never harms the file, and what was acknowledged survives a killed
        # process. A power cut may lose the last moments; FULL would prevent that at the price of
        # a disk flush in every LOCK and PROPPATCH.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA trusted_schema = OFF")
        if _version(connection) < VERSION:
            self._migrate(connection)

    def _check_ours(self, connection: sqlite3.Connection) -> None:
        version = _version(connection)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != APPLICATION_ID and (tables or version):
            # Another process may have made the tables between these three statements.
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise Unavailable("the file belongs to another program", self._where)
        if version > VERSION:
            raise Unavailable(
                f"a newer gateway wrote it: its schema is {version}, this gateway knows {VERSION}; "
                "upgrade the gateway or give it another state directory",
                self._where,
            )

    @staticmethod
    def _migrate(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        # Read again: another process may have done it while this one waited.
        for number in range(_version(connection), VERSION):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")

    def _translate(self, error: sqlite3.Error) -> StateError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Busy("another process did not finish writing in time")
        if code == sqlite3.SQLITE_FULL:
            return Full(where=self._where)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return Damaged(str(error), self._where)
        return Unavailable(str(error), self._where)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
