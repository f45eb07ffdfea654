"""SftpSite: one account of one server: its sessions, its root, and what stands at a path."""

import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final

from providers.base import Entry, Kind
from providers.errors import (
    Denied,
    NoSpace,
    NotADirectory,
    NotFound,
    ReadOnly,
    StorageError,
    Unavailable,
)
from providers.names import basename, check_path
from providers.pool import Pool
from providers.sftp_memory import SftpMemory
from providers.sftp_options import SftpOptions, Transport, connect, transport_of
from providers.sftp_stamp import Stamps
from providers.ssh.session import SftpSession
from providers.ssh.status import Refused
from providers.ssh.wire import Attributes

TRUST_SECONDS: Final = 2.0
"""How long a folder that was seen to be no link is taken for one."""

FAR_SECONDS: Final = 0.01
"""From this round trip on a server is far: the child `ssh` would make transfers slow."""

_TRUSTED_MAX = 10_000
_STRIPES = 64
_FULL_BYTES = 1 << 20  # with less room than this a write that fails says that the disk is full
_READ_ONLY_FLAG = 1

LINK = (
    "a symbolic link stands in this path, and links are not followed at an SFTP site; mount what "
    "it leads to as a root of its own"
)


class SftpSite:
    """What readers, writers and the provider share. Used by many threads.

    `options`, `pool`, `stamps`, `memory` and `_stripes` are fixed; `_root`, `_transport` and
    `is_far` are set with the first session, and `_trusted` is changed in single steps.
    """

    def __init__(self, options: SftpOptions) -> None:
        self.options = options
        self.pool = Pool(
            self._connect, most=options.connections, wait_seconds=options.connect_seconds + 5
        )
        self.stamps = Stamps()
        self.memory = SftpMemory()
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._root: str | None = None
        self._transport: Transport | None = None
        self.is_far = False
        self._trusted: dict[str, float] = {}

    def stripes(self, *, writing: bool = False) -> int:
        """Return how many sessions one transfer may use.

        With paramiko all share one processor of ours, so that more of them help only with writes:
        they take more of the server's, and each takes 2 MiB per round trip.
        """
        if self._transport == "paramiko" and not writing:
            return 1
        return self.options.connections

    def place(self, path: str) -> str:
        """Return the server's name of `path`. A session must have been made before."""
        assert self._root is not None
        return f"{self._root.rstrip('/')}/{path}" if path else self._root

    def look(self, session: SftpSession, path: str) -> Attributes | None:
        """Return what stands at `path`, of a link its own; None for nothing.

        Folders above it must be there and be no links: that is asked in the same round trip, and
        believed for a moment.
        """
        if not check_path(path):
            return self._look_root(session)
        now = time.monotonic()
        asked = [folder for folder in _above(path) if self._trusted.get(folder, 0.0) < now]
        if not asked:
            return self._look_alone(session, path)
        places = {self.place(one): one for one in (*asked, path)}
        found: dict[str, Attributes | StorageError] = {}
        for place, answer in session.stat_many(tuple(places), follow=False):
            found[places[place]] = answer
        return self._judged(session, path, asked, found)

    def enter(self, session: SftpSession, path: str) -> bytes:
        """Return the handle of a folder, after a `look` at it in the same round trip.

        NotADirectory and NotFound where there is none.
        """
        asked = [one for one in _above(path) if self._trusted.get(one, 0.0) < time.monotonic()]
        # The root may be a link. What else is one is opened, but nothing of it is read.
        places = {self.place(one): one for one in (*asked, path) if one}
        handle, told = session.enter(self.place(path), tuple(places))
        try:
            if path:
                found = {places[place]: answer for place, answer in told.items()}
                stands = self._judged(session, path, asked, found)
                if stands is None:
                    raise self._missing_root(session) or NotFound()
                if not entry_of("", stands).is_folder:
                    raise NotADirectory
            elif isinstance(handle, NotFound):
                raise _no_root()
            if isinstance(handle, StorageError):
                raise handle
        except StorageError:
            if isinstance(handle, bytes) and session.alive:
                session.leave_handle(handle)
            raise
        return handle

    def _judged(
        self,
        session: SftpSession,
        path: str,
        above: Iterable[str],
        found: Mapping[str, Attributes | StorageError],
    ) -> Attributes | None:
        """Return what was found at `path` if all above it are folders; None for nothing."""
        for folder in above:
            answer = found[folder]
            if isinstance(answer, StorageError):
                raise self._missing_root(session) or answer
            if answer.is_link:
                raise Denied(detail=LINK)
            if not answer.is_folder:
                raise NotADirectory
            self._trust(folder, time.monotonic())
        answer = found[path]
        if isinstance(answer, NotFound):
            return None
        if isinstance(answer, StorageError):
            raise answer
        return answer

    def barred(self, session: SftpSession, paths: Iterable[str]) -> set[str]:
        """Return those of these paths to which not all folders are known to lead.

        Folders that are not believed at the moment are asked for, all in one round trip.
        """
        now = time.monotonic()
        above = {path: _above(path) for path in paths}
        asked = {one for folders in above.values() for one in folders}
        asked = {folder for folder in asked if self._trusted.get(folder, 0.0) < now}
        if asked:
            places = {self.place(folder): folder for folder in asked}
            for place, answer in session.stat_many(tuple(places), follow=False):
                if not isinstance(answer, StorageError) and answer.is_folder:
                    self._trust(places[place], now)
        return {
            path
            for path, folders in above.items()
            if any(self._trusted.get(folder, 0.0) < now for folder in folders)
        }

    def find(self, session: SftpSession, path: str) -> Attributes:
        """Return what stands at `path`; NotFound for nothing."""
        found = self.look(session, path)
        if found is None:
            raise self._missing_root(session) or NotFound()
        return found

    def locks(self, *paths: str) -> list[threading.Lock]:
        """Return the locks of these paths, in the order in which they are to be taken."""
        numbers = sorted({hash(path) % _STRIPES for path in paths})
        return [self._stripes[number] for number in numbers]

    def explained(self, session: SftpSession, error: Refused, path: str = "") -> StorageError:
        """Return what a refused write most likely means: a full disk, or one that is read-only."""
        if not session.alive or not session.offers("statvfs@openssh.com"):
            return error
        try:
            space = session.statvfs(self.place(path))
        except StorageError:
            return error
        if space.flags & _READ_ONLY_FLAG:
            return ReadOnly(detail="the server's file system takes no changes now")
        if space.blocks and space.blocks_available * space.fragment_size < _FULL_BYTES:
            return NoSpace(detail="the server's disk is full")
        return error

    def close(self) -> None:
        """End all sessions. Twice is no error."""
        self.pool.close()

    def _connect(self) -> SftpSession:
        session = connect(self.options, self._transport)
        try:
            root = self._find_root(session)
            if self._transport is None:
                session = self._decide(session)
        except BaseException:
            session.close()
            raise
        self._root = root
        return session

    def _decide(self, session: SftpSession) -> SftpSession:
        """Choose the transport; return the session to go on with.

        paramiko where it can log in and takes data straight from the socket; far away in any case,
        since the window of `ssh` is small.
        """
        start = time.monotonic()
        session.realpath(".")
        self.is_far = time.monotonic() - start > FAR_SECONDS
        chosen = transport_of(self.options)
        if self.options.transport == "auto" and chosen == "openssh":
            try:
                other = connect(self.options, "paramiko")
            except StorageError:  # it may need what only ssh has
                pass
            else:
                if self.is_far or other.is_direct:
                    session, other, chosen = other, session, "paramiko"
                other.close()
        self._transport = chosen
        return session

    def _find_root(self, session: SftpSession) -> str:
        wanted = self.options.root.removeprefix("~/") or "."
        try:
            root = session.realpath(wanted)
            is_folder = session.stat(root).is_folder
        except NotFound:
            raise _no_root() from None
        except Denied:
            raise Unavailable(
                detail="the account may not enter the root folder of this site; give it x there",
                temporary=False,
            ) from None
        if not is_folder:
            raise Unavailable(
                detail="the root of this site is a file, not a folder", temporary=False
            )
        return root

    def _look_root(self, session: SftpSession) -> Attributes:
        try:
            return session.stat(self.place(""))
        except NotFound:
            raise _no_root() from None

    def _look_alone(self, session: SftpSession, path: str) -> Attributes | None:
        try:
            return session.lstat(self.place(path))
        except NotFound:
            return None

    def _trust(self, folder: str, now: float) -> None:
        if len(self._trusted) > _TRUSTED_MAX:
            self._trusted = {}
        self._trusted[folder] = now + TRUST_SECONDS

    def _missing_root(self, session: SftpSession) -> StorageError | None:
        """Return what to say when not a file is missing, but the folder that all lies in."""
        try:
            self._look_root(session)
        except Unavailable as error:
            return error
        return None


