"""The embedded back end: one SQLite file, shared by the gateway processes of one host.

All user text is bound as a value; no statement is ever put together from it.
"""

import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from vfs.state import keys
from vfs.state.connections import WAIT_SECONDS, Connections
from vfs.state.errors import Invalid
from vfs.state.presence import Presence
from vfs.state.sqlite_accounts import SqliteAccounts
from vfs.state.sqlite_credentials import SqliteCredentials
from vfs.state.sqlite_derived import SqliteDerived
from vfs.state.sqlite_locks import ANY_LOCK, SqliteLocks
from vfs.state.sqlite_properties import SqliteProperties
from vfs.state.sqlite_uploads import SqliteUploads

STATE_FILE = "state.db"
"""What the file is called in a state directory."""

# A tree of properties is the resource itself, its members, and all that is deeper.
_DROP_PROPERTIES = """
DELETE FROM property
WHERE (folder = :folder AND name = :name) OR folder = :key OR (folder >= :low AND folder < :high)
"""
_DROP_LOCKS = """
DELETE FROM lock
WHERE (folder = :folder AND name = :name) OR folder = :key OR (folder >= :low AND folder < :high)
"""
# The root is a member of itself.
_DROP_LOCKS_BENEATH = """
DELETE FROM lock
WHERE (folder = :key AND name <> x'') OR (folder >= :low AND folder < :high)
"""
# `||` makes text of bytes without changing them, and CAST turns it back.
_MOVE_PROPERTIES = """
UPDATE property SET
  folder = CASE WHEN folder = :folder AND name = :name THEN :new_folder
    ELSE CAST(:new_key || substr(folder, length(:key) + 1) AS BLOB) END,
  name = CASE WHEN folder = :folder AND name = :name THEN :new_name ELSE name END
WHERE (folder = :folder AND name = :name) OR folder = :key OR (folder >= :low AND folder < :high)
"""
_COPY_PROPERTIES = """
INSERT INTO property
SELECT
  CASE WHEN folder = :folder AND name = :name THEN :new_folder
    ELSE CAST(:new_key || substr(folder, length(:key) + 1) AS BLOB) END,
  CASE WHEN folder = :folder AND name = :name THEN :new_name ELSE name END,
  namespace, local_name, value
FROM property
WHERE (folder = :folder AND name = :name) OR folder = :key OR (folder >= :low AND folder < :high)
"""
_COPY_OWN_PROPERTIES = """
INSERT INTO property
SELECT :new_folder, :new_name, namespace, local_name, value
FROM property
WHERE folder = :folder AND name = :name
"""
_HAS_PROPERTIES = """
SELECT 1 FROM property
WHERE (folder = :folder AND name = :name) OR folder = :key OR (folder >= :low AND folder < :high)
LIMIT 1
"""
_ANY_PROPERTY = "SELECT 1 FROM property WHERE folder >= x'' LIMIT 1"
# Each part is one look into one index.
_KNOWS = """
SELECT 1 FROM property WHERE folder = :folder AND name = :name
UNION ALL SELECT 1 FROM property WHERE folder = :key
UNION ALL SELECT 1 FROM property WHERE folder >= :low AND folder < :high
UNION ALL SELECT 1 FROM lock WHERE folder = :folder AND name = :name
UNION ALL SELECT 1 FROM lock WHERE folder = :key
UNION ALL SELECT 1 FROM lock WHERE folder >= :low AND folder < :high
LIMIT 1
"""
_PRUNE_PAGE = 500
# The resource itself is looked at apart from this: it is a member of another folder.
_MEMBERS_OF = """
SELECT DISTINCT folder, name FROM {table}
WHERE (folder = :key OR (folder >= :low AND folder < :high)) AND name <> x''
  AND (folder, name) > (:after_folder, :after_name)
ORDER BY folder, name LIMIT :page
"""
_MEMBERS_WITH_PROPERTIES = _MEMBERS_OF.format(table="property")
_MEMBERS_WITH_LOCKS = _MEMBERS_OF.format(table="lock")


