"""Records: what is read and written of the journal's tables within one transaction."""

import sqlite3

from cache.pending import COLUMNS, Look, Pending, Settled, to_key, to_pending


def look(connection: sqlite3.Connection, key: bytes) -> Look:
    """Return what is known of a path."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM pending WHERE path = ? ORDER BY id DESC LIMIT 1",  # noqa: S608 - constant names
        (key,),
    ).fetchone()
    settled = connection.execute(
        "SELECT id, version, mtime_ns, token, shown_ns FROM settled WHERE path = ?", (key,)
    ).fetchone()
    (turn,) = connection.execute("SELECT number FROM numbers WHERE name = 'turn'").fetchone()
    return Look(to_pending(row) if row else None, Settled(*settled) if settled else None, turn)


def is_same(one: Look, other: Look) -> bool:
    """Tell whether nothing happened to a path between two looks."""
    return (
        (one.pending.id if one.pending else 0) == (other.pending.id if other.pending else 0)
        and (one.settled.id if one.settled else 0) == (other.settled.id if other.settled else 0)
        and one.turn == other.turn
    )


def get(connection: sqlite3.Connection, number: int) -> Pending | None:
    """Return one record."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM pending WHERE id = ?",  # noqa: S608 - constant names
        (number,),
    ).fetchone()
    return to_pending(row) if row else None


def drop(connection: sqlite3.Connection, key: bytes) -> list[str]:
    """Delete what was not begun; return the names of its files."""
    rows = connection.execute(
        "DELETE FROM pending WHERE path = ? AND state != 'begun' RETURNING data", (key,)
    ).fetchall()
    return [data for (data,) in rows]


def beneath(folder: str) -> tuple[bytes, bytes]:
    """Return the bounds of the keys beneath a folder; "0" comes after "/"."""
    key = to_key(folder)
    return (key + b"/", key + b"0") if key else (b"", b"\xff")


def folder_of(key: bytes) -> bytes:
    """Return the key of the folder that holds a path."""
    return key.rpartition(b"/")[0]


def join(folder: str, name: str) -> str:
    """Return the path of `name` in `folder`."""
    return f"{folder}/{name}" if folder else name
