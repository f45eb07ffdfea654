"""A folder of this machine.

How it is cut: `beneath` opens paths that cannot leave the root, `inode` reads what the system tells
of a file and `members` of those in a folder, `replacement` writes (with `temporary` and
`folderlock`), `linux` has the system calls.
"""

import contextlib
import errno
import functools
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from providers import abilities, attributes, temporary, waiting
from providers.base import Capabilities, Entry, Options, Provider, Reader, Usage, Writer
from providers.beneath import Beneath
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
from providers.folderlock import locked
from providers.inode import entry_of, refusal_of, version_of
from providers.members import members
from providers.names import basename, check_path, join, parent
from providers.pinned import Pinned
from providers.place import Place
from providers.replacement import Replacement
from providers.translated import Translated

# O_NONBLOCK: a FIFO would else hold the thread until somebody writes to it.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_HIDDEN = "what is left is hidden here: links, devices, or files that are still being written"


class LocalOptions(Options, frozen=True):
    """What a mount may say to the local store."""

    root: Path
    """The folder to serve."""
    symlinks: Literal["refuse", "inside"] = "refuse"
    """"refuse" hides every symbolic link; "inside" follows those that stay below the root. A link
    to a folder above itself makes the tree endless for whoever walks through it."""
    durable: bool = False
    """Whether a change is on the disk when it is confirmed. It survives a killed process anyway;
    this is for power failures, and waits for the disk at every commit."""
    writable: bool = True
    """Whether `health` asks for the right to write; false for an archive that is only read."""
    create_root: bool = False
    """Whether a missing root is made when it is first used."""


