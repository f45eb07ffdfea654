"""Journal: contents that were accepted and that their store does not have yet.

It knows paths, bytes and opaque texts. What is in it survives killed processes and power cuts:
the file is on the disk, then its name, then its record; only then is it acknowledged. Several
processes share it; one of them at a time leads, which is to upload.

    journal.db   the records (see `pending`)
    data/        one file for each content, named after who wrote it
    owners/      who has the journal open
    lead.lock    held by the one that uploads
"""

import contextlib
import fcntl
import itertools
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from cache.durable import Durable
from cache.errors import JournalError, JournalFull
from cache.holds import Holds
from cache.owners import Owner
from cache.pending import (
    COLUMNS,
    SCHEMA,
    VERSION,
    Conflict,
    Look,
    Pending,
    Settled,
    from_key,
    to_key,
    to_pending,
)
from cache.room import Room, RoomLimits
from cache.spool import Spool

# So many of what arrived are shown by the version they were accepted with.
SETTLED_MAX = 1_000_000
_CONFLICTS_KEPT = 1000
_BATCH = 256

T = TypeVar("T")


class Journal:
    """The pending contents of one mount.

    `folder`, `room`, `holds` and what they are made of are fixed. `_lock` guards `_lead`, the
    descriptor of the lock of the one that uploads. `changed` is set whenever there may be
    something to upload. Every method raises JournalError.
    """

    def __init__(self, folder: Path, limits: RoomLimits | None = None) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._counter = itertools.count()
        self._lock = threading.Lock()
        self._lead = -1
        self.changed = threading.Event()
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "owners").mkdir(mode=0o700, exist_ok=True)
            self._owner = Owner(folder / "owners")
        except OSError as error:
            raise JournalError(f"'{folder}' cannot be used: {error.strerror}") from error
        self._database = Durable(folder / "journal.db", SCHEMA, VERSION)
        self.holds = Holds(self._database, self._owner)
        self.room = Room(folder, limits or RoomLimits(), self.pending_bytes)

    def close(self) -> None:
        """Close it; nothing that was accepted is lost. Closing twice is no error."""
        self.resign()
        self._database.close()
        self._owner.close()

    # What is there

    def look(self, path: str) -> Look:
        """Return what is known of one path."""
        with self._database.read() as connection:
            return _look(connection, to_key(path))

    def looks(self, folder: str, names: list[str]) -> dict[str, Look]:
        """Return what is known of members of a folder, for those of which something is."""
        with self._database.read() as connection:
            found = {name: _look(connection, to_key(_join(folder, name))) for name in names}
        return {name: look for name, look in found.items() if look.pending or look.settled}

    def members(self, folder: str) -> list[str]:
        """Return the names in a folder that are pending."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT DISTINCT path FROM pending WHERE folder = ?", (to_key(folder),)
            )
            return [from_key(path).rpartition("/")[2] for (path,) in rows]

    def any_beneath(self, folder: str) -> bool:
        """Tell whether anything is pending beneath a folder."""
        low, high = _beneath(folder)
        with self._database.read() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM pending WHERE path >= ? AND path < ? LIMIT 1", (low, high)
                ).fetchone()
            )

    def is_active(self, path: str) -> bool:
        """Tell whether anything at or beneath `path` is pending and not stuck."""
        low, high = _beneath(path)
        with self._database.read() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM pending WHERE (path = ? OR (path >= ? AND path < ?))"
                    " AND state != 'stuck' LIMIT 1",
                    (to_key(path), low, high),
                ).fetchone()
            )

    def pending(self) -> list[Pending]:
        """Return all that is pending, in order."""
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT {COLUMNS} FROM pending ORDER BY id")  # noqa: S608 - constant names
            return [to_pending(row) for row in rows]

    def conflicts(self) -> list[Conflict]:
        """Return what was kept beside, until it is discarded."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT id, path, beside, at_ns FROM conflicts ORDER BY id")
            return [Conflict(i, from_key(p), from_key(b), at) for i, p, b, at in rows]

    def pending_bytes(self) -> int:
        """Return how many bytes are pending, as they lie on the disk."""
        with self._database.read() as connection:
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

    # Accepting

    def spool(self) -> Spool:
        """Return an empty content, to be filled and then given to `accept`."""
        return Spool(self._fresh(), self.room)

    def accept(
        self,
        path: str,
        spool: Spool,
        *,
        base: str | None,
        look: Look,
        mtime_ns: int | None = None,
    ) -> Pending | None:
        """Make a content the pending one of `path`; None when `look` does not hold any more.

        When it returns, the content survives a power cut. It takes the place of one that was not
        begun, and inherits what that one was to replace. The spool is closed then.
        """
        held = spool.seal()
        key, now_ns = to_key(path), time.time_ns()
        with self._database.write() as connection:
            self.holds.refuse(connection, path)
            if not _is_same(_look(connection, key), look):
                return None
            gone = []
            if look.pending is not None:
                base = look.pending.base
                gone = _drop(connection, key)
            connection.execute(
                "INSERT INTO pending (path, folder, data, size, held, mtime_ns, sets_mtime, token,"
                " accepted_ns, base, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (
                    key,
                    _folder(key),
                    spool.file.name,
                    spool.size,
                    held,
                    now_ns if mtime_ns is None else mtime_ns,
                    int(mtime_ns is not None),
                    f"wb-{secrets.token_hex(10)}",
                    now_ns,
                    base,
                ),
            )
            accepted = _look(connection, key).pending
        self.room.refresh()  # before the spool gives back what it has taken
        spool.close()
        self._unlink(gone)
        self.changed.set()
        return accepted

    # Changing names

    def drop(self, path: str) -> None:
        """Forget what is known of a path: its file was removed, or replaced at the store."""
        with self._changing() as (connection, gone):
            gone.extend(_drop(connection, to_key(path)))
            connection.execute("DELETE FROM settled WHERE path = ?", (to_key(path),))

    def move(self, source: str, target: str, *, base: str | None) -> None:
        """Give the pending content of `source` the name `target`, in place of what is there."""
        old, new = to_key(source), to_key(target)
        with self._changing() as (connection, gone):
            there = _look(connection, new).pending
            gone.extend(_drop(connection, new))
            connection.execute(
                "UPDATE pending SET path = ?, folder = ?, base = ?, state = 'waiting', retry_at = 0"
                " WHERE path = ?",
                (new, _folder(new), there.base if there else base, old),
            )
            connection.execute("DELETE FROM settled WHERE path IN (?, ?)", (old, new))

    def move_folder(self, source: str, target: str) -> None:
        """Follow the store, which has given the folder `source` the name `target`."""
        low, high = _beneath(source)
        with self._changing() as (connection, _gone):
            for folder in (source, target):
                connection.execute(
                    "DELETE FROM settled WHERE path = ? OR (path >= ? AND path < ?)",
                    (to_key(folder), *_beneath(folder)),
                )
            rows = connection.execute(
                "SELECT id, path FROM pending WHERE path >= ? AND path < ?", (low, high)
            ).fetchall()
            for number, path in rows:
                moved = to_key(target) + path[len(to_key(source)) :]
                connection.execute(
                    "UPDATE pending SET path = ?, folder = ? WHERE id = ?",
                    (moved, _folder(moved), number),
                )

    def set_mtime(self, pending: Pending, mtime_ns: int) -> bool:
        """Have the content arrive with this time; False when it is not pending any more."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE pending SET mtime_ns = ?, sets_mtime = 1 WHERE id = ? AND path = ?",
                (mtime_ns, pending.id, to_key(pending.path)),
            )
            return done.rowcount == 1

    def renew(self, path: str, version: str, mtime_ns: int) -> None:
        """Note that a file that arrived has another version now, with the same bytes."""
        with self._changing() as (connection, _gone):
            connection.execute(
                "UPDATE settled SET version = ?, mtime_ns = ?, shown_ns = ? WHERE path = ?",
                (version, mtime_ns, mtime_ns, to_key(path)),
            )

    # Uploading: for the one that leads

    def lead(self) -> bool:
        """Become, or stay, the one that uploads; False while another one is."""
        with self._lock:
            if self._lead >= 0:
                return True
            try:
                lead = os.open(
                    self.folder / "lead.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
                )
            except OSError as error:
                raise JournalError(f"the journal's disk refused: {error.strerror}") from error
            try:
                fcntl.flock(lead, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lead)
                return False
            self._lead = lead
        self.sweep()
        return True

    def resign(self) -> None:
        """Let another one upload."""
        with self._lock:
            lead, self._lead = self._lead, -1
            if lead >= 0:
                os.close(lead)

    def ready(self, limit: int) -> list[Pending]:
        """Return what may be uploaded now: the first of each path, in order."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM pending AS one WHERE state != 'stuck' AND retry_at <= ?"  # noqa: S608 - constant names
                " AND NOT EXISTS (SELECT 1 FROM pending AS other"
                " WHERE other.path = one.path AND other.id < one.id) ORDER BY id LIMIT ?",
                (time.time(), limit),
            )
            return [to_pending(row) for row in rows]

    def begin(self, pending: Pending) -> Pending | None:
        """Note that a content is on its way; None when it is gone, or its path is held."""

        def note() -> Pending | None:
            with self._database.write() as connection:
                if not pending.is_begun and self.holds.find(connection, pending.path):
                    return None
                done = connection.execute(
                    "UPDATE pending SET state = 'begun'"
                    " WHERE id = ? AND path = ? AND state != 'stuck'",
                    (pending.id, to_key(pending.path)),
                )
                return _get(connection, pending.id) if done.rowcount else None

        return self._must(note)

    def put_back(
        self,
        pending: Pending,
        state: str,
        *,
        cause: str = "",
        wait_seconds: float = 0.0,
        tried: bool = True,
    ) -> None:
        """Note that an upload ended without success, why, and when it is tried again."""

        def note() -> None:
            with self._database.write(durable=False) as connection:
                connection.execute(
                    "UPDATE pending SET state = ?, cause = ?, retry_at = ?, attempts = attempts + ?"
                    " WHERE id = ?",
                    (state, cause, time.time() + wait_seconds, int(tried), pending.id),
                )

        self._must(note)

    def settle(self, pending: Pending, version: str, mtime_ns: int) -> Pending | None:
        """Strike off what arrived. When it was given another time meanwhile, return it anew."""
        key = to_key(pending.path)

        def strike() -> Pending | None:
            with self._database.write(durable=False) as connection:
                now = _get(connection, pending.id)
                if now is not None and now.mtime_ns != pending.mtime_ns:
                    return now
                connection.execute("DELETE FROM pending WHERE id = ?", (pending.id,))
                connection.execute("UPDATE pending SET base = ? WHERE path = ?", (version, key))
                connection.execute(
                    "INSERT OR REPLACE INTO settled VALUES (?, ?, ?, ?, ?, ?)",
                    (key, pending.id, version, mtime_ns, pending.token, pending.mtime_ns),
                )
                if pending.id % _BATCH == 0:
                    connection.execute(
                        "DELETE FROM settled WHERE id < ?", (pending.id - SETTLED_MAX,)
                    )
            self._unlink([pending.data])
            return None

        return self._must(strike)

    def set_beside(self, pending: Pending, beside: str) -> None:
        """Note where a content goes whose path was changed meanwhile."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE pending SET beside = ? WHERE id = ?", (to_key(beside), pending.id)
            )

    def set_aside(self, pending: Pending, beside: str) -> None:
        """Strike off what arrived beside, and keep a note of it."""

        def strike() -> None:
            with self._changing() as (connection, gone):
                connection.execute("DELETE FROM pending WHERE id = ?", (pending.id,))
                gone.append(pending.data)
                connection.execute(
                    "INSERT INTO conflicts VALUES (?, ?, ?, ?)",
                    (pending.id, to_key(pending.path), to_key(beside), time.time_ns()),
                )
                connection.execute(
                    "DELETE FROM conflicts WHERE id NOT IN"
                    " (SELECT id FROM conflicts ORDER BY id DESC LIMIT ?)",
                    (_CONFLICTS_KEPT,),
                )

        self._must(strike)

    # By hand

    def retry(self, number: int | None) -> int:
        """Have one content, or all, tried at once, stuck or not; return how many there were."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE pending SET retry_at = 0, attempts = 0,"
                " state = CASE state WHEN 'stuck' THEN 'waiting' ELSE state END"
                " WHERE ? IS NULL OR id = ?",
                (number, number),
            )
        self.changed.set()
        return done.rowcount

    def discard(self, number: int, *, wait_seconds: float) -> bool:
        """Drop one content, or the note of a conflict, for good; False when there is none."""
        with self._database.read() as connection:
            found = _get(connection, number)
        if found is None:
            with self._database.write() as connection:
                done = connection.execute("DELETE FROM conflicts WHERE id = ?", (number,))
                return done.rowcount == 1
        with (
            self.holds.take(found.path, wait_seconds=wait_seconds),
            self._changing() as (connection, gone),
        ):
            connection.execute("DELETE FROM pending WHERE id = ?", (number,))
            gone.append(found.data)
        return True

    def sweep(self) -> None:
        """Remove files that no record names and whose writer is gone."""
        try:
            self._owner.sweep()
            for file in self._data.iterdir():
                if self._owner.is_alive(file.name.partition("-")[0]):
                    continue
                with self._database.read() as connection:
                    known = connection.execute(
                        "SELECT 1 FROM pending WHERE data = ?", (file.name,)
                    ).fetchone()
                if not known:
                    self._unlink([file.name])
        except OSError as error:
            raise JournalError(f"the journal's disk refused: {error.strerror}") from error

    # Shared by several methods

    def _fresh(self) -> Path:
        return self._data / f"{self._owner.token}-{next(self._counter)}"

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[sqlite3.Connection, list[str]]]:
        """Run a change of names; files that are listed are removed once it is durable."""
        gone: list[str] = []
        with self._database.write() as connection:
            yield connection, gone
            connection.execute("UPDATE numbers SET number = number + 1 WHERE name = 'turn'")
        self._unlink(gone)
        self.changed.set()

    def _must(self, strike: Callable[[], T]) -> T:
        """Run what makes room, also on a full disk."""
        try:
            return strike()
        except JournalFull:
            self._database.free_reserve()
            return strike()

    def _unlink(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                (self._data / name).unlink()
        if names:
            self._database.keep_reserve()
            self.room.refresh()


def _look(connection: sqlite3.Connection, key: bytes) -> Look:
    row = connection.execute(
        f"SELECT {COLUMNS} FROM pending WHERE path = ? ORDER BY id DESC LIMIT 1",  # noqa: S608 - constant names
        (key,),
    ).fetchone()
    settled = connection.execute(
        "SELECT id, version, mtime_ns, token, shown_ns FROM settled WHERE path = ?", (key,)
    ).fetchone()
    (turn,) = connection.execute("SELECT number FROM numbers WHERE name = 'turn'").fetchone()
    return Look(to_pending(row) if row else None, Settled(*settled) if settled else None, turn)


def _is_same(one: Look, other: Look) -> bool:
    """Tell whether nothing happened to a path between two looks."""
    return (
        (one.pending.id if one.pending else 0) == (other.pending.id if other.pending else 0)
        and (one.settled.id if one.settled else 0) == (other.settled.id if other.settled else 0)
        and one.turn == other.turn
    )


def _get(connection: sqlite3.Connection, number: int) -> Pending | None:
    row = connection.execute(
        f"SELECT {COLUMNS} FROM pending WHERE id = ?",  # noqa: S608 - constant names
        (number,),
    ).fetchone()
    return to_pending(row) if row else None


def _drop(connection: sqlite3.Connection, key: bytes) -> list[str]:
    """Delete what was not begun; return the names of its files."""
    rows = connection.execute(
        "DELETE FROM pending WHERE path = ? AND state != 'begun' RETURNING data", (key,)
    ).fetchall()
    return [data for (data,) in rows]


def _beneath(folder: str) -> tuple[bytes, bytes]:
    """Return the bounds of the keys beneath a folder; "0" comes after "/"."""
    key = to_key(folder)
    return (key + b"/", key + b"0") if key else (b"", b"\xff")


def _folder(key: bytes) -> bytes:
    return key.rpartition(b"/")[0]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
