"""Dead properties in the embedded back end."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vfs.state import keys, limits
from vfs.state.base import PropertyName, StateStore
from vfs.state.connections import Connections
from vfs.state.presence import Presence


class SqliteProperties(StateStore):
    """The part of SqliteStore that keeps dead properties. All attributes are fixed by the whole."""

    _lend: Connections
    _has_properties: Presence

    def properties(self, path: str) -> dict[PropertyName, str]:
        at = keys.split(keys.key(path))
        if not self._has_properties:
            return {}
        with self._lend.read() as connection:
            rows = connection.execute(
                "SELECT namespace, local_name, value FROM property WHERE folder = ? AND name = ?",
                at,
            ).fetchall()
        return {_property_name(row): keys.decode(row[2]) for row in rows}

    def properties_of_children(
        self, folder: str, names: Collection[str] | None = None
    ) -> dict[str, dict[PropertyName, str]]:
        key = keys.key(folder)
        if not self._has_properties:
            return {}
        wanted = None if names is None else [keys.encode(name) for name in names if name]
        statement = "SELECT namespace, local_name, value, name FROM property WHERE folder = ?"
        with self._lend.read() as connection:
            if wanted is None:
                rows = connection.execute(statement + " AND name <> x''", (key,)).fetchall()
            else:
                rows = []
                # One transaction: one snapshot, and one lock of the file instead of many.
                connection.execute("BEGIN")
                if connection.execute(statement + " LIMIT 1", (key,)).fetchone():
                    for name in wanted:
                        rows += connection.execute(statement + " AND name = ?", (key, name))
                connection.execute("COMMIT")
        found: dict[str, dict[PropertyName, str]] = {}
        for row in rows:
            of_child = found.setdefault(keys.decode(row[3]), {})
            of_child[_property_name(row)] = keys.decode(row[2])
        return found

    def set_properties(
        self,
        path: str,
        sets: Mapping[PropertyName, str],
        removes: Iterable[PropertyName] = (),
    ) -> None:
        at = keys.split(keys.key(path))
        gone = [(*at, *map(keys.encode, name)) for name in removes]
        new = [(*at, *map(keys.encode, (*name, value))) for name, value in sets.items()]
        for row in new:
            limits.check_property(*row[2:])
        with self._lend.write() as connection:
            connection.executemany(
                "DELETE FROM property"
                " WHERE folder = ? AND name = ? AND namespace = ? AND local_name = ?",
                gone,
            )
            if new:
                connection.executemany("INSERT OR REPLACE INTO property VALUES (?,?,?,?,?)", new)
                count, size = connection.execute(
                    "SELECT count(*), sum(length(namespace) + length(local_name) + length(value))"
                    " FROM property WHERE folder = ? AND name = ?",
                    at,
                ).fetchone()
                limits.check_resource(count, size)


def _property_name(row: tuple[Any, ...]) -> PropertyName:
    return keys.decode(row[0]), keys.decode(row[1])
