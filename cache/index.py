"""Index: pins and counters, shared by the processes that share a folder."""

import logging
import sqlite3
from collections.abc import Mapping

from cache.database import Database
from cache.key import Key

_LOG = logging.getLogger(__name__)


class Index:
    """Keeps pins and counters in the database. `_database` is fixed and guards itself.

    A pin that cannot be kept raises: somebody asked for it. Counters are no more than told.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, mount: str, path: str) -> None:
        """Keep `path` and all below it from eviction. Raises sqlite3.Error or OSError."""
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO pins VALUES (?, ?)", (_b(mount), _b(path)))

    def unpin(self, mount: str, path: str) -> bool:
        """Take back a pin; tell whether there was one. Raises sqlite3.Error or OSError."""
        with self._database.write() as connection:
            done = connection.execute(
                "DELETE FROM pins WHERE mount = ? AND path = ?", (_b(mount), _b(path))
            )
            return done.rowcount > 0

    def pins(self) -> list[tuple[str, str]]:
        """Return mount and path of each pin. Raises sqlite3.Error or OSError."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT mount, path FROM pins ORDER BY 1, 2").fetchall()
        return [(_s(mount), _s(path)) for mount, path in rows]

    def count(self, numbers: Mapping[str, Mapping[str, int]]) -> bool:
        """Add numbers to the counters on disk; tell whether that was possible."""
        rows = [
            (_b(mount), name, number)
            for mount, named in numbers.items()
            for name, number in named.items()
        ]
        if not rows:
            return True
        try:
            with self._database.write() as connection:
                connection.executemany(
                    "INSERT INTO counters VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET number = number + excluded.number",
                    rows,
                )
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("counters of the cache stay in memory: %s", error)
            return False
        return True

    def counters(self) -> dict[str, dict[str, int]]:
        """Return the numbers of each mount; none when they cannot be read."""
        found: dict[str, dict[str, int]] = {}
        try:
            with self._database.read() as connection:
                for mount, name, number in connection.execute("SELECT * FROM counters"):
                    found.setdefault(_s(mount), {})[name] = number
        except (sqlite3.Error, OSError) as error:
            _LOG.debug("counters of the cache cannot be read: %s", error)
        return found


def is_pinned(key: Key, pins: list[tuple[str, str]]) -> bool:
    """Tell whether a pin covers `key`."""
    return any(mount == key.mount and key.below(path) for mount, path in pins)


def _b(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _s(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