class LocalProvider(Provider):
    """Serves what lies below a folder of this machine.

    All writers that share a folder, also in other processes, take the folder's lock at commit, so
    that `expect` is exact among them. Who writes beside this provider takes no lock: such a write
    may slip in between check and rename. `_beneath`, `_follow`, `_durable` and `_writable` are
    fixed; `_capabilities` is set once, from the disk.
    """

    name = "local"
    options = LocalOptions

    def __init__(self, options: LocalOptions, *, walk: bool = False) -> None:
        """Take the options without touching the disk. `walk` does without openat2."""
        self._follow = options.symlinks == "inside"
        self._durable = options.durable
        self._writable = options.writable
        self._beneath = Beneath(
            options.root, follow=self._follow, create=options.create_root, walk=walk
        )
        self._capabilities: Capabilities | None = None

    @property
    def prompt(self) -> bool:  # type: ignore[override]  # known once the root was opened
        """Say whether the disk is this machine's own, and need not be waited for at a commit."""
        return self._beneath.is_local and not self._durable

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # lazy
        """Say what the file system can do; it is asked when the root can first be opened."""
        return self._capabilities or self._ask_capabilities()

    def stat(self, path: str) -> Entry:
        with Translated(path):
            # One call, where the kernel cannot go astray.
            if "/" not in check_path(path) and not waiting.is_refused():
                root = self._beneath.root()
                try:
                    status = os.stat(path or ".", dir_fd=root.fd, follow_symlinks=False)
                except FileNotFoundError:
                    self._beneath.check_root(root)
                    raise
                if not (self._follow and stat.S_ISLNK(status.st_mode)):
                    return entry_of(path, status)
            descriptor = self._beneath.open(path, os.O_PATH)
            try:
                return entry_of(basename(path), os.fstat(descriptor))
            finally:
                os.close(descriptor)

    def look(self, path: str) -> Entry | None:
        if not waiting.is_refused():
            return super().look(path)
        with Translated(path):
            status = self._beneath.look(check_path(path))
            return None if status is None else entry_of(basename(path), status)

    def scandir(self, path: str) -> Iterator[Entry]:
        with Translated(path):
            descriptor = self._beneath.folder(check_path(path), os.O_RDONLY)
            try:
                behind = functools.partial(self._behind, path) if self._follow else None
                yield from members(descriptor, behind)
            finally:
                os.close(descriptor)

    def open(self, path: str) -> Reader:
        with Translated(path):
            file, status = self._open_file(path)
            return Pinned(path, file, status, in_memory=self._beneath.is_in_memory(status))

    def health(self) -> None:
        """Check the root and open it anew if another folder or disk has taken its place."""
        with Translated(""):
            root = self._beneath.renew()
            abilities.check(root.fd, writable=self._writable)

    def close(self) -> None:
        self._beneath.close()

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        with Translated(path):
            return self._replace(path, overwrite=overwrite, expect=expect, size_hint=size_hint)

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        with Translated(path):
            source, status = self._open_file(path)
            try:
                version = version_of(status)
                if expect is not None and version != expect:
                    raise Changed
                writer = self._replace(path, expect=version)
                try:
                    writer.take_from(source, status, random=True)
                except BaseException:
                    writer.abort()
                    raise
                return writer
            finally:
                os.close(source)

    def mkdir(self, path: str) -> Entry:
        with Translated(path):
            if not check_path(path):
                raise AlreadyExists
            with self._beneath.parent(path) as place:
                os.mkdir(place.name, dir_fd=place.folder)
                self._sync(place)
                return self._found(path, place)

    def remove(self, path: str, *, expect: str | None = None) -> None:
        with Translated(path):
            if not check_path(path):
                raise IsADirectory
            with self._beneath.parent(path) as place, locked(place.folder):
                entry = self._found(path, place)
                if entry.is_folder:
                    raise IsADirectory
                if expect is not None and entry.version != expect:
                    raise Changed
                place.unlink()
                self._sync(place)

    def rmdir(self, path: str) -> None:
        with Translated(path):
            if not check_path(path):
                raise Denied(detail="the root of a store stays")
            with self._beneath.parent(path) as place:
                if not self._found(path, place).is_folder:
                    raise NotADirectory
                try:
                    os.rmdir(place.name, dir_fd=place.folder)
                except NotADirectoryError:
                    self._unlink_folder(place)
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:
                        raise
                    self._sweep_folder(path)
                    os.rmdir(place.name, dir_fd=place.folder)
                self._sync(place)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        with Translated(source):
            if not check_path(source):
                raise Denied(detail="the root of a store stays")
            old_place = self._beneath.parent(source)
        with old_place, Translated(source):
            moved = self._found(source, old_place)
            if moved.is_folder and check_path(target).startswith(f"{source}/"):
                raise InvalidPath(target, detail="a folder cannot move into itself")
            if not check_path(target):
                raise AlreadyExists(target) if moved.is_folder else IsADirectory(target)
            return self._rename(source, old_place, target, moved, overwrite=overwrite)

    def _rename(
        self, source: str, old_place: Place, target: str, moved: Entry, *, overwrite: bool
    ) -> Entry:
        with (
            Translated(target),
            self._goal(source, old_place, target) as place,
            old_place.locked(place),
        ):
            status = old_place.status()
            if status is None:
                raise NotFound(source)
            if stat.S_ISLNK(status.st_mode) and not old_place.is_beside(place):
                raise Unsupported(source, detail="a symbolic link stays in its folder")
            old = self._look(target, place)
            if old is not None:
                if moved.is_folder and not old.is_folder:
                    raise NotADirectory
                if old.is_folder and not moved.is_folder:
                    raise IsADirectory
                if moved.is_folder or not overwrite:
                    raise AlreadyExists
                if source == target:
                    return moved
            old_place.move(place, replace=overwrite and not moved.is_folder)
            if not moved.is_folder:
                old_place.drop_second_name(status, place)
            self._sync(old_place, place)
            return self._found(target, place)

    def _goal(self, source: str, old_place: Place, target: str) -> Place:
        """Return the place of `target`; within one folder, that is not opened once more."""
        if parent(source) == parent(target):
            return old_place.beside(basename(target))
        return self._beneath.parent(target)

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        with Translated(source):
            descriptor, status = self._open_file(source)
        try:
            with Translated(target), self._replace(target, overwrite=overwrite) as writer:
                in_memory = self._beneath.is_in_memory(status)
                writer.take_from(descriptor, status, random=False, in_memory=in_memory)
                return writer.commit()
        finally:
            os.close(descriptor)

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        with Translated(path), self._beneath.place(check_path(path)) as place, locked(place.folder):
            before = place.status()
            if before is None:
                raise NotFound
            name = basename(path)
            entry_of(name, before)  # refuses what is neither a file nor a folder
            return entry_of(name, place.set_mtime(before, mtime_ns))

    def usage(self, path: str) -> Usage:
        with Translated(path):
            descriptor = self._beneath.open(check_path(path), os.O_PATH)
            try:
                return abilities.usage_of(descriptor)
            finally:
                os.close(descriptor)

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        with Translated(path), self._readable(path) as descriptor:
            return attributes.read(descriptor)

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        with Translated(path), self._readable(path) as descriptor:
            attributes.change(descriptor, changes)

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove temporaries whose writer is dead, down to a hundred levels below the root."""
        with Translated(""):
            descriptor = self._beneath.folder("", os.O_RDONLY)
            try:
                return temporary.sweep(descriptor, older_than_seconds)
            finally:
                os.close(descriptor)

    def _ask_capabilities(self) -> Capabilities:
        try:
            descriptor = self._beneath.folder("", os.O_RDONLY)
        except OSError:
            return abilities.of(None, links=self._follow)
        try:
            self._capabilities = abilities.of(descriptor, links=self._follow)
        finally:
            os.close(descriptor)
        return self._capabilities

    def _behind(self, path: str, name: str) -> Entry | None:
        """Return what a link in the folder `path` leads to, None if that is not to be seen."""
        with contextlib.suppress(StorageError):
            return self.stat(join(path, name))
        return None

    def _open_file(self, path: str) -> tuple[int, os.stat_result]:
        descriptor = self._beneath.open(check_path(path), _READ)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return descriptor, status
        os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectory
        raise refusal_of(status)

    @contextlib.contextmanager
    def _readable(self, path: str) -> Iterator[int]:
        """Open a file or folder, of which attributes can be read and set, for a `with` block."""
        descriptor = self._beneath.open(check_path(path), _READ)
        try:
            entry_of("", os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    def _replace(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Replacement:
        return Replacement(
            path,
            self._beneath.place(check_path(path)),
            overwrite=overwrite,
            expect=expect,
            size_hint=size_hint,
            durable=self._durable,
        )

    def _look(self, path: str, place: Place) -> Entry | None:
        """Return what is seen at `place`, through a link that is followed; None for nothing."""
        status = place.status()
        if status is None:
            return None
        if self._follow and stat.S_ISLNK(status.st_mode):
            with contextlib.suppress(NotFound):
                return self.stat(path)
            return None
        return entry_of(basename(path), status)

    def _found(self, path: str, place: Place) -> Entry:
        entry = self._look(path, place)
        if entry is None:
            raise NotFound
        return entry

    def _unlink_folder(self, place: Place) -> None:
        """Remove the link to a folder, which is all that stands at `place` itself."""
        with locked(place.folder):
            if place.readlink() is None:
                raise NotADirectory
            place.unlink()

    def _sweep_folder(self, path: str) -> None:
        """Remove what dead writers left in a folder that shall go; NotEmpty if more is left."""
        waiting.begin()
        descriptor = self._beneath.folder(path, os.O_RDONLY)
        try:
            if not temporary.sweep_folder(descriptor, -math.inf):
                hidden = next(self.scandir(path), None) is None
                raise NotEmpty(detail=_HIDDEN if hidden else "")
        finally:
            os.close(descriptor)

    def _sync(self, *places: Place) -> None:
        if self._durable:
            for place in places:
                place.sync()
