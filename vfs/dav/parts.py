"""Parts: the bytes of uploads under way, as files in the state directory."""

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from providers.base import Entry, Kind
from providers.errors import NoSpace, StorageError, Unavailable
from vfs.http.bad_request import BadRequest
from vfs.http.body import Body
from vfs.http.upload_check import UploadCheck
from vfs.state.base import PartRecord, StateStore, UploadRecord
from vfs.state.errors import NoSuchUpload

BLOCK_BYTES = 1 << 20

RESERVE_BYTES = 64 << 20
"""What uploads leave free on the disk, which holds the state store too."""

_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL = (
    "parts lie on the gateway's own disk until the upload is whole, and it is full;"
    " free some space there, or send the file in one PUT"
)

_log = logging.getLogger(__name__)


class Parts:
    """Keeps one folder for each upload and one file for each part of it.

    All attributes are fixed. A file has a name of its own and is written once; the record of the
    part, made after it, names it. So a part that was cut, replaced or never recorded is never
    read, and one whose file is not of the recorded size, as after a power cut, does not count.
    """

    def __init__(self, store: StateStore, root: Path) -> None:
        self._store = store
        self._root = root

    def begin(self, size: int | None) -> str:
        """Return the name of a new folder; NoSpace if `size` bytes will not fit."""
        staging = secrets.token_hex(16)
        with _translated():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_space(size or 0)
            (self._root / staging).mkdir(mode=0o700)
        return staging

    def write(
        self, staging: str, name: str, body: Body, size: int, check: UploadCheck | None
    ) -> str:
        """Store a part of `size` bytes; return its token. What fails leaves no file."""
        token = f"{name}.{secrets.token_hex(8)}"
        path = self._root / staging / token
        with _translated():
            self._check_space(size)
            file = path.open("xb")
        try:
            with file:
                for block in body.blocks():
                    if check is not None:
                        check.update(block)
                    with _translated():
                        file.write(block)
                with _translated():
                    file.flush()
            if check is not None:
                check.verify()
        except BaseException:
            self.drop(staging, token)
            raise
        return token

    def drop(self, staging: str, token: str) -> None:
        """Remove the file of a part that is replaced or was never recorded."""
        with contextlib.suppress(OSError):
            (self._root / staging / token).unlink()

    def entry(self, staging: str, part: PartRecord) -> Entry | None:
        """Return the part as a file in a listing, None if its bytes are not there."""
        try:
            status = (self._root / staging / part.token).stat()
        except OSError:
            return None
        if status.st_size != part.size:
            return None
        return Entry(name_of(part), Kind.FILE, part.size, status.st_mtime_ns, part.token)

    def open(self, staging: str, part: PartRecord) -> int:
        """Return a descriptor of the part's bytes; BadRequest 409 when they are not there."""
        try:
            descriptor = os.open(self._root / staging / part.token, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _lost(part) from None
        if os.fstat(descriptor).st_size != part.size:
            os.close(descriptor)
            raise _lost(part)
        return descriptor

    @contextlib.contextmanager
    def claimed(self, staging: str) -> Iterator[None]:
        """Keep everybody else, in all processes, from assembling this upload; BadRequest 423."""
        try:
            folder = os.open(self._root / staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BadRequest(
                409, "The parts of this upload are gone; remove it with DELETE and begin anew."
            ) from None
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadRequest(
                    423, "The parts of this upload are being put together; ask again later."
                ) from None
            yield
        finally:
            os.close(folder)

    def remove(self, staging: str) -> None:
        """Remove the folder of an upload with all it holds."""
        with _translated(), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root / staging)

    def end(self, upload: UploadRecord) -> None:
        """Remove parts and record, in this order, so that no parts are left without a record."""
        self.remove(upload.staging)
        with contextlib.suppress(NoSuchUpload):
            # A client may have begun anew by the same name.
            if self._store.upload(upload.owner, upload.id).staging == upload.staging:
                self._store.end_upload(upload.owner, upload.id)

    def sweep(self, *, untouched_seconds: float) -> None:
        """End the uploads of all owners that took no part for so long."""
        for upload in self._store.stale_uploads(untouched_seconds=untouched_seconds):
            self.end(upload)
        # A folder without a record is rare: its process died, or it lost a race with a DELETE.
        # Twice as old as a record may be, it belongs to none.
        before = time.time() - 2 * untouched_seconds
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root) as folders:
            for folder in folders:
                if folder.stat(follow_symlinks=False).st_mtime < before:
                    _log.info("removing the parts of a forgotten upload: %s", folder.name)
                    shutil.rmtree(folder.path)

    def _check_space(self, size: int) -> None:
        space = os.statvfs(self._root)
        if space.f_blocks and size > space.f_bavail * space.f_frsize - RESERVE_BYTES:
            raise NoSpace(detail=_FULL)


def name_of(part: PartRecord) -> str:
    """Return the name that the client gave the part."""
    return part.token.partition(".")[0]


def _lost(part: PartRecord) -> BadRequest:
    return BadRequest(409, f"The bytes of part {name_of(part)} are not there; send it again.")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Tell a client no more of our own disk than that it is full, or fails."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError:
        raise BadRequest(404, "The upload has ended; begin it anew with MKCOL.") from None
    except OSError as error:
        if error.errno in _SPACE:
            raise NoSpace(detail=_FULL) from error
        _log.exception("the parts of uploads cannot be stored")
        raise Unavailable(detail="the gateway cannot store parts of uploads now") from error
