"""Holds: who changes the names of paths just now, so that nobody else does."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cache.durable import Durable
from cache.errors import JournalBusy
from cache.owners import Owner
from cache.pending import Hold, from_key, is_within, meet, to_key

_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05


class Holds:
    """Holds of paths and all beneath them, across threads and processes.

    While a path is held nothing is accepted there, nothing is begun, and what was begun is let go.
    A hold whose owner died counts no more, unless a folder was on its way: then it stays until
    somebody has looked how far it came. All attributes are fixed.
    """

    def __init__(self, database: Durable, owner: Owner) -> None:
        self._database = database
        self._owner = owner

    @contextmanager
    def take(self, *paths: str, wait_seconds: float) -> Iterator[list[int]]:
        """Hold paths for a `with` block, once nothing at or beneath them is on its way.

        Raises JournalBusy when that takes longer than `wait_seconds`.
        """
        end = time.monotonic() + wait_seconds
        numbers = self._insert(paths, end)
        try:
            self._until_quiet(paths, end)
            yield numbers
        finally:
            self.release(numbers)

    def intend(self, number: int, target: str) -> None:
        """Note, before it happens, that the held folder goes to `target`."""
        with self._database.write() as connection:
            connection.execute("UPDATE holds SET target = ? WHERE id = ?", (to_key(target), number))

    def release(self, numbers: list[int]) -> None:
        """End holds."""
        with self._database.write(durable=False) as connection:
            connection.executemany("DELETE FROM holds WHERE id = ?", [(n,) for n in numbers])
            connection.execute("UPDATE numbers SET number = number + 1 WHERE name = 'turn'")

    def find(self, connection: sqlite3.Connection, path: str) -> Hold | None:
        """Return a hold of `path` itself or of a folder above it."""
        return next((hold for hold in self._all(connection) if is_within(path, hold.path)), None)

    def refuse(self, connection: sqlite3.Connection, path: str) -> None:
        """Raise JournalBusy while `path` is held."""
        if self.find(connection, path):
            raise JournalBusy("its name is being changed")

    def is_held(self, path: str) -> bool:
        """Tell whether somebody waits for what is on its way to `path`."""
        with self._database.read() as connection:
            return self.find(connection, path) is not None

    def abandoned(self) -> list[Hold]:
        """Return the folders that were on their way when their process died."""
        with self._database.read() as connection:
            return [
                hold
                for hold in self._all(connection)
                if hold.target is not None and not self._owner.is_alive(hold.owner)
            ]

    def _insert(self, paths: tuple[str, ...], end: float) -> list[int]:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            with self._database.write(durable=False) as connection:
                held = self._all(connection)
                if not any(meet(hold.path, path) for hold in held for path in paths):
                    self._sweep(connection)
                    return [self._add(connection, path) for path in paths]
            if time.monotonic() > end:
                raise JournalBusy("somebody else changes names here")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _add(self, connection: sqlite3.Connection, path: str) -> int:
        done = connection.execute(
            "INSERT INTO holds (owner, path) VALUES (?, ?)", (self._owner.token, to_key(path))
        )
        assert done.lastrowid is not None
        return done.lastrowid

    def _until_quiet(self, paths: tuple[str, ...], end: float) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while any(self._is_begun(path) for path in paths):
            if time.monotonic() > end:
                raise JournalBusy("it is being uploaded")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _is_begun(self, path: str) -> bool:
        key = to_key(path)
        low, high = (key + b"/", key + b"0") if key else (b"", b"\xff")
        with self._database.read() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM pending WHERE state = 'begun'"
                    " AND (path = ? OR (path >= ? AND path < ?)) LIMIT 1",
                    (key, low, high),
                ).fetchone()
            )

    def _all(self, connection: sqlite3.Connection) -> list[Hold]:
        """Return the holds that count."""
        rows = connection.execute("SELECT id, owner, path, target FROM holds").fetchall()
        holds = [
            Hold(number, owner, from_key(path), None if target is None else from_key(target))
            for number, owner, path, target in rows
        ]
        return [h for h in holds if h.target is not None or self._owner.is_alive(h.owner)]

    def _sweep(self, connection: sqlite3.Connection) -> None:
        kept = {hold.id for hold in self._all(connection)}
        for (number,) in connection.execute("SELECT id FROM holds").fetchall():
            if number not in kept:
                connection.execute("DELETE FROM holds WHERE id = ?", (number,))
