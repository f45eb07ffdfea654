"""SftpWriter: the new content of one file, put in its place in one step."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Final

from providers.base import Entry, Writer
from providers.errors import (
    AlreadyExists,
    BadRange,
    Changed,
    Corrupted,
    IsADirectory,
    NoSpace,
    NotFound,
    StorageError,
    Unavailable,
    Unsupported,
)
from providers.names import check_path, parent
from providers.sftp_site import SftpSite, Told, entry_of, seen, version_of
from providers.sftp_temporary import SftpTemporary
from providers.ssh import wire
from providers.ssh.session import SftpSession
from providers.ssh.status import Refused
from providers.ssh.transfer import Upload
from providers.ssh.wire import Attributes

_STRIPED_BYTES: Final = 8 << 20  # after so much other sessions are asked to help, and again
_LARGEST: Final = (1 << 63) - 1
_HINT_BYTES: Final = 1 << 20  # less is not worth a question
_NEW = wire.FOR_WRITING | wire.CREATE | wire.EXCLUSIVE


class _Leg:
    """The temporary, opened in one session; used by one thread. Fixed, but for `_closed`."""

    def __init__(self, session: SftpSession, handle: bytes) -> None:
        self.session = session
        self.handle = handle
        self.upload: Upload = session.upload(handle)
        self._closed = False

    def close(self) -> None:
        """Close the handle; raise what the server could not write."""
        self._closed = True  # never twice: the server may have given its number away
        self.session.close_handle(self.handle)

    def leave(self) -> None:
        """Close the handle, whatever comes of it, unless it is closed."""
        if not self._closed and self.session.alive:
            self._closed = True
            with contextlib.suppress(StorageError):
                self.session.leave_handle(self.handle)


class SftpWriter(Writer):
    """Fills a temporary beside the file and renames it over the file at commit.

    Nothing is ever sent twice: when the session is cut the writer ends, and the old content
    stands. The lock of the path is held while the condition is checked and the rename is made, so
    `expect` is exact among the writers of this process; another process may come in between. One
    thread at a time; `_legs` is empty once finished, all but `_size`, `_waiting`, `_turn`,
    `_widen_at` and `_random` is fixed after the making.
    """

    def __init__(
        self,
        site: SftpSite,
        temporaries: SftpTemporary,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> None:
        """Check what stands at `path` and make the temporary."""
        self._site = site
        self._temporaries = temporaries
        self._path = path
        self._overwrite = overwrite
        self._expect = expect
        self._legs: list[_Leg] = []
        self._size = 0
        self._waiting = bytearray()
        self._random = False
        self._turn = 0
        self._widen_at = _STRIPED_BYTES
        self._mode: int | None = None
        check_path(path)
        self._temporary = temporaries.make(parent(path))
        session = site.pool.take()
        try:
            self._old = self._check(session)
            self._check_space(session, size_hint)
            # What replaces a private file is private from its first byte on.
            mode = Attributes() if self._old is None else Attributes(mode=0o600)
            place = site.place(self._temporary)
            self._legs.append(_Leg(session, self._made(session, place, mode)))
        except BaseException:
            temporaries.forget(self._temporary)
            site.pool.give_back(session)
            raise

    def take_from(self, path: str, found: Attributes, *, random: bool) -> None:
        """Begin with the content of the file `path`, which is as `found`; Changed if that fails.

        With `random` the writer then takes `write_at`; else it is a copy and takes the mode too.
        The server copies by itself where it can.
        """
        self._random = random
        if not random:
            self._mode = None if found.mode is None else found.mode & 0o777
        leg = self._leg()
        size = found.size or 0
        handle = leg.session.open(self._site.place(path))
        try:
            if version_of(leg.session.fstat(handle)) != version_of(found):
                raise Changed(path)
            with self._explained(leg), self._site.pool.burden(leg.session):
                if leg.session.offers("copy-data"):
                    leg.session.copy_data(handle, leg.handle, size)
                else:
                    offset = 0
                    for block in leg.session.blocks(handle, 0, size):
                        leg.upload.write(offset, bytes(block))
                        offset += len(block)
                    leg.upload.finish()
            if version_of(leg.session.fstat(handle)) != version_of(found):
                raise Changed(path, detail="the source was written while it was copied")
        finally:
            if leg.session.alive:
                with contextlib.suppress(StorageError):
                    leg.session.leave_handle(handle)
        self._size = size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        leg = self._leg()
        with memoryview(data).cast("B") as view:
            if len(self._waiting) + len(view) < leg.session.write_size:
                self._waiting += view
                return
            start = 0
            if self._waiting:
                # Sent together with what follows it, which is not copied for that.
                start = leg.session.write_size - len(self._waiting)
                self._flush(view[:start])
            size = leg.session.write_size
            while len(view) - start >= size:
                with view[start : start + size] as piece:
                    self._put(self._size, piece)
                self._size += size
                start += size
            self._waiting += view[start:]

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._check_random(offset)
        self._flush()
        with memoryview(data).cast("B") as view:
            if not len(view):
                return
            if offset > _LARGEST - len(view):
                raise NoSpace(self._path, detail="no file can be that large")
            self._put(offset, view)
            self._size = max(self._size, offset + len(view))

    def truncate(self, size: int) -> None:
        self._check_random(size)
        self._flush()
        if size > _LARGEST:
            raise NoSpace(self._path, detail="no file can be that large")
        leg = self._leg()
        with Told(self._path), self._explained(leg):
            leg.upload.finish()
            leg.session.fsetstat(leg.handle, Attributes(size=size))
        self._size = size

    def commit(self) -> Entry:
        self._leg()
        try:
            with Told(self._path):
                self._flush()
                first = self._finish()
                with contextlib.ExitStack() as stack:
                    for lock in self._site.locks(self._path):
                        stack.enter_context(lock)
                    return self._move(*first)
        finally:
            self.abort()

    def abort(self) -> None:
        legs, self._legs = self._legs, []
        if not legs:
            return
        self._waiting.clear()
        for leg in legs:
            leg.leave()
            self._site.pool.give_back(leg.session)
        alive = next((leg.session for leg in legs if leg.session.alive), None)
        if alive is None:
            alive = next(iter(self._site.pool.sessions), None)
        if alive is not None and self._temporary:
            with contextlib.suppress(StorageError):
                alive.remove(self._site.place(self._temporary))
        self._temporaries.forget(self._temporary)

    def __del__(self) -> None:
        if getattr(self, "_legs", None):
            warnings.warn(f"unfinished writer of {self._path!r}", ResourceWarning, stacklevel=1)
            self.abort()

    def _leg(self) -> _Leg:
        if not self._legs:
            raise ValueError("this writer is finished: it was committed or aborted")
        return self._legs[0]

    def _check_random(self, offset: int) -> None:
        if not self._random:
            raise Unsupported(self._path, detail="this writer only appends")
        if offset < 0:
            raise BadRange(self._path, detail="offset and size may not be negative")
        self._leg()

    def _check(self, session: SftpSession) -> Attributes | None:
        """Return what is to be replaced, or None; raise what forbids it."""
        old = self._site.look(session, self._path)
        if old is None:
            if self._expect is not None:
                raise NotFound
            return None
        if seen(self._path, old).is_folder:
            raise IsADirectory
        if not self._overwrite:
            raise AlreadyExists
        if self._expect is not None and version_of(old) != self._expect:
            raise Changed
        return old

    def _check_space(self, session: SftpSession, size: int | None) -> None:
        if not size or size < _HINT_BYTES or not session.offers("statvfs@openssh.com"):
            return
        space = session.statvfs(self._site.place(parent(self._path)))
        free = space.blocks_available * space.fragment_size
        if space.blocks and size > free:
            raise NoSpace(
                detail=f"{size} bytes are announced, {free} are free; remove something first"
            )

    def _made(self, session: SftpSession, place: str, mode: Attributes) -> bytes:
        try:
            return session.open(place, _NEW, mode)
        except Refused as error:
            raise self._site.explained(session, error, parent(self._path)) from error

    def _flush(self, more: wire.Bytes = b"") -> None:
        """Send what is waiting to be long enough, and what makes it so."""
        if self._waiting:
            waiting, self._waiting = self._waiting, bytearray()
            self._put(self._size, waiting, more)
            self._size += len(waiting) + len(more)

    def _put(self, offset: int, *parts: wire.Bytes) -> None:
        if self._size >= self._widen_at and len(self._legs) == 1 and not self._random:
            self._widen_at += _STRIPED_BYTES
            self._widen()
        leg = self._legs[0]
        if len(self._legs) > 1:
            leg = self._next_leg(sum(map(len, parts)))
        with Told(self._path), self._explained(leg):
            if len(parts) > 1:
                leg.upload.write_piece(offset, *parts)
            else:
                leg.upload.write(offset, *parts)

    def _next_leg(self, size: int) -> _Leg:
        """Return the leg whose turn it is: as long as its session takes more without a wait."""
        for _ in self._legs:
            if self._legs[self._turn].session.has_room(size):
                return self._legs[self._turn]
            self._turn = (self._turn + 1) % len(self._legs)
        return self._legs[self._turn]  # none does: it waits for the one that took the last

    def _widen(self) -> None:
        """Let sessions help that have nothing to do."""
        others = self._site.stripes(writing=True) - 1
        if others <= 0:
            return
        place = self._site.place(self._temporary)
        for session in self._site.pool.idle(others):
            try:
                handle = session.open(place, wire.FOR_WRITING)
            except StorageError:
                self._site.pool.give_back(session)
            else:
                self._legs.append(_Leg(session, handle))

    def _finish(self) -> tuple[_Leg, Attributes]:
        """Return when the server has all bytes, on its disk if so wished, with what it tells."""
        for leg in self._legs:
            with self._explained(leg):
                leg.upload.finish()
        first = self._legs[0]
        if self._site.options.fsync and first.session.offers("fsync@openssh.com"):
            with self._explained(first), self._site.pool.burden(first.session):
                first.session.fsync(first.handle)
        while len(self._legs) > 1:
            leg = self._legs.pop()
            self._site.pool.give_back(leg.session)
            leg.close()
        now = first.session.fstat(first.handle)
        if now.size != self._size:
            raise Corrupted(detail=f"the server holds {now.size} bytes, {self._size} were written")
        return first, now

    def _move(self, leg: _Leg, now: Attributes) -> Entry:
        """Check the condition and put the temporary in its place. The lock of the path is held."""
        session = leg.session
        old = self._check(session)
        if old is not None and not session.offers("posix-rename@openssh.com"):
            raise Unsupported(
                detail="this SFTP server cannot replace a file in one step (posix-rename); "
                "remove the file first"
            )
        old_mtime = None
        if old is not None and old.mtime is not None:
            old_mtime = old.mtime
            self._site.stamps.note(self._path, old_mtime)
        mtime = self._site.stamps.for_new(self._path, now.mtime or 0, old_mtime)
        self._keep_rights(leg, now, old)
        session.fsetstat(leg.handle, Attributes(mtime=mtime))
        leg.close()
        self._rename(session)
        self._legs = []  # nothing is left to abort
        self._temporaries.forget(self._temporary)
        self._site.pool.give_back(session)
        self._site.stamps.note(self._path, mtime)
        mode = (now.mode or 0) | 0o100000
        return seen(self._path, Attributes(size=self._size, mode=mode, mtime=mtime))

    def _rename(self, session: SftpSession) -> None:
        source, target = self._site.place(self._temporary), self._site.place(self._path)
        try:
            if self._overwrite and session.offers("posix-rename@openssh.com"):
                session.posix_rename(source, target)
            else:
                session.rename(source, target)
        except NotFound:
            raise NotFound(detail="its folder was removed while it was written") from None
        except Refused as error:
            found = self._site.look(session, self._path)
            if found is not None:
                is_folder = entry_of("", found).is_folder
                raise (IsADirectory if is_folder else AlreadyExists) from error
            raise self._site.explained(session, error, parent(self._path)) from error
        except Unavailable as error:
            raise Unavailable(
                detail=f"{error.detail}; whether the file was put in its place is not known, look "
                "at it before you try again"
            ) from error

    def _keep_rights(self, leg: _Leg, now: Attributes, old: Attributes | None) -> None:
        """Give the temporary the mode and group of the file that it replaces."""
        if old is not None and old.gid not in (None, now.gid) and now.uid is not None:
            with contextlib.suppress(StorageError):
                leg.session.fsetstat(leg.handle, Attributes(uid=now.uid, gid=old.gid))
        mode = self._mode if old is None or old.mode is None else old.mode & 0o777
        if mode is not None:
            leg.session.fsetstat(leg.handle, Attributes(mode=mode))

    @contextlib.contextmanager
    def _explained(self, leg: _Leg) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            raise self._site.explained(leg.session, error, parent(self._path)) from error
