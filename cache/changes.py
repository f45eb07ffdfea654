"""Changes: what the gateway changed itself, and when.

An answer of the origin that was asked for before a change, and comes after it, must not be
remembered: it would hide the change.
"""

import sqlite3

from cache.place import Place


def note(connection: sqlite3.Connection, place: Place, now: float, *, tree: bool = False) -> None:
    """Write down that a path, or with `tree` all below it as well, changes now."""
    connection.execute(
        "INSERT INTO changes VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET changed_at = excluded.changed_at, tree = max(tree, excluded.tree)",
        (*place.key, now, tree),
    )


def changed_since(connection: sqlite3.Connection, place: Place, moment: float) -> bool:
    """Tell whether a path, or a tree that it lies in, was changed at `moment` or later."""
    mount, _ = place.key
    for is_tree, path in _with_parents(place):
        row = connection.execute(
            "SELECT 1 FROM changes WHERE mount = ? AND path = ? AND changed_at >= ? AND tree >= ?",
            (mount, path, moment, is_tree),
        ).fetchone()
        if row is not None:
            return True
    return False


def _with_parents(place: Place) -> list[tuple[bool, bytes]]:
    found = [(False, place.key[1])]
    while not place.is_root:
        place = place.parent
        found.append((True, place.key[1]))
    return found
