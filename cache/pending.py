"""Pending: what the journal knows of one content, and the tables that hold it."""

from typing import Literal

import msgspec

State = Literal["waiting", "begun", "stuck"]

VERSION = 1
SCHEMA = """
-- One accepted content that its store does not have yet. At most one of a path is not begun.
CREATE TABLE IF NOT EXISTS pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- gives the order
    path BLOB NOT NULL,
    folder BLOB NOT NULL,
    data TEXT NOT NULL,             -- the name of its file below data/
    size INTEGER NOT NULL,
    held INTEGER NOT NULL,          -- bytes on disk
    mtime_ns INTEGER NOT NULL,
    sets_mtime INTEGER NOT NULL,    -- 1: somebody asked for this time
    token TEXT NOT NULL,            -- the version it is shown by
    accepted_ns INTEGER NOT NULL,
    base TEXT,                      -- what it replaces; '' is nothing, NULL is unknown
    state TEXT NOT NULL,            -- waiting, begun (some of it may have arrived), stuck
    attempts INTEGER NOT NULL DEFAULT 0,
    retry_at REAL NOT NULL DEFAULT 0,
    cause TEXT NOT NULL DEFAULT '',
    beside BLOB                     -- the path it goes to since `path` was changed meanwhile
) STRICT;
CREATE INDEX IF NOT EXISTS pending_by_path ON pending (path, id);
CREATE INDEX IF NOT EXISTS pending_by_folder ON pending (folder);
CREATE INDEX IF NOT EXISTS pending_by_data ON pending (data);
-- What arrived: while the store has it in this version it is shown as before.
CREATE TABLE IF NOT EXISTS settled (
    path BLOB PRIMARY KEY,
    id INTEGER NOT NULL,
    version TEXT NOT NULL,
    mtime_ns INTEGER NOT NULL,
    token TEXT NOT NULL,
    shown_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS settled_by_age ON settled (id);
-- What was kept beside, until somebody has read of it.
CREATE TABLE IF NOT EXISTS conflicts (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL,
    beside BLOB NOT NULL,
    at_ns INTEGER NOT NULL
) STRICT;
-- Who changes names just now. With `target`, a folder is on its way there.
CREATE TABLE IF NOT EXISTS holds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    path BLOB NOT NULL,
    target BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS numbers (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO numbers VALUES ('bytes', 0), ('turn', 0);
CREATE TRIGGER IF NOT EXISTS more AFTER INSERT ON pending BEGIN
    UPDATE numbers SET number = number + NEW.held WHERE name = 'bytes';
END;
CREATE TRIGGER IF NOT EXISTS fewer AFTER DELETE ON pending BEGIN
    UPDATE numbers SET number = number - OLD.held WHERE name = 'bytes';
END;
"""

COLUMNS = (
    "id, path, data, size, held, mtime_ns, sets_mtime, token, accepted_ns, base, state,"
    " attempts, cause, beside"
)


class Pending(msgspec.Struct, frozen=True):
    """One accepted content. `id` gives the order; `token` names its bytes and no others."""

    id: int
    path: str
    data: str
    size: int
    held: int
    mtime_ns: int
    sets_mtime: bool
    token: str
    accepted_ns: int
    base: str | None
    state: State
    attempts: int
    cause: str
    beside: str | None

    @property
    def is_begun(self) -> bool:
        """Tell whether some or all of it may have arrived already."""
        return self.state == "begun"


class Settled(msgspec.Struct, frozen=True):
    """How something that arrived is shown while the store has it as `version`."""

    id: int
    version: str
    mtime_ns: int
    token: str
    shown_ns: int


class Look(msgspec.Struct, frozen=True):
    """All that the journal knows of one path. `turn` changes with every change of names."""

    pending: Pending | None
    settled: Settled | None
    turn: int


class Conflict(msgspec.Struct, frozen=True):
    """Something that was kept beside."""

    id: int
    path: str
    beside: str
    at_ns: int


class Hold(msgspec.Struct, frozen=True):
    """Paths that nobody else changes until it is released; `target` is where a folder goes."""

    id: int
    owner: str
    path: str
    target: str | None


def to_key(path: str) -> bytes:
    """Return the bytes by which a path is kept."""
    return path.encode(errors="surrogateescape")


def from_key(key: bytes) -> str:
    """Return the path kept by these bytes."""
    return key.decode(errors="surrogateescape")


def to_pending(row: tuple[object, ...]) -> Pending:
    """Return the record of a row of COLUMNS."""
    fields = dict(zip(Pending.__struct_fields__, row, strict=True))
    for name in ("path", "beside"):
        value = fields[name]
        fields[name] = from_key(value) if isinstance(value, bytes) else None
    fields["sets_mtime"] = bool(fields["sets_mtime"])
    return msgspec.convert(fields, Pending)


def meet(one: str, other: str) -> bool:
    """Tell whether one of two paths is the other, or lies beneath it."""
    return is_within(one, other) or is_within(other, one)


def is_within(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies beneath it; the empty folder holds all."""
    return not folder or path == folder or path.startswith(f"{folder}/")