class Told:
    """Gives the errors that leave its `with` block the path that the caller knows, which is fixed.

    The server's own names are absolute; a path that a provider gave to an error is not.
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, StorageError) and (not error.path or error.path.startswith("/")):
            error.path = self._path


def entry_of(name: str, attributes: Attributes) -> Entry:
    """Return the entry of a file or folder; Denied for what is neither."""
    mtime_ns = (attributes.mtime or 0) * 1_000_000_000
    if attributes.is_file:
        size = attributes.size or 0
        return Entry(name, Kind.FILE, size, mtime_ns, version_of(attributes))
    if attributes.is_folder:
        return Entry(name, Kind.FOLDER, 0, mtime_ns, f"{attributes.mtime or 0:x}")
    raise Denied(
        detail=LINK
        if attributes.is_link
        else "it is neither a file nor a folder, so it is not served"
    )


def version_of(attributes: Attributes) -> str:
    """Return the version of a file: all that the protocol tells of its content."""
    return f"{attributes.size or 0:x}-{attributes.mtime or 0:x}"


def seen(path: str, attributes: Attributes) -> Entry:
    """Return the entry of what stands at `path`."""
    return entry_of(basename(path), attributes)


def _above(path: str) -> list[str]:
    return [path[:at] for at, letter in enumerate(path) if letter == "/"]


def _no_root() -> Unavailable:
    return Unavailable(
        detail="the root folder of this site is not there; make it, or correct 'root'",
        temporary=False,
    )
