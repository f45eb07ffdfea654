"""Locks in the embedded back end."""

import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from vfs.state import keys, limits
from vfs.state.base import Depth, LockRecord, Scope, StateStore
from vfs.state.connections import Connections
from vfs.state.errors import LockConflict, NoSuchLock, NotLockOwner, TooMany
from vfs.state.presence import Presence

ANY_LOCK = "SELECT 1 FROM lock WHERE path >= x'' LIMIT 1"

_SECOND_NS = 1_000_000_000
_LOCK = """
SELECT token, path, infinite, exclusive, owner_xml, principal, timeout_seconds, created_at_ns,
  expires_at_ns, name
FROM lock
"""
# A constant statement for any path: its chain is looked up sixteen keys at a time.
_CHAIN_STEP = 16
_COVERING = (
    _LOCK
    + """
WHERE path IN (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) AND (infinite OR path = ?) AND expires_at_ns > ?
ORDER BY path, created_at_ns
"""
)
_BENEATH = (
    _LOCK
    + """
WHERE (path = ? OR (path >= ? AND path < ?)) AND expires_at_ns > ? AND (exclusive OR ?)
ORDER BY path, created_at_ns LIMIT ?
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
                "INSERT INTO lock VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (
                    lock.token,
                    key,
                    *keys.split(key),
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

    def refresh(self, token: str, principal: str, seconds: float | None = None) -> LockRecord:
        granted = limits.lock_seconds(seconds)
        with self._lend.write() as connection:
            now = self._now_ns()
            if self._find(connection, token, now).principal != principal:
                raise NotLockOwner
            connection.execute(
                "UPDATE lock SET timeout_seconds = ?, expires_at_ns = ? WHERE token = ?",
                (granted, now + granted * _SECOND_NS, token),
            )
            return self._find(connection, token, now)

    def release(self, token: str) -> None:
        with self._lend.write() as connection:
            if not token.isascii():
                raise NoSuchLock
            ended = connection.execute(
                "DELETE FROM lock WHERE token = ? AND expires_at_ns > ?", (token, self._now_ns())
            )
            if not ended.rowcount:
                raise NoSuchLock

    def lock(self, token: str) -> LockRecord:
        with self._lend.read() as connection:
            return self._find(connection, token, self._now_ns())

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
            found.setdefault(keys.decode(row[-1]), []).append(_lock(row))
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
    def _find(connection: sqlite3.Connection, token: str, now: int) -> LockRecord:
        row = None
        if token.isascii():
            row = connection.execute(
                _LOCK + "WHERE token = ? AND expires_at_ns > ?", (token, now)
            ).fetchone()
        if row is None:
            raise NoSuchLock
        return _lock(row)

    @staticmethod
    def _covering(connection: sqlite3.Connection, key: bytes, now: int) -> list[LockRecord]:
        chain = keys.chain(key)
        chain += [key] * (-len(chain) % _CHAIN_STEP)
        rows: dict[str, tuple[Any, ...]] = {}
        for start in range(0, len(chain), _CHAIN_STEP):
            step = chain[start : start + _CHAIN_STEP]
            for row in connection.execute(_COVERING, (*step, key, now)):
                rows[row[0]] = row
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
        low, high = keys.beneath(key)
        rows = connection.execute(_BENEATH, (key, low, high, now, also_shared, limit))
        return [_lock(row) for row in rows]


def _lock(row: tuple[Any, ...]) -> LockRecord:
    return LockRecord(
        token=row[0],
        path=keys.path_of(row[1]),
        depth=Depth.INFINITY if row[2] else Depth.ZERO,
        scope=Scope.EXCLUSIVE if row[3] else Scope.SHARED,
        owner_xml=keys.decode(row[4]),
        principal=keys.decode(row[5]),
        timeout_seconds=row[6],
        created_at_ns=row[7],
        expires_at_ns=row[8],
    )
