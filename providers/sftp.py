"""SftpProvider: a folder of an account that SSH leads to.

How it is cut: `sftp_options` says how to log in, `pool` keeps the sessions, `sftp_site` looks at
what stands at a path, `sftp_reader` and `sftp_writer` move bytes, `sftp_many` reads small files,
`sftp_temporary` knows unfinished uploads, `sftp_stamp` keeps versions apart. `ssh` is the protocol
below.
"""

import contextlib
from collections.abc import Iterable, Iterator

from providers.base import Capabilities, Content, Entry, Kind, Provider, Reader, Usage, Writer
from providers.errors import (
    AlreadyExists,
    Changed,
    Denied,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
    StorageError,
    Unsupported,
)
from providers.names import check_path, is_reserved, parent
from providers.sftp_many import SftpMany
from providers.sftp_options import SftpOptions
from providers.sftp_reader import SftpReader
from providers.sftp_site import SftpSite, Told, entry_of, seen, version_of
from providers.sftp_temporary import SftpTemporary
from providers.sftp_writer import SftpWriter
from providers.ssh.session import FileSystem, SftpSession
from providers.ssh.status import Refused
from providers.ssh.wire import Attributes

_SECOND_NS = 1_000_000_000
_SETTLING_SECONDS = 2.0  # the second of a time of modification, and clocks that differ a little
_LATEST_SECOND = (1 << 32) - 1
_LSETSTAT = "lsetstat@openssh.com"
_HIDDEN = "what is left is hidden here: links, devices, or files that are still being written"


