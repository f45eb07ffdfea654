"""Contents: the files of a journal, and the transactions that decide about them."""

import contextlib
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from cache.durable import Durable, sync_folder
from cache.errors import JournalError, JournalFull
from cache.owners import Owner
from cache.pending import SCHEMA, VERSION, Pending
from cache.room import Room, RoomLimits

T = TypeVar("T")


class Contents:
    """One folder with a database and the contents that it names.

    All attributes are fixed. `changed` is set whenever there may be something to upload.
    """

    def __init__(self, folder: Path, limits: RoomLimits) -> None:
        self.folder = folder
        self.changed = threading.Event()
        self._data = folder / "data"
        self._counter = itertools.count()
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "owners").mkdir(mode=0o700, exist_ok=True)
            for place in (folder, folder.parent, folder.parent.parent):
                sync_folder(place)
            self.owner = Owner(folder / "owners")
        except OSError as error:
            raise JournalError(f"'{folder}' cannot be used: {error.strerror}") from error
        self.database = Durable(folder / "journal.db", SCHEMA, VERSION)
        self.room = Room(folder, limits, self.pending_bytes)

    def close(self) -> None:
        """Close the database, and say that its owner is gone."""
        self.database.close()
        self.owner.close()

    def pending_bytes(self) -> int:
        """Return how many bytes are pending, as they lie on the disk."""
        with self.database.read() as connection:
            (number,) = connection.execute(
                "SELECT number FROM numbers WHERE name = 'bytes'"
            ).fetchone()
            return int(number)

    def open(self, pending: Pending) -> int | None:
        """Return a descriptor of the content, or None when it is not pending any more."""
        try:
            return os.open(self._data / pending.data, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"a pending content cannot be read: {error.strerror}") from error

    def sweep(self) -> None:
        """Remove files that no record names and whose writer is gone."""
        try:
            self.owner.sweep()
            for file in self._data.iterdir():
                if self.owner.is_alive(file.name.partition("-")[0]):
                    continue
                with self.database.read() as connection:
                    known = connection.execute(
                        "SELECT 1 FROM pending WHERE data = ?", (file.name,)
                    ).fetchone()
                if not known:
                    self.unlink([file.name])
        except OSError as error:
            raise JournalError(f"the journal's disk refused: {error.strerror}") from error

    def fresh(self) -> Path:
        """Return a name for a new content."""
        return self._data / f"{self.owner.token}-{next(self._counter)}"

    @contextlib.contextmanager
    def changing(self) -> Iterator[tuple[sqlite3.Connection, list[str]]]:
        """Run a change of names; files that are listed are removed once it is durable."""
        gone: list[str] = []
        with self.database.write() as connection:
            yield connection, gone
            connection.execute("UPDATE numbers SET number = number + 1 WHERE name = 'turn'")
        self.unlink(gone)
        self.changed.set()

    def must(self, strike: Callable[[], T]) -> T:
        """Run what makes room, also on a full disk."""
        try:
            return strike()
        except JournalFull:
            self.database.free_reserve()
            return strike()

    def unlink(self, names: list[str]) -> None:
        """Remove contents."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._data / name).unlink()
        if names:
            self.database.keep_reserve()
            self.room.refresh()
