"""Locks in the embedded back end."""

import sqlite3
import uuid
from collections.abc import Callable
from itertools import chain
from typing import Any

import msgspec

from vfs.state import keys, limits
from vfs.state.base import Depth, LockRecord, Scope, StateStore
from vfs.state.connections import Connections
from vfs.state.errors import LockConflict, NoSuchLock, NotLockOwner, TooMany
from vfs.state.presence import Presence

ANY_LOCK = "SELECT 1 FROM lock WHERE folder >= x'' LIMIT 1"

_SECOND_NS = 1_000_000_000
_LOCK = """
SELECT folder, name, token, infinite, exclusive, owner_xml, principal, timeout_seconds,
  created_at_ns, expires_at_ns
FROM lock
"""
_ONE = _LOCK + "WHERE folder = ? AND name = ? AND token = ? AND expires_at_ns > ?"
_END = "DELETE FROM lock WHERE folder = ? AND name = ? AND token = ? AND expires_at_ns > ?"
_INSERT = "INSERT INTO lock VALUES (?,?,?,?,?,?,?,?,?,?)"
# A constant statement for any path: its chain is looked up eight places at a time, each of them by
# a part of its own, since a list of places would first have to be made a table.
_CHAIN_STEP = 8
_COVERING = " UNION ALL ".join(
    [_LOCK + "WHERE folder = ? AND name = ? AND (infinite OR ?) AND expires_at_ns > ?"]
    * _CHAIN_STEP
)
# Each part is one stretch of the table.
_BENEATH = (
    _LOCK
    + """
WHERE ((folder = :folder AND name = :name) OR (folder = :key AND name <> x'')
    OR (folder >= :low AND folder < :high))
  AND expires_at_ns > :now AND (exclusive OR :also_shared)
ORDER BY created_at_ns LIMIT :limit
"""
)


