"""ResultIndex: which results belong to a group and a place, so that many are purged at once."""

import logging
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

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


class ResultIndex:
    """Keeps places in a database. `_database` is fixed and guards itself."""

    def __init__(self, file: Path) -> None:
        self._database = Database(file, schema=_SCHEMA, version=_VERSION)

    def add(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Note key, group and place of results; where that is impossible they are not found."""
        try:
            with self._database.write() as connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO results VALUES (?, ?, ?)",
                    [(key, _b(group), _b(place)) for key, group, place in rows],
                )
        except (sqlite3.Error, OSError) as error:
            _LOG.warning("results cannot be indexed: %s", error)

    def take(self, group: str, prefix: str) -> list[str]:
        """Forget what lies at `prefix` or below it, and return its keys."""
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


def _b(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
