"""Upload sessions in the embedded back end."""

from collections.abc import Callable
from typing import Any

from vfs.state import keys, limits
from vfs.state.base import PartRecord, StateStore, UploadRecord
from vfs.state.connections import Connections
from vfs.state.errors import NoSuchUpload, TooMany, UploadExists

_SECOND_NS = 1_000_000_000
# How many stale sessions one sweep is given.
_STALE_MAX = 1000
_UPLOAD = "SELECT owner, id, target, size, staging, created_at_ns, touched_at_ns FROM upload "


class SqliteUploads(StateStore):
    """The part of SqliteStore that keeps uploads. `_lend` and `_now_ns` are fixed by the whole."""

    _lend: Connections
    _now_ns: Callable[[], int]

    def begin_upload(
        self, owner: str, upload_id: str, *, target: str, size: int | None, staging: str
    ) -> UploadRecord:
        who, name, key = keys.encode(owner), keys.encode(upload_id), keys.key(target)
        limits.check_upload(name, size)
        with self._lend.write() as connection:
            now = self._now_ns()
            if connection.execute(_UPLOAD + "WHERE owner = ? AND id = ?", (who, name)).fetchone():
                raise UploadExists
            (count,) = connection.execute(
                "SELECT count(*) FROM upload WHERE owner = ?", (who,)
            ).fetchone()
            if count >= limits.UPLOADS_PER_OWNER_MAX:
                raise TooMany(f"one user has at most {limits.UPLOADS_PER_OWNER_MAX} uploads")
            connection.execute(
                "INSERT INTO upload VALUES (?,?,?,?,?,?,?)",
                (who, name, key, size, keys.encode(staging), now, now),
            )
        return UploadRecord(owner, upload_id, target, size, staging, now, now)

    def upload(self, owner: str, upload_id: str) -> UploadRecord:
        with self._lend.read() as connection:
            row = connection.execute(
                _UPLOAD + "WHERE owner = ? AND id = ?", _session(owner, upload_id)
            ).fetchone()
        if row is None:
            raise NoSuchUpload
        return _upload(row)

    def uploads(self, owner: str) -> list[UploadRecord]:
        with self._lend.read() as connection:
            rows = connection.execute(
                _UPLOAD + "WHERE owner = ? ORDER BY id", (keys.encode(owner),)
            ).fetchall()
        return [_upload(row) for row in rows]

    def stale_uploads(self, *, untouched_seconds: float) -> list[UploadRecord]:
        before = self._now_ns() - int(untouched_seconds * _SECOND_NS)
        with self._lend.read() as connection:
            rows = connection.execute(
                _UPLOAD + "WHERE touched_at_ns <= ? ORDER BY touched_at_ns LIMIT ?",
                (before, _STALE_MAX),
            ).fetchall()
        return [_upload(row) for row in rows]

    def put_part(self, owner: str, upload_id: str, part: PartRecord) -> PartRecord | None:
        limits.check_integer(part.number)
        limits.check_integer(part.size)
        session = _session(owner, upload_id)
        with self._lend.write() as connection:
            touched = connection.execute(
                "UPDATE upload SET touched_at_ns = ? WHERE owner = ? AND id = ?",
                (self._now_ns(), *session),
            )
            if touched.rowcount == 0:
                raise NoSuchUpload
            row = connection.execute(
                "SELECT number, size, token FROM upload_part"
                " WHERE owner = ? AND id = ? AND number = ?",
                (*session, part.number),
            ).fetchone()
            if row is None:
                (count,) = connection.execute(
                    "SELECT count(*) FROM upload_part WHERE owner = ? AND id = ?", session
                ).fetchone()
                if count >= limits.PARTS_PER_UPLOAD_MAX:
                    raise TooMany(f"an upload has at most {limits.PARTS_PER_UPLOAD_MAX} parts")
            connection.execute(
                "INSERT OR REPLACE INTO upload_part VALUES (?,?,?,?,?)",
                (*session, part.number, part.size, keys.encode(part.token)),
            )
        return None if row is None else _part(row)

    def parts(self, owner: str, upload_id: str) -> list[PartRecord]:
        self.upload(owner, upload_id)
        with self._lend.read() as connection:
            rows = connection.execute(
                "SELECT number, size, token FROM upload_part"
                " WHERE owner = ? AND id = ? ORDER BY number",
                _session(owner, upload_id),
            ).fetchall()
        return [_part(row) for row in rows]

    def end_upload(self, owner: str, upload_id: str) -> None:
        session = _session(owner, upload_id)
        with self._lend.write() as connection:
            ended = connection.execute("DELETE FROM upload WHERE owner = ? AND id = ?", session)
            if ended.rowcount == 0:
                raise NoSuchUpload
            connection.execute("DELETE FROM upload_part WHERE owner = ? AND id = ?", session)


def _session(owner: str, upload_id: str) -> tuple[bytes, bytes]:
    return keys.encode(owner), keys.encode(upload_id)


def _upload(row: tuple[Any, ...]) -> UploadRecord:
    owner, upload_id, target, size, staging, created_at_ns, touched_at_ns = row
    return UploadRecord(
        owner=keys.decode(owner),
        id=keys.decode(upload_id),
        target=keys.path_of(target),
        size=size,
        staging=keys.decode(staging),
        created_at_ns=created_at_ns,
        touched_at_ns=touched_at_ns,
    )


def _part(row: tuple[Any, ...]) -> PartRecord:
    number, size, token = row
    return PartRecord(number, size, keys.decode(token))
