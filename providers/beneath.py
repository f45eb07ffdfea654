"""Beneath: opens paths that stay below one folder, whoever swaps folders for links meanwhile."""

import errno
import os
import threading
from pathlib import Path

from providers import linux, waiting
from providers.errors import InvalidPath, NotADirectory, Unavailable
from providers.place import Place

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSURE = (-errno.EAGAIN, -errno.EXDEV, -errno.EINVAL)
_TURNS = 100  # how often links and ".." may restart a walk; Linux itself follows 40 links


class Handle:
    """Owns one descriptor, which is fixed, and closes it when the last user lets go.

    A thread in the midst of a call keeps it alive, so that `close` in another thread can never
    turn its descriptor into one of a different file. `in_memory` is the number of its device when
    that has no disk, else None.
    """

    __slots__ = ("fd", "in_memory", "is_local")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_local = linux.is_local(fd)
        self.in_memory = os.fstat(fd).st_dev if linux.is_in_memory(fd) else None

    def __del__(self) -> None:
        os.close(self.fd)


class Beneath:
    """Opens what lies below `root`: by openat2, or step by step where the kernel lacks it.

    With `follow`, links are followed as long as they stay inside; else any link is ELOOP. Leaving
    the root is EXDEV. `_root`, `_follow`, `_create` and `_walks` are fixed; `_lock` guards
    `_handle`, which is read without it.

    A thread that must not wait opens only what the kernel has in memory, and nothing that is
    mounted below the root.
    """

    def __init__(
        self, root: Path, *, follow: bool, create: bool = False, walk: bool = False
    ) -> None:
        self._root = root
        self._follow = follow
        self._create = create
        self._walks = walk or not linux.has_openat2()
        self._resolve = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_MAGICLINKS
        if not follow:
            self._resolve |= linux.RESOLVE_NO_SYMLINKS
        self._lock = threading.Lock()
        self._handle: Handle | None = None

    @property
    def is_local(self) -> bool:
        """Tell whether the root is known to lie on a disk of this machine; it is not asked here."""
        handle = self._handle
        return handle is not None and handle.is_local and not self._walks

    def is_in_memory(self, status: os.stat_result) -> bool:
        """Tell whether a file lies where the root does, and no disk is beneath."""
        handle = self._handle
        return handle is not None and handle.in_memory == status.st_dev

    def root(self) -> Handle:
        """Return the handle of the root, opened when first asked for; Unavailable without it."""
        return self._handle or self.renew()

    def renew(self) -> Handle:
        """Open the root anew if its path leads to another folder than before."""
        waiting.begin()
        with self._lock:
            try:
                fresh = Handle(self._open_root())
            except FileNotFoundError:
                self._handle = None
                raise Unavailable(
                    detail="the store's folder does not exist; mount or create it, or correct root"
                ) from None
            except NotADirectoryError:
                self._handle = None
                raise NotADirectory(
                    detail="the store's root is not a folder; correct root"
                ) from None
            held = self._handle
            if held is None or not os.path.sameopenfile(held.fd, fresh.fd):
                self._handle = held = fresh
            return held

    def close(self) -> None:
        """Let go of the root. A later call opens it again."""
        with self._lock:
            self._handle = None

    def open(self, path: str, flags: int) -> int:
        """Open what stands at `path`. With O_PATH the caller must refuse a link that it gets."""
        root = self.root()
        try:
            if waiting.is_refused():
                descriptor = self._open_now(root, path, flags)
                if descriptor < 0:
                    raise _failure(-descriptor)
                return descriptor
            if not self._walks:
                try:
                    return linux.openat2(root.fd, path or ".", flags, self._resolve)
                except OSError as error:
                    # EXDEV may be an absolute link that leads back inside, which only the walk
                    # understands; EAGAIN, renames without end, which cannot disturb the walk.
                    if not (self._follow and error.errno in (errno.EXDEV, errno.EAGAIN)):
                        raise
            with self._walk(root, path) as place:
                return place.open(flags)
        except FileNotFoundError:
            self.check_root(root)
            raise

    def look(self, path: str) -> os.stat_result | None:
        """Return what is seen at `path`, None for nothing; for a thread that must not wait.

        It costs no exception where a name is free, as that of a new file is.
        """
        root = self.root()
        descriptor = self._open_now(root, path, os.O_PATH)
        if descriptor < 0:
            if descriptor != -errno.ENOENT:
                raise _failure(-descriptor)
            self.check_root(root)
            return None
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def _open_now(self, root: Handle, path: str, flags: int) -> int:
        """Open what the kernel has in memory, or return minus the number of an error."""
        resolve = self._resolve | linux.RESOLVE_NO_XDEV
        descriptor = linux.open_if(root.fd, path or ".", flags, resolve | linux.RESOLVE_CACHED)
        if descriptor == -errno.EAGAIN and flags == os.O_PATH:
            descriptor = self._look_into(root, path, resolve)
        # The last is how kernels before 5.12 tell that they know no RESOLVE_CACHED.
        if descriptor in _UNSURE:
            raise waiting.WouldWait
        return descriptor

    @staticmethod
    def _look_into(root: Handle, path: str, resolve: int) -> int:
        """Open a name of which the kernel keeps no note, or return minus the number of an error.

        It keeps none of names that are free, so whoever only asks what there is has the one folder
        looked through that the name would stand in.
        """
        head, _, name = path.rpartition("/")
        folder = linux.open_if(root.fd, head or ".", _FOLDER, resolve | linux.RESOLVE_CACHED)
        if folder < 0:
            return -errno.EAGAIN
        try:
            return linux.open_if(folder, name, os.O_PATH, resolve)
        finally:
            os.close(folder)

    def folder(self, path: str, flags: int = os.O_PATH) -> int:
        """Open the folder at `path`."""
        return self.open(path, flags | os.O_DIRECTORY)

    def parent(self, path: str) -> Place:
        """Return the place of `path` itself, which is not the root's.

        Its folder can be locked by its own descriptor, unless it may not be read.
        """
        head, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            raise InvalidPath(detail="the root of the store cannot be used here")
        if not head:
            self.check_root(self.root())
        try:
            folder = self.folder(head, os.O_RDONLY)
        except PermissionError:
            folder = self.folder(head)
        return Place(folder, name)

    def place(self, path: str) -> Place:
        """Return the place of what is seen at `path`: behind the link, where one is followed.

        The root is "." in itself.
        """
        if not path:
            return Place(self.folder(""), ".")
        place = self.parent(path)
        if not self._follow:
            return place
        try:
            is_link = place.readlink() is not None
        except OSError:
            place.close()
            raise
        if not is_link:
            return place
        place.close()
        return self._walk(self.root(), path)

    def check_root(self, root: Handle) -> None:
        """Raise Unavailable when the root itself was removed, which must not look like NotFound.

        Else files would seem deleted, one by one, only because their disk was taken away.
        """
        if os.fstat(root.fd).st_nlink == 0:
            self.renew()
            raise Unavailable(detail="the store's folder was replaced; try again")

    def _open_root(self) -> int:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            return os.open(self._root, flags)
        except FileNotFoundError:
            if not self._create:
                raise
            self._root.mkdir(parents=True, exist_ok=True)
            return os.open(self._root, flags)

    def _walk(self, root: Handle, path: str) -> Place:
        """Return the place where `path` ends, behind all links.

        Each step enters one real folder relative to the one before. A link or ".." rewrites the
        path by the names that were passed and starts again at the root, so that one descriptor is
        enough and no step ever leads upwards.
        """
        if path.startswith("/"):
            raise _failure(errno.EXDEV)
        segments = path.split("/")
        for _ in range(_TURNS):
            segments = [segment for segment in segments if segment not in ("", ".")] or ["."]
            folder = os.dup(root.fd)
            for index, segment in enumerate(segments):
                place = Place(folder, segment)
                try:
                    turn = self._turn(place, segments[:index])
                    if turn is None and index + 1 == len(segments):
                        return place
                    folder = -1 if turn is not None else place.open(_FOLDER)
                except BaseException:
                    place.close()
                    raise
                place.close()
                if turn is not None:
                    segments = turn + segments[index + 1 :]
                    break
        raise _failure(errno.ELOOP)

    def _turn(self, place: Place, passed: list[str]) -> list[str] | None:
        """Return the path up to here without the link or ".." that stands here; None if none."""
        if place.name == "..":
            if not passed:
                raise _failure(errno.EXDEV)
            return passed[:-1]
        link = place.readlink()
        if link is None:
            return None
        if not self._follow:
            raise _failure(errno.ELOOP)
        return self._redirect(link, passed)

    def _redirect(self, link: str, passed: list[str]) -> list[str]:
        if not link.startswith("/"):
            return [*passed, *link.split("/")]
        root = os.fspath(self._root).rstrip("/")
        if link != root and not link.startswith(f"{root}/"):
            raise _failure(errno.EXDEV)
        return link[len(root) :].split("/")


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))