class SqliteLocks(StateStore):
    """The part of SqliteStore that keeps locks. All attributes are fixed by the whole."""

    _lend: Connections
    _has_locks: Presence
    _now_ns: Callable[[], int]

    def acquire(
        self,
        path: str,
        *,
        principal: str,
        scope: Scope = Scope.EXCLUSIVE,
        depth: Depth = Depth.INFINITY,
        owner_xml: str = "",
        seconds: float | None = None,
    ) -> LockRecord:
        key, who, owner = keys.key(path), keys.encode(principal), keys.encode(owner_xml)
        limits.check_owner(owner)
        granted = limits.lock_seconds(seconds)
        with self._lend.write() as connection:
            now = self._now_ns()
            if connection.execute(ANY_LOCK).fetchone() is not None:
                connection.execute("DELETE FROM lock WHERE expires_at_ns <= ?", (now,))
                others = self._covering(connection, key, now)
                if depth is Depth.INFINITY:
                    also_shared = scope is Scope.EXCLUSIVE
                    others += self._beneath(connection, key, now, also_shared=also_shared)
                if scope is Scope.SHARED:
                    others = [lock for lock in others if lock.scope is Scope.EXCLUSIVE]
                if others:
                    distinct = {lock.token: lock for lock in others}
                    raise LockConflict(list(distinct.values())[: limits.CONFLICTS_MAX])
                (held,) = connection.execute(
                    "SELECT count(*) FROM lock WHERE principal = ?", (who,)
                ).fetchone()
                if held >= limits.LOCKS_PER_PRINCIPAL_MAX:
                    raise TooMany(f"one user holds at most {limits.LOCKS_PER_PRINCIPAL_MAX} locks")
            lock = LockRecord(
                token=f"opaquelocktoken:{uuid.uuid4()}",
                path=path,
                depth=depth,
                scope=scope,
                owner_xml=owner_xml,
                principal=principal,
                timeout_seconds=granted,
                created_at_ns=now,
                expires_at_ns=now + granted * _SECOND_NS,
            )
            connection.execute(
                _INSERT,
                (
                    *keys.split(key),
                    lock.token,
                    depth is Depth.INFINITY,
                    scope is Scope.EXCLUSIVE,
                    owner,
                    who,
                    granted,
                    now,
                    lock.expires_at_ns,
                ),
            )
        return lock

    def refresh(self, lock: LockRecord, principal: str, seconds: float | None = None) -> LockRecord:
        granted = limits.lock_seconds(seconds)
        place = _place(lock)
        with self._lend.write() as connection:
            now = self._now_ns()
            row = connection.execute(_ONE, (*place, now)).fetchone()
            if row is None:
                raise NoSuchLock
            kept = _lock(row)
            if kept.principal != principal:
                raise NotLockOwner
            expires_at_ns = now + granted * _SECOND_NS
            connection.execute(
                "UPDATE lock SET timeout_seconds = ?, expires_at_ns = ?"
                " WHERE folder = ? AND name = ? AND token = ?",
                (granted, expires_at_ns, *place),
            )
        return msgspec.structs.replace(kept, timeout_seconds=granted, expires_at_ns=expires_at_ns)

    def release(self, lock: LockRecord) -> None:
        place = _place(lock)
        with self._lend.write() as connection:
            if not connection.execute(_END, (*place, self._now_ns())).rowcount:
                raise NoSuchLock

    def locks_on(self, path: str) -> list[LockRecord]:
        key = keys.key(path)
        if self._has_locks.is_ruled_out:
            return []
        with self._lend.read() as connection:
            return self._covering(connection, key, self._now_ns())

    def locks_beneath(self, path: str) -> list[LockRecord]:
        key = keys.key(path)
        if self._has_locks.is_ruled_out:
            return []
        with self._lend.read() as connection:
            return self._beneath(connection, key, self._now_ns(), limit=-1)

    def locks_of_children(self, folder: str) -> dict[str, list[LockRecord]]:
        key = keys.key(folder)
        found: dict[str, list[LockRecord]] = {}
        if self._has_locks.is_ruled_out:
            return found
        with self._lend.read() as connection:
            rows = connection.execute(
                _LOCK + "WHERE folder = ? AND name <> x'' AND expires_at_ns > ?",
                (key, self._now_ns()),
            ).fetchall()
        for row in rows:
            found.setdefault(keys.decode(row[1]), []).append(_lock(row))
        return found

    def any_locks(self) -> bool:
        if not self._has_locks:
            return False
        with self._lend.read() as connection:
            row = connection.execute(
                "SELECT 1 FROM lock WHERE expires_at_ns > ? LIMIT 1", (self._now_ns(),)
            ).fetchone()
        return row is not None

    @staticmethod
    def _covering(connection: sqlite3.Connection, key: bytes, now: int) -> list[LockRecord]:
        # From the root down. Of the place itself any lock covers, of those above the infinite.
        places = [(*keys.split(one), one == key, now) for one in reversed(keys.chain(key))]
        places += places[-1:] * (-len(places) % _CHAIN_STEP)
        rows: dict[str, tuple[Any, ...]] = {}
        for start in range(0, len(places), _CHAIN_STEP):
            step = chain.from_iterable(places[start : start + _CHAIN_STEP])
            for row in connection.execute(_COVERING, tuple(step)):
                rows[row[2]] = row
        return [_lock(row) for row in rows.values()]

    @staticmethod
    def _beneath(
        connection: sqlite3.Connection,
        key: bytes,
        now: int,
        *,
        also_shared: bool = True,
        limit: int = limits.CONFLICTS_MAX,
    ) -> list[LockRecord]:
        folder, name = keys.split(key)
        low, high = keys.beneath(key)
        asked = {
            "key": key,
            "folder": folder,
            "name": name,
            "low": low,
            "high": high,
            "now": now,
            "also_shared": also_shared,
            "limit": limit,
        }
        found = [_lock(row) for row in connection.execute(_BENEATH, asked)]
        return sorted(found, key=lambda lock: lock.path)


def _place(lock: LockRecord) -> tuple[bytes, bytes, str]:
    """Return what finds a lock; NoSuchLock for one that never was."""
    if not lock.token.isascii():
        raise NoSuchLock
    return (*keys.split(keys.key(lock.path)), lock.token)


def _lock(row: tuple[Any, ...]) -> LockRecord:
    folder, name = row[0], row[1]
    return LockRecord(
        token=row[2],
        path=keys.path_of(folder + b"/" + name if name else folder),
        depth=Depth.INFINITY if row[3] else Depth.ZERO,
        scope=Scope.EXCLUSIVE if row[4] else Scope.SHARED,
        owner_xml=keys.decode(row[5]),
        principal=keys.decode(row[6]),
        timeout_seconds=row[7],
        created_at_ns=row[8],
        expires_at_ns=row[9],
    )