class SftpProvider(Provider):
    """Serves what lies below a folder of an SFTP site.

    Reads that are cut are asked again in a new session; changes never are. `_site` and
    `_temporaries` are fixed; `_capabilities` is set once, from what the server offers.
    """

    name = "sftp"
    remote = True
    options = SftpOptions

    def __init__(self, options: SftpOptions) -> None:
        self._site = SftpSite(options)
        self._temporaries = SftpTemporary(self._site)
        self._capabilities: Capabilities | None = None

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # lazy
        """Say what the server can do; it is asked when it can first be reached."""
        if self._capabilities is None:
            try:
                with self._site.pool.lease() as session:
                    self._capabilities = _capabilities(session)
            except StorageError:
                return _capabilities(None)
        return self._capabilities

    def stat(self, path: str) -> Entry:
        check_path(path)
        with Told(path):
            return self._site.pool.ask(lambda session: seen(path, self._site.find(session, path)))

    def scandir(self, path: str) -> Iterator[Entry]:
        check_path(path)
        site = self._site
        with Told(path):
            session, handle = site.pool.ask(lambda one: (one, site.enter(one, path)))
            found = session.members(site.place(path), handle, is_far=site.is_far)
        with Told(path), site.pool.burden(session, 1), contextlib.closing(found):
            for name, attributes in found:
                if (attributes.is_file or attributes.is_folder) and not is_reserved(name):
                    yield entry_of(name, attributes)

    def open(self, path: str) -> Reader:
        check_path(path)
        with Told(path):
            return SftpReader(self._site, path)

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        def slowly(path: str) -> Content | StorageError:
            ((_, found),) = super(SftpProvider, self).get_many((path,), size)
            return found

        return SftpMany(self._site, paths, size, slowly).run()

    def health(self) -> None:
        """Log in if need be, and look at the root."""
        with Told(""):
            self._site.pool.ask(lambda session: self._site.look(session, ""))

    def close(self) -> None:
        self._site.close()

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        if not check_path(path):
            raise IsADirectory(path)
        with Told(path):
            return SftpWriter(
                self._site,
                self._temporaries,
                path,
                overwrite=overwrite,
                expect=expect,
                size_hint=size_hint,
            )

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        if not check_path(path):
            raise IsADirectory(path)
        with Told(path):
            found = self._file(path)
            version = version_of(found)
            if expect is not None and version != expect:
                raise Changed
            writer = SftpWriter(self._site, self._temporaries, path, expect=version)
            try:
                writer.take_from(path, found, random=True)
            except BaseException:
                writer.abort()
                raise
            return writer

    def mkdir(self, path: str) -> Entry:
        if not check_path(path):
            raise AlreadyExists
        with self._changing(path) as session:
            if self._site.look(session, path) is not None:
                raise AlreadyExists
            try:
                session.mkdir(self._site.place(path))
            except Refused as error:
                if self._site.look(session, path) is not None:
                    raise AlreadyExists from error
                raise self._site.explained(session, error, parent(path)) from error
            return seen(path, self._site.find(session, path))

    def remove(self, path: str, *, expect: str | None = None) -> None:
        if not check_path(path):
            raise IsADirectory
        with self._changing(path) as session:
            found = self._site.find(session, path)
            if seen(path, found).is_folder:
                raise IsADirectory
            if expect is not None and version_of(found) != expect:
                raise Changed
            session.remove(self._site.place(path))
            self._site.stamps.note(path, found.mtime or 0)

    def rmdir(self, path: str) -> None:
        if not check_path(path):
            raise Denied(detail="the root of a store stays")
        with self._changing(path) as session:
            if not seen(path, self._site.find(session, path)).is_folder:
                raise NotADirectory
            place = self._site.place(path)
            try:
                session.rmdir(place)
            except (Refused, NotEmpty) as error:
                removed, left = self._temporaries.sweep_folder(session, path)
                if left:
                    hidden = next(self.scandir(path), None) is None
                    raise NotEmpty(detail=_HIDDEN if hidden else "") from error
                if not removed:
                    raise
                session.rmdir(place)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        check_path(source)
        check_path(target)
        if not source:
            raise Denied(detail="the root of a store stays")
        with self._changing(source, target) as session:
            moved = self._site.find(session, source)
            is_folder = seen(source, moved).is_folder
            if is_folder and target.startswith(f"{source}/"):
                raise InvalidPath(target, detail="a folder cannot move into itself")
            if not target:
                raise AlreadyExists(target) if is_folder else IsADirectory(target)
            with Told(target):
                old = self._site.look(session, target)
                if old is not None:
                    _require_replaceable(moved, old, overwrite=overwrite)
                    if source == target:
                        return seen(target, moved)
            return self._move(session, source, moved, target, old)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        if not check_path(target):
            raise IsADirectory(target)
        if "copy-data" not in self._extensions():
            raise Unsupported(source, detail="this SFTP server does not copy by itself (copy-data)")
        with Told(source):
            found = self._file(source)
        with Told(target):
            writer = SftpWriter(self._site, self._temporaries, target, overwrite=overwrite)
            with writer:
                writer.take_from(source, found, random=False)
                return writer.commit()

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        second = mtime_ns // _SECOND_NS
        if not 0 <= second <= _LATEST_SECOND:
            raise Unsupported(path, detail="SFTP has times from 1970 to 2106 only")
        with self._changing(path) as session:
            found = self._site.find(session, path)
            seen(path, found)  # refuses what is neither a file nor a folder
            set_ = session.lsetstat if session.offers(_LSETSTAT) else session.setstat
            set_(self._site.place(path), Attributes(atime=found.atime, mtime=second))
            return seen(path, self._site.find(session, path))

    def usage(self, path: str) -> Usage:
        check_path(path)
        with Told(path):
            space = self._site.pool.ask(lambda session: self._space(session, path))
        if not space.blocks:
            return Usage(used=None, available=None)
        return Usage(
            used=(space.blocks - space.blocks_free) * space.fragment_size,
            available=space.blocks_available * space.fragment_size,
        )

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove temporaries whose writer is dead: our own at once, others after a day."""
        with self._site.pool.lease() as session:
            return self._temporaries.sweep(session, older_than_seconds)

    @contextlib.contextmanager
    def _changing(self, *paths: str) -> Iterator[SftpSession]:
        """Give a session, with the locks of the paths held, so that no commit comes in between."""
        with Told(paths[0]), self._site.pool.lease() as session, contextlib.ExitStack() as stack:
            for lock in self._site.locks(*paths):
                stack.enter_context(lock)
            yield session

    def _file(self, path: str) -> Attributes:
        """Return the attributes of a file; IsADirectory."""
        check_path(path)
        found = self._site.pool.ask(lambda session: self._site.find(session, path))
        if seen(path, found).is_folder:
            raise IsADirectory
        return found

    def _move(
        self,
        session: SftpSession,
        source: str,
        moved: Attributes,
        target: str,
        old: Attributes | None,
    ) -> Entry:
        """Rename, with another time where the version of `target` would else stay the same."""
        places = (self._site.place(source), self._site.place(target))
        mtime = moved.mtime or 0
        if moved.is_file:
            if old is not None:
                self._site.stamps.note(target, old.mtime or 0)
            free = self._site.stamps.free(target, mtime)
            if free != mtime:
                session.setstat(places[0], Attributes(mtime=free))
        try:
            if old is not None:
                session.posix_rename(*places)
            else:
                session.rename(*places)
        except NotFound:
            raise NotFound(target, detail="the folder to move to is not there") from None
        except Refused as error:
            with Told(target):
                now = self._site.look(session, target)
                if now is not None:
                    _require_replaceable(moved, now, overwrite=False)
            raise self._site.explained(session, error, parent(target)) from error
        if moved.is_file:
            self._site.stamps.note(source, mtime)
        with Told(target):
            return seen(target, self._site.find(session, target))

    def _extensions(self) -> frozenset[str]:
        with self._site.pool.lease() as session:
            return frozenset(session.extensions)

    def _space(self, session: SftpSession, path: str) -> FileSystem:
        seen(path, self._site.find(session, path))  # refuses what is neither a file nor a folder
        return session.statvfs(self._site.place(path))


def _require_replaceable(moved: Attributes, old: Attributes, *, overwrite: bool) -> None:
    """Raise what forbids that something takes the place of what is there."""
    there = entry_of("", old)
    if moved.is_folder:
        raise AlreadyExists if there.is_folder else NotADirectory
    if there.kind is Kind.FOLDER:
        raise IsADirectory
    if not overwrite:
        raise AlreadyExists


def _capabilities(session: SftpSession | None) -> Capabilities:
    """Say what a server can do; the least of it for one that nobody has reached yet."""
    offered = {} if session is None else session.extensions
    return Capabilities(
        create=True,
        modify=True,
        mkdir=True,
        remove=True,
        rename=True,
        copy="copy-data" in offered,
        set_mtime=True,
        usage="statvfs@openssh.com" in offered,
        exclusive_create=True,
        conditional_create=True,
        mtime_resolution_ns=_SECOND_NS,
        settling_seconds=_SETTLING_SECONDS,
    )