class SqliteStore(
    SqliteLocks,
    SqliteProperties,
    SqliteUploads,
    SqliteAccounts,
    SqliteCredentials,
    SqliteDerived,
):
    """Keeps the gateway's state in one file on a local disk; opened when first used.

    All attributes are fixed; they guard themselves.
    """

    def __init__(
        self,
        file: Path,
        *,
        wait_seconds: float = WAIT_SECONDS,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._lend = Connections(file, wait_seconds)
        self._has_locks = Presence(self._lend, ANY_LOCK)
        self._has_properties = Presence(self._lend, _ANY_PROPERTY)
        self._now_ns = now_ns

    def health(self) -> None:
        with self._lend.read() as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()

    def close(self) -> None:
        self._lend.close()

    def knows(self, path: str) -> bool:
        return self._knows(keys.key(path))

    def _knows(self, key: bytes) -> bool:
        if self._is_empty():
            return False
        with self._lend.read() as connection:
            return connection.execute(_KNOWS, _tree(key)).fetchone() is not None

    def _is_empty(self) -> bool:
        """Tell whether nothing has a lock or a property, as with clients that do not lock."""
        now = self._lend.now()
        if self._has_locks.is_ruled_out_at(now) and self._has_properties.is_ruled_out_at(now):
            return True
        return not (self._has_locks or self._has_properties)

    def drop_tree(self, path: str) -> None:
        tree = _tree(keys.key(path))
        if not self._knows(tree["key"]):
            return
        with self._lend.write() as connection:
            connection.execute(_DROP_PROPERTIES, tree)
            connection.execute(_DROP_LOCKS, tree)

    def drop_properties(self, path: str) -> None:
        key = keys.key(path)
        if not self._has_properties:
            return
        tree = _tree(key)
        with self._lend.read() as connection:
            if connection.execute(_HAS_PROPERTIES, tree).fetchone() is None:
                return
        with self._lend.write() as connection:
            connection.execute(_DROP_PROPERTIES, tree)

    def prune(self, path: str, exists: Callable[[str], bool]) -> None:
        top = keys.key(path)
        pages = (
            self._members(top, table) for table in (_MEMBERS_WITH_PROPERTIES, _MEMBERS_WITH_LOCKS)
        )
        for page in chain([[top]], *pages):
            gone = [key for key in page if not exists(keys.path_of(key))]
            if gone:
                with self._lend.write() as connection:
                    places = [keys.split(key) for key in gone]
                    connection.executemany(
                        "DELETE FROM property WHERE folder = ? AND name = ?", places
                    )
                    connection.executemany("DELETE FROM lock WHERE folder = ? AND name = ?", places)

    def _members(self, top: bytes, statement: str) -> Iterator[list[bytes]]:
        """Yield, page by page, the keys beneath `top` that a statement finds."""
        low, high = keys.beneath(top)
        folder, name = b"", b""
        while True:
            with self._lend.read() as connection:
                rows = connection.execute(
                    statement,
                    {
                        "key": top,
                        "low": low,
                        "high": high,
                        "after_folder": folder,
                        "after_name": name,
                        "page": _PRUNE_PAGE,
                    },
                ).fetchall()
            if not rows:
                return
            yield [folder + b"/" + name for folder, name in rows]
            folder, name = rows[-1]

    def move_tree(self, source: str, target: str) -> None:
        old, new = _apart(source, target)
        if self._is_empty() or not (self._knows(old) or self._knows(new)):
            return
        with self._lend.write() as connection:
            connection.execute(_DROP_PROPERTIES, _tree(new))
            connection.execute(_DROP_LOCKS_BENEATH, _tree(new))
            connection.execute(_DROP_LOCKS, _tree(old))
            connection.execute(_MOVE_PROPERTIES, _tree(old, new))

    def copy_tree(self, source: str, target: str, *, shallow: bool = False) -> None:
        old, new = _apart(source, target)
        if self._is_empty() or not (self._knows(old) or self._knows(new)):
            return
        with self._lend.write() as connection:
            connection.execute(_DROP_PROPERTIES, _tree(new))
            connection.execute(_DROP_LOCKS_BENEATH, _tree(new))
            copied = _COPY_OWN_PROPERTIES if shallow else _COPY_PROPERTIES
            connection.execute(copied, _tree(old, new))


def _apart(source: str, target: str) -> tuple[bytes, bytes]:
    old, new = keys.key(source), keys.key(target)
    if keys.overlap(old, new):
        raise Invalid("source and target are the same or one is beneath the other")
    return old, new


def _tree(key: bytes, new: bytes = b"") -> dict[str, bytes]:
    folder, name = keys.split(key)
    low, high = keys.beneath(key)
    new_folder, new_name = keys.split(new)
    return {
        "key": key,
        "folder": folder,
        "name": name,
        "low": low,
        "high": high,
        "new_key": new,
        "new_folder": new_folder,
        "new_name": new_name,
    }
