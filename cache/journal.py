"""Journal: contents that were accepted and that their store does not have yet.

It knows paths, bytes and opaque texts. What is in it survives killed processes and power cuts:
the file is on the disk, then its name, then its record; only then is it acknowledged. Several
processes share it; one of them at a time leads, which is to upload.

    journal.db   the records (see `pending`)
    data/        one file for each content, named after who wrote it
    owners/      who has the journal open
    lead.lock    held by the one that uploads
"""

import secrets
import time
from pathlib import Path

from cache import records
from cache.contents import Contents
from cache.holds import Holds
from cache.pending import COLUMNS, Conflict, Look, Pending, from_key, to_key, to_pending
from cache.room import RoomLimits
from cache.spool import Spool
from cache.uploads import Uploads


class Journal:
    """The pending contents of one mount.

    All attributes are fixed. `uploads` is for the one that uploads, `holds` for who changes names.
    Every method raises JournalError.
    """

    def __init__(self, folder: Path, limits: RoomLimits | None = None) -> None:
        self._contents = Contents(folder, limits or RoomLimits())
        self.holds = Holds(self._contents.database, self._contents.owner)
        self.uploads = Uploads(self._contents, self.holds)
        self.changed = self._contents.changed
        self.open = self._contents.open
        self.sweep = self._contents.sweep

    def close(self) -> None:
        """Close it; nothing that was accepted is lost. Closing twice is no error."""
        self.uploads.resign()
        self._contents.close()

    # What is there

    def look(self, path: str) -> Look:
        """Return what is known of one path."""
        with self._contents.database.read() as connection:
            return records.look(connection, to_key(path))

    def looks(self, folder: str, names: list[str]) -> dict[str, Look]:
        """Return what is known of members of a folder, for those of which something is."""
        with self._contents.database.read() as connection:
            found = {
                name: records.look(connection, to_key(records.join(folder, name))) for name in names
            }
        return {name: look for name, look in found.items() if look.pending or look.settled}

    def members(self, folder: str) -> list[str]:
        """Return the names in a folder that are pending."""
        with self._contents.database.read() as connection:
            rows = connection.execute(
                "SELECT DISTINCT path FROM pending WHERE folder = ?", (to_key(folder),)
            )
            return [from_key(path).rpartition("/")[2] for (path,) in rows]

    def any_beneath(self, folder: str) -> bool:
        """Tell whether anything is pending beneath a folder."""
        low, high = records.beneath(folder)
        with self._contents.database.read() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM pending WHERE path >= ? AND path < ? LIMIT 1", (low, high)
                ).fetchone()
            )

    def is_active(self, path: str) -> bool:
        """Tell whether anything at or beneath `path` is pending and not stuck."""
        low, high = records.beneath(path)
        with self._contents.database.read() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM pending WHERE (path = ? OR (path >= ? AND path < ?))"
                    " AND state != 'stuck' LIMIT 1",
                    (to_key(path), low, high),
                ).fetchone()
            )

    def pending(self) -> list[Pending]:
        """Return all that is pending, in order."""
        with self._contents.database.read() as connection:
            rows = connection.execute(f"SELECT {COLUMNS} FROM pending ORDER BY id")  # noqa: S608 - constant names
            return [to_pending(row) for row in rows]

    def conflicts(self) -> list[Conflict]:
        """Return what was kept beside, until it is discarded."""
        with self._contents.database.read() as connection:
            rows = connection.execute("SELECT id, path, beside, at_ns FROM conflicts ORDER BY id")
            return [Conflict(i, from_key(p), from_key(b), at) for i, p, b, at in rows]

    # Accepting

    def spool(self) -> Spool:
        """Return an empty content, to be filled and then given to `accept`."""
        return Spool(self._contents.fresh(), self._contents.room)

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
        with self._contents.database.write() as connection:
            self.holds.refuse(connection, path)
            if not records.is_same(records.look(connection, key), look):
                return None
            gone = []
            if look.pending is not None:
                base = look.pending.base
                gone = records.drop(connection, key)
            connection.execute(
                "INSERT INTO pending (path, folder, data, size, held, mtime_ns, sets_mtime, token,"
                " accepted_ns, base, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (
                    key,
                    records.folder_of(key),
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
            accepted = records.look(connection, key).pending
        self._contents.room.refresh()  # before the spool gives back what it has taken
        spool.close()
        self._contents.unlink(gone)
        self._contents.changed.set()
        return accepted

    # Changing names

    def drop(self, path: str) -> None:
        """Forget what is known of a path: its file was removed, or replaced at the store."""
        with self._contents.changing() as (connection, gone):
            gone.extend(records.drop(connection, to_key(path)))
            connection.execute("DELETE FROM settled WHERE path = ?", (to_key(path),))

    def move(self, source: str, target: str, *, base: str | None) -> None:
        """Give the pending content of `source` the name `target`, in place of what is there."""
        old, new = to_key(source), to_key(target)
        with self._contents.changing() as (connection, gone):
            there = records.look(connection, new).pending
            gone.extend(records.drop(connection, new))
            connection.execute(
                "UPDATE pending SET path = ?, folder = ?, base = ?, state = 'waiting', retry_at = 0"
                " WHERE path = ?",
                (new, records.folder_of(new), there.base if there else base, old),
            )
            connection.execute("DELETE FROM settled WHERE path IN (?, ?)", (old, new))

    def move_folder(self, source: str, target: str) -> None:
        """Follow the store, which has given the folder `source` the name `target`."""
        low, high = records.beneath(source)
        with self._contents.changing() as (connection, _gone):
            for folder in (source, target):
                connection.execute(
                    "DELETE FROM settled WHERE path = ? OR (path >= ? AND path < ?)",
                    (to_key(folder), *records.beneath(folder)),
                )
            rows = connection.execute(
                "SELECT id, path FROM pending WHERE path >= ? AND path < ?", (low, high)
            ).fetchall()
            for number, path in rows:
                moved = to_key(target) + path[len(to_key(source)) :]
                connection.execute(
                    "UPDATE pending SET path = ?, folder = ? WHERE id = ?",
                    (moved, records.folder_of(moved), number),
                )

    def set_mtime(self, pending: Pending, mtime_ns: int) -> bool:
        """Have the content arrive with this time; False when it is not pending any more."""
        with self._contents.database.write() as connection:
            done = connection.execute(
                "UPDATE pending SET mtime_ns = ?, sets_mtime = 1 WHERE id = ? AND path = ?",
                (mtime_ns, pending.id, to_key(pending.path)),
            )
            return done.rowcount == 1

    def renew(self, path: str, version: str, mtime_ns: int) -> None:
        """Note that a file that arrived has another version now, with the same bytes."""
        with self._contents.changing() as (connection, _gone):
            connection.execute(
                "UPDATE settled SET version = ?, mtime_ns = ?, shown_ns = ? WHERE path = ?",
                (version, mtime_ns, mtime_ns, to_key(path)),
            )

    # By hand

    def retry(self, number: int | None) -> int:
        """Have one content, or all, tried at once, stuck or not; return how many there were."""
        with self._contents.database.write() as connection:
            done = connection.execute(
                "UPDATE pending SET retry_at = 0, attempts = 0,"
                " state = CASE state WHEN 'stuck' THEN 'waiting' ELSE state END"
                " WHERE ? IS NULL OR id = ?",
                (number, number),
            )
        self._contents.changed.set()
        return done.rowcount

    def discard(self, number: int, *, wait_seconds: float) -> bool:
        """Drop one content, or the note of a conflict, for good; False when there is none."""
        with self._contents.database.read() as connection:
            found = records.get(connection, number)
        if found is None:
            with self._contents.database.write() as connection:
                done = connection.execute("DELETE FROM conflicts WHERE id = ?", (number,))
                return done.rowcount == 1
        with (
            self.holds.take(found.path, wait_seconds=wait_seconds),
            self._contents.changing() as (connection, gone),
        ):
            connection.execute("DELETE FROM pending WHERE id = ?", (number,))
            gone.append(found.data)
        return True
