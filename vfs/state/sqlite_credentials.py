"""App passwords, shares, revoked tokens and sealed secrets in the embedded back end."""

from collections.abc import Callable
from typing import Any

from vfs.state import keys, limits
from vfs.state.accounts import AppPasswordRecord, SecretRecord, ShareRecord
from vfs.state.base import StateStore
from vfs.state.connections import Connections
from vfs.state.errors import AlreadyThere, NoSuchAccount, TooMany
from vfs.state.sqlite_accounts import changing, exists, name_key, packed, unpacked

_APP_PASSWORD = (
    "SELECT user, label, digest, scopes, created_at_ns, expires_at_ns FROM app_password "  # noqa: S105 - a query
)
_SHARE = "SELECT id, maker, groups, scopes, note, created_at_ns, expires_at_ns FROM share "


class SqliteCredentials(StateStore):
    """The part of SqliteStore that keeps what users lend; `_lend` and `_now_ns` are the whole's."""

    _lend: Connections
    _now_ns: Callable[[], int]

    def add_app_password(self, record: AppPasswordRecord) -> None:
        limits.check_integer(record.expires_at_ns or 0)
        user, label = name_key(record.user), name_key(record.label)
        row = (user, label, record.digest, packed(record.scopes))
        limits.check_credential(sum(map(len, row)))
        with changing(self._lend) as connection:
            now = self._now_ns()
            connection.execute("DELETE FROM app_password WHERE expires_at_ns <= ?", (now,))
            query = "SELECT 1 FROM app_password WHERE user = ? AND label = ?"
            if exists(connection, query, user, label):
                raise AlreadyThere(f"{record.user!r} has an app password {record.label!r}")
            (count,) = connection.execute(
                "SELECT count(*) FROM app_password WHERE user = ?", (user,)
            ).fetchone()
            if count >= limits.APP_PASSWORDS_PER_USER_MAX:
                raise TooMany(f"a user has at most {limits.APP_PASSWORDS_PER_USER_MAX}")
            connection.execute(
                "INSERT INTO app_password VALUES (?,?,?,?,?,?)",
                (*row, record.created_at_ns or now, record.expires_at_ns),
            )

    def app_password(self, user: str, digest: bytes) -> AppPasswordRecord | None:
        with self._lend.read() as connection:
            row = connection.execute(
                _APP_PASSWORD + "WHERE user = ? AND digest = ?"
                " AND (expires_at_ns IS NULL OR expires_at_ns > ?)",
                (keys.encode(user), digest, self._now_ns()),
            ).fetchone()
        return None if row is None else _app_password(row)

    def app_passwords(self, user: str | None = None) -> list[AppPasswordRecord]:
        with self._lend.read() as connection:
            if user is None:
                rows = connection.execute(_APP_PASSWORD + "ORDER BY user, label").fetchall()
            else:
                rows = connection.execute(
                    _APP_PASSWORD + "WHERE user = ? ORDER BY label", (keys.encode(user),)
                ).fetchall()
        return [_app_password(row) for row in rows]

    def remove_app_password(self, user: str, label: str) -> None:
        with changing(self._lend) as connection:
            done = connection.execute(
                "DELETE FROM app_password WHERE user = ? AND label = ?",
                (keys.encode(user), keys.encode(label)),
            )
            if done.rowcount == 0:
                raise NoSuchAccount(f"{user!r} has no app password {label!r}")

    def add_share(self, record: ShareRecord) -> None:
        limits.check_integer(record.expires_at_ns)
        share_id, maker = name_key(record.id), name_key(record.maker)
        row = (
            share_id,
            maker,
            packed(record.groups),
            packed(record.scopes),
            keys.encode(record.note),
        )
        limits.check_credential(sum(map(len, row)))
        with self._lend.write() as connection:
            now = self._now_ns()
            connection.execute("DELETE FROM share WHERE expires_at_ns <= ?", (now,))
            if exists(connection, "SELECT 1 FROM share WHERE id = ?", share_id):
                raise AlreadyThere(f"there is a share {record.id!r}")
            (count,) = connection.execute(
                "SELECT count(*) FROM share WHERE maker = ?", (maker,)
            ).fetchone()
            if count >= limits.SHARES_PER_MAKER_MAX:
                raise TooMany(f"a user has at most {limits.SHARES_PER_MAKER_MAX} shares")
            connection.execute(
                "INSERT INTO share VALUES (?,?,?,?,?,?,?)",
                (*row, record.created_at_ns or now, record.expires_at_ns),
            )

    def share(self, share_id: str) -> ShareRecord | None:
        with self._lend.read() as connection:
            row = connection.execute(
                _SHARE + "WHERE id = ? AND expires_at_ns > ?",
                (keys.encode(share_id), self._now_ns()),
            ).fetchone()
        return None if row is None else _share(row)

    def shares(self, maker: str | None = None) -> list[ShareRecord]:
        now = self._now_ns()
        with self._lend.read() as connection:
            if maker is None:
                rows = connection.execute(
                    _SHARE + "WHERE expires_at_ns > ? ORDER BY created_at_ns, id", (now,)
                ).fetchall()
            else:
                rows = connection.execute(
                    _SHARE + "WHERE maker = ? AND expires_at_ns > ? ORDER BY created_at_ns, id",
                    (keys.encode(maker), now),
                ).fetchall()
        return [_share(row) for row in rows]

    def remove_share(self, share_id: str) -> None:
        with self._lend.write() as connection:
            done = connection.execute("DELETE FROM share WHERE id = ?", (keys.encode(share_id),))
            if done.rowcount == 0:
                raise NoSuchAccount(f"no share {share_id!r}")

    def revoke_token(self, token_id: str, *, expires_at_ns: int) -> None:
        limits.check_integer(expires_at_ns)
        key = name_key(token_id)
        with changing(self._lend) as connection:
            connection.execute(
                "DELETE FROM revoked_token WHERE expires_at_ns <= ?", (self._now_ns(),)
            )
            (count,) = connection.execute("SELECT count(*) FROM revoked_token").fetchone()
            known = exists(connection, "SELECT 1 FROM revoked_token WHERE id = ?", key)
            if count >= limits.REVOKED_TOKENS_MAX and not known:
                raise TooMany(
                    f"at most {limits.REVOKED_TOKENS_MAX} live tokens are revoked; "
                    "change the keys that sign them"
                )
            connection.execute(
                "INSERT INTO revoked_token VALUES (?,?) ON CONFLICT (id) DO UPDATE"
                " SET expires_at_ns = max(expires_at_ns, excluded.expires_at_ns)",
                (key, expires_at_ns),
            )

    def is_revoked(self, token_id: str) -> bool:
        with self._lend.read() as connection:
            query = "SELECT 1 FROM revoked_token WHERE id = ?"
            return exists(connection, query, keys.encode(token_id))

    def put_secret(self, name: str, sealed: bytes, *, new: bool = False) -> None:
        key = name_key(name)
        limits.check_secret(len(sealed))
        with changing(self._lend) as connection:
            if exists(connection, "SELECT 1 FROM secret WHERE name = ?", key):
                if new:
                    raise AlreadyThere(f"there is a secret {name!r}")
            else:
                (count,) = connection.execute("SELECT count(*) FROM secret").fetchone()
                if count >= limits.SECRETS_MAX:
                    raise TooMany(f"there are at most {limits.SECRETS_MAX} secrets")
            connection.execute(
                "INSERT OR REPLACE INTO secret VALUES (?,?,?)", (key, sealed, self._now_ns())
            )

    def secret(self, name: str) -> SecretRecord | None:
        with self._lend.read() as connection:
            row = connection.execute(
                "SELECT name, sealed, changed_at_ns FROM secret WHERE name = ?",
                (keys.encode(name),),
            ).fetchone()
        return None if row is None else _secret(row)

    def secrets(self) -> list[SecretRecord]:
        with self._lend.read() as connection:
            rows = connection.execute(
                "SELECT name, sealed, changed_at_ns FROM secret ORDER BY name"
            ).fetchall()
        return [_secret(row) for row in rows]

    def remove_secret(self, name: str) -> None:
        with changing(self._lend) as connection:
            done = connection.execute("DELETE FROM secret WHERE name = ?", (keys.encode(name),))
            if done.rowcount == 0:
                raise NoSuchAccount(f"no secret {name!r}")


def _app_password(row: tuple[Any, ...]) -> AppPasswordRecord:
    user, label, digest, scopes, created_at_ns, expires_at_ns = row
    return AppPasswordRecord(
        user=keys.decode(user),
        label=keys.decode(label),
        digest=digest,
        scopes=unpacked(scopes),
        created_at_ns=created_at_ns,
        expires_at_ns=expires_at_ns,
    )


def _share(row: tuple[Any, ...]) -> ShareRecord:
    share_id, maker, groups, scopes, note, created_at_ns, expires_at_ns = row
    return ShareRecord(
        id=keys.decode(share_id),
        maker=keys.decode(maker),
        groups=unpacked(groups),
        scopes=unpacked(scopes),
        note=keys.decode(note),
        created_at_ns=created_at_ns,
        expires_at_ns=expires_at_ns,
    )


def _secret(row: tuple[Any, ...]) -> SecretRecord:
    name, sealed, changed_at_ns = row
    return SecretRecord(name=keys.decode(name), sealed=sealed, changed_at_ns=changed_at_ns)
