"""ResultIndex: which results belong to a group and a place, so that many are purged at once.

Who makes a result only appends to a log: a commit to the database would be a good part of what a
small result takes. The log is taken into the database now and then, and before anything is asked.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cache.database import Database

_LOG = logging.getLogger(__name__)
_VERSION = 1
_SCHEMA = """
-- What was begun to be made. The file may be gone, or never have come; `prune` removes such rows.
CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY,
    "group" BLOB NOT NULL,
    place BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS results_by_place ON results ("group", place);
"""
_PAGE = 1000


_Row = tuple[str, bytes, bytes]
_decoder = msgspec.json.Decoder(_Row)


class ResultIndex:
    """Keeps places in a database and a log before it, of any number of processes.

    `_database` and `_log` are fixed; the first guards itself, the second is locked while it is
    used. What is in the log stays there if its process is killed.
    """

    def __init__(self, file: Path) -> None:
        self._database = Database(file, schema=_SCHEMA, version=_VERSION)
        self._log = str(file.with_suffix(".new"))

    def add(self, key: str, group: str, place: str) -> None:
        """Note group and place of a result; where that is impossible it is not found."""
        # A line break on both sides: one row that a full disk has cut costs no other.
        data = b"\n" + msgspec.json.encode((key, _b(group), _b(place))) + b"\n"
        try:
            with self._locked(fcntl.LOCK_SH, os.O_CREAT) as log:
                # One call: the rows of several who append do not mix.
                written = os.write(log, data)
        except OSError as error:
            _LOG.warning("a result cannot be indexed: %s", error)
        else:
            if written < len(data):
                _LOG.warning("a result cannot be indexed: the disk is full")

    def gather(self) -> None:
        """Take the log into the database. Raises sqlite3.Error or OSError."""
        try:
            with self._locked(fcntl.LOCK_EX) as log:
                with open(log, "rb", closefd=False) as file:
                    rows = list(_rows(file))
                with self._database.write() as connection:
                    connection.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?)", rows)
                os.unlink(self._log)  # noqa: PTH108 - it is text already
        except FileNotFoundError:
            return

    def take(self, group: str, prefix: str) -> list[str]:
        """Forget what lies at `prefix` or below it, and return its keys."""
        self.gather()
        low, high = _b(prefix + "/"), _b(prefix + "0")
        where = '"group" = ? AND (? OR place = ? OR (place > ? AND place < ?))'
        values = (_b(group), not prefix, _b(prefix), low, high)
        with self._database.write() as connection:
            keys = connection.execute(f"SELECT key FROM results WHERE {where}", values)  # noqa: S608 - the text is ours
            found = [key for (key,) in keys]
            connection.execute(f"DELETE FROM results WHERE {where}", values)  # noqa: S608
        return found

    def prune(self, exists: Callable[[str], bool]) -> None:
        """Forget the rows whose file is gone. Raises sqlite3.Error or OSError."""
        self.gather()
        last = ""
        while True:
            with self._database.read() as connection:
                page = [
                    key
                    for (key,) in connection.execute(
                        "SELECT key FROM results WHERE key > ? ORDER BY key LIMIT ?", (last, _PAGE)
                    )
                ]
            if not page:
                return
            last = page[-1]
            gone = [(key,) for key in page if not exists(key)]
            if gone:
                with self._database.write() as connection:
                    connection.executemany("DELETE FROM results WHERE key = ?", gone)

    def close(self) -> None:
        """Close what is idle."""
        self._database.close()

    @contextmanager
    def _locked(self, lock: int, more: int = 0) -> Iterator[int]:
        """Give the log that has the name at this moment, and keep it so."""
        while True:
            log = os.open(self._log, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | more, 0o600)
            with contextlib.ExitStack() as stack:
                stack.callback(os.close, log)
                fcntl.flock(log, lock)
                if os.fstat(log).st_nlink:
                    yield log
                    return


def _rows(lines: Iterable[bytes]) -> Iterator[_Row]:
    """Yield the rows of a log, but for those that were cut."""
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            yield _decoder.decode(line)


def _b(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
