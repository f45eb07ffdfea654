"""Users and the generation of all that is about them, in the embedded back end."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from vfs.state import keys, limits
from vfs.state.accounts import UserRecord
from vfs.state.base import StateStore
from vfs.state.connections import Connections
from vfs.state.errors import AlreadyThere, Invalid, NoSuchAccount, TooMany

_ACCOUNT = "SELECT name, password_hash, email, groups, public_keys, created_at_ns FROM account "


class SqliteAccounts(StateStore):
    """The part of SqliteStore that keeps users. `_lend` and `_now_ns` are fixed by the whole."""

    _lend: Connections
    _now_ns: Callable[[], int]

    def generation(self) -> int:
        with self._lend.read() as connection:
            (number,) = connection.execute("SELECT number FROM account_generation").fetchone()
        return int(number)

    def put_user(self, user: UserRecord, *, new: bool = False) -> None:
        name = name_key(user.name)
        row = (
            name,
            keys.encode(user.password_hash),
            keys.encode(user.email),
            packed(user.groups),
            packed(user.public_keys),
        )
        limits.check_user(sum(map(len, row)))
        with changing(self._lend) as connection:
            if exists(connection, "SELECT 1 FROM account WHERE name = ?", name):
                if new:
                    raise AlreadyThere(f"there is a user {user.name!r}")
            else:
                (count,) = connection.execute("SELECT count(*) FROM account").fetchone()
                if count >= limits.USERS_MAX:
                    raise TooMany(f"there are at most {limits.USERS_MAX} users")
                _drop_lent(connection, name)
            connection.execute(
                "INSERT OR REPLACE INTO account VALUES (?,?,?,?,?,?)",
                (*row, user.created_at_ns or self._now_ns()),
            )

    def set_password(self, name: str, password_hash: str) -> None:
        kept = keys.encode(password_hash)
        limits.check_user(len(kept))
        with changing(self._lend) as connection:
            done = connection.execute(
                "UPDATE account SET password_hash = ? WHERE name = ?", (kept, keys.encode(name))
            )
            if done.rowcount == 0:
                raise NoSuchAccount(f"no user {name!r}")

    def change_user(
        self,
        name: str,
        *,
        email: str | None = None,
        groups: Sequence[str] | None = None,
        public_keys: Sequence[str] | None = None,
    ) -> None:
        given = (
            None if email is None else keys.encode(email),
            None if groups is None else packed(groups),
            None if public_keys is None else packed(public_keys),
        )
        limits.check_user(sum(len(each) for each in given if each is not None))
        with changing(self._lend) as connection:
            row = connection.execute(_ACCOUNT + "WHERE name = ?", (keys.encode(name),)).fetchone()
            if row is None:
                raise NoSuchAccount(f"no user {name!r}")
            key, password_hash, *before, _ = row
            after = [old if new is None else new for old, new in zip(before, given, strict=True)]
            limits.check_user(sum(map(len, (key, password_hash, *after))))
            connection.execute(
                "UPDATE account SET email = ?, groups = ?, public_keys = ? WHERE name = ?",
                (*after, key),
            )

    def user(self, name: str) -> UserRecord | None:
        with self._lend.read() as connection:
            row = connection.execute(_ACCOUNT + "WHERE name = ?", (keys.encode(name),)).fetchone()
        return None if row is None else _user(row)

    def user_by_email(self, email: str) -> UserRecord | None:
        if not email:
            return None
        with self._lend.read() as connection:
            rows = connection.execute(
                _ACCOUNT + "WHERE email = ? LIMIT 2", (keys.encode(email),)
            ).fetchall()
        return _user(rows[0]) if len(rows) == 1 else None

    def users(self) -> list[UserRecord]:
        with self._lend.read() as connection:
            rows = connection.execute(_ACCOUNT + "ORDER BY name").fetchall()
        return [_user(row) for row in rows]

    def any_users(self) -> bool:
        with self._lend.read() as connection:
            return exists(connection, "SELECT 1 FROM account LIMIT 1")

    def remove_user(self, name: str) -> None:
        key = keys.encode(name)
        with changing(self._lend) as connection:
            if connection.execute("DELETE FROM account WHERE name = ?", (key,)).rowcount == 0:
                raise NoSuchAccount(f"no user {name!r}")
            _drop_lent(connection, key)


@contextmanager
def changing(lend: Connections) -> Iterator[sqlite3.Connection]:
    """Lend a connection for one change, which makes the generation grow."""
    with lend.write() as connection:
        connection.execute("UPDATE account_generation SET number = number + 1")
        yield connection


def exists(connection: sqlite3.Connection, query: str, *values: bytes) -> bool:
    """Tell whether the query finds a row."""
    return connection.execute(query, values).fetchone() is not None


def name_key(name: str) -> bytes:
    """Return a name that is to be kept as bytes; Invalid when it cannot be."""
    key = keys.encode(name)
    limits.check_account_name(key)
    return key


def packed(texts: Sequence[str]) -> bytes:
    """Return texts as one value; Invalid for a surrogate."""
    try:
        return msgspec.json.encode(texts)
    except UnicodeEncodeError as error:
        raise Invalid("text may not hold a surrogate") from error


def unpacked(data: bytes) -> tuple[str, ...]:
    """Return what `packed` was given."""
    return msgspec.json.decode(data, type=tuple[str, ...])


def _drop_lent(connection: sqlite3.Connection, name: bytes) -> None:
    connection.execute("DELETE FROM app_password WHERE user = ?", (name,))
    connection.execute("DELETE FROM share WHERE maker = ?", (name,))


def _user(row: tuple[Any, ...]) -> UserRecord:
    name, password_hash, email, groups, public_keys, created_at_ns = row
    return UserRecord(
        name=keys.decode(name),
        password_hash=keys.decode(password_hash),
        email=keys.decode(email),
        groups=unpacked(groups),
        public_keys=unpacked(public_keys),
        created_at_ns=created_at_ns,
    )
