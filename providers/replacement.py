"""Replacement: the new content of one local file, put in its place in one step."""

import contextlib
import os
import stat
import sys
import warnings

from providers import linux, temporary, waiting
from providers.attributes import inherit
from providers.base import Entry, Writer
from providers.errors import (
    AlreadyExists,
    BadRange,
    Changed,
    IsADirectory,
    NoSpace,
    NotFound,
    Unsupported,
)
from providers.folderlock import locked
from providers.inode import entry_of, refusal_of, stamp_ns, version_of
from providers.names import basename
from providers.pinned import whole_now
from providers.place import Place
from providers.translated import Translated

_UNASKED_BYTES = 64 * 1024
_OWN = 0o600


class Replacement(Writer):
    """Fills a temporary beside the file and renames it over the file at commit.

    The folder is held by its descriptor from beginning to end: whoever puts another folder or a
    link in its place cannot lead the commit elsewhere. `_descriptor`, locked against sweeps, is -1
    once finished; `_temporary` shares the folder of `_place` and is None once it has its new name.
    `take_from` sets `_is_copy` and `_random`, `commit` `replaces`; all else is fixed. One thread at
    a time.
    """

    def __init__(
        self,
        path: str,
        place: Place,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
        durable: bool = False,
    ) -> None:
        """Check what stands at `place` and make the temporary. Owns `place` from here on."""
        self._path = path
        self._place = place
        self._temporary: Place | None = None
        self._overwrite = overwrite
        self._expect = expect
        self._durable = durable
        self._random = False
        self._is_copy = False
        self._descriptor = -1
        try:
            self._old = self._check(place.look())
            self.replaces = self._old is not None
            self._check_space(size_hint)
            # What replaces a private file is private from its first byte on.
            mode = 0o666 if self._old is None else _OWN
            self._descriptor, name, self._made = temporary.make(place.folder, mode)
            self._temporary = place.beside(name)
        except BaseException:
            self.abort()
            raise

    def take_from(
        self,
        source: int,
        status: os.stat_result,
        *,
        random: bool,
        in_memory: bool = False,
    ) -> None:
        """Begin with the content of `source`, as `status` told of it; Changed if that fails.

        With `random` the writer then takes `write_at`; else it is a copy and takes the mode and
        the attributes too. `in_memory` says that no disk is beneath the source.
        """
        self._random = random
        self._is_copy = not random
        # The kernel chose by 0666 and the umask, or by the folder's default ACL.
        made = self._made.st_mode & 0o777
        mode = made & status.st_mode
        if not random and mode | _OWN != made:
            os.fchmod(self._descriptor, mode | _OWN)
        if waiting.is_refused():
            self.write(whole_now(source, status, in_memory=in_memory))
        else:
            linux.clone(source, self._descriptor, status.st_size)
        if not random:
            inherit(source, self._descriptor, users=True, acl=False)
            # Only who may write gives attributes.
            if mode & _OWN != _OWN:
                os.fchmod(self._descriptor, mode)
        now = os.fstat(source)
        if (now.st_size, now.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise Changed(self._path, detail="the source was written while it was copied")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        descriptor = self._open()
        with Translated(self._path), memoryview(data).cast("B") as rest:
            if self._random:
                os.lseek(descriptor, 0, os.SEEK_END)
            done = 0
            while done < len(rest):
                done += os.write(descriptor, rest[done:] if done else rest)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        descriptor = self._check_random(offset)
        with Translated(self._path), memoryview(data).cast("B") as rest:
            if offset > sys.maxsize - len(rest):
                raise NoSpace(detail="no file can be that large")
            done = 0
            while done < len(rest):
                done += os.pwrite(descriptor, rest[done:], offset + done)

    def truncate(self, size: int) -> None:
        descriptor = self._check_random(size)
        with Translated(self._path):
            if size > sys.maxsize:
                raise NoSpace(detail="no file can be that large")
            os.ftruncate(descriptor, size)

    def fileno(self) -> int | None:
        return self._open()

    def commit(self) -> Entry:
        descriptor = self._open()
        try:
            with Translated(self._path):
                if self._durable:
                    # Whoever else writes in the folder does not wait for the disk.
                    self._prepare(descriptor, self._place.status())
                    os.fsync(descriptor)
                with locked(self._place.folder):
                    old = self._check(self._place.status())
                    self.replaces = old is not None
                    if not self._durable:
                        self._prepare(descriptor, old)
                    self._move()
                    # Under the lock: the next writer's rename changes this inode once more.
                    status = os.fstat(descriptor)
                if self._durable:
                    self._place.sync()
                return entry_of(basename(self._path), status)
        finally:
            self.abort()

    def abort(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            self._temporary = None
        if descriptor >= 0:
            os.close(descriptor)
        self._place.close()

    def __del__(self) -> None:
        if self._descriptor >= 0:
            warnings.warn(f"unfinished writer of {self._path!r}", ResourceWarning, stacklevel=1)
            self.abort()

    def _open(self) -> int:
        if self._descriptor < 0:
            raise ValueError("this writer is finished: it was committed or aborted")
        return self._descriptor

    def _check_random(self, offset: int) -> int:
        if not self._random:
            raise Unsupported(self._path, detail="this writer only appends")
        if offset < 0:
            raise BadRange(self._path, detail="offset and size may not be negative")
        return self._open()

    def _check(self, old: os.stat_result | None) -> os.stat_result | None:
        """Return what is to be replaced, or None; raise what forbids it."""
        if old is None:
            if self._expect is not None:
                raise NotFound
            return None
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectory
        if not stat.S_ISREG(old.st_mode):
            raise refusal_of(old)
        if not self._overwrite:
            raise AlreadyExists
        if self._expect is not None and version_of(old) != self._expect:
            raise Changed
        return old

    def _check_space(self, size: int | None) -> None:
        # Of little nothing is gained by knowing before it is written.
        if size is None or size <= _UNASKED_BYTES:
            return
        space = os.fstatvfs(self._place.folder)
        if space.f_blocks and size > space.f_bavail * space.f_frsize:
            raise NoSpace(
                detail=f"{size} bytes are announced, "
                f"{space.f_bavail * space.f_frsize} are free; remove something first"
            )

    def _prepare(self, descriptor: int, old: os.stat_result | None) -> None:
        """Give the temporary all that the file is to have, so that the rename is the last step."""
        old = old or self._old
        if old is not None:
            if (old.st_uid, old.st_gid) != (self._made.st_uid, self._made.st_gid):
                _give(descriptor, old)
            _keep_rights(self._place, old, descriptor, attributes=not self._is_copy)
        now_ns = stamp_ns()
        os.utime(descriptor, ns=(now_ns, now_ns))

    def _move(self) -> None:
        assert self._temporary is not None
        try:
            self._temporary.move(self._place, replace=self._overwrite)
        except FileNotFoundError:
            raise NotFound(detail="its folder was removed while it was written") from None
        self._temporary = None


def _give(new: int, old: os.stat_result) -> None:
    """Give `new` the owner of the file that it replaces.

    A gateway that may not give files away keeps at least the group, if it belongs to it.
    """
    try:
        os.fchown(new, old.st_uid, old.st_gid)
    except OSError:
        with contextlib.suppress(OSError):
            os.fchown(new, -1, old.st_gid)


def _keep_rights(place: Place, old: os.stat_result, new: int, *, attributes: bool) -> None:
    """Give `new` the mode and the attributes of the file that it replaces."""
    os.fchmod(new, old.st_mode & 0o777)
    try:
        source = place.open(os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # gone, or not ours to read
        return
    try:
        inherit(source, new, users=attributes, acl=True)
    finally:
        os.close(source)
