"""Place: where a name stands, or may come to stand, in one opened folder."""

import errno
import os
import time
from typing import Self

from providers import linux, waiting
from providers.errors import BadRange, Unsupported
from providers.folderlock import locked

_TICK_SECONDS = 0.001
_TICKS = 20


class Place:
    """Holds a folder by its descriptor, together with a name in it.

    Whoever moves the folder, or puts a link in its place, cannot lead what is done here elsewhere.
    `name` is fixed; `folder` is -1 once closed, and the place's own unless it lies beside another.
    """

    __slots__ = ("_is_own", "folder", "name")

    def __init__(self, folder: int, name: str, *, is_own: bool = True) -> None:
        self.folder = folder
        self.name = name
        self._is_own = is_own

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder. Closing twice is no error."""
        folder, self.folder = self.folder, -1
        if folder >= 0 and self._is_own:
            os.close(folder)

    def status(self) -> os.stat_result | None:
        """Return what stands here, a link as itself, or None if nothing does."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def look(self) -> os.stat_result | None:
        """Return what `status` does; WouldWait where another file system is mounted.

        That is for a thread that must not wait: `status` would ask that one.
        """
        if not waiting.is_refused():
            return self.status()
        flags = os.O_PATH | os.O_NOFOLLOW
        descriptor = linux.open_if(self.folder, self.name, flags, linux.RESOLVE_NO_XDEV)
        if descriptor >= 0:
            try:
                return os.fstat(descriptor)
            finally:
                os.close(descriptor)
        if descriptor == -errno.ENOENT:
            return None
        raise waiting.WouldWait

    def readlink(self) -> str | None:
        """Return where the link leads that stands here; None for anything else."""
        try:
            return os.readlink(self.name, dir_fd=self.folder)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise

    def open(self, flags: int) -> int:
        """Open what stands here, but no link."""
        return os.open(self.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)

    def unlink(self) -> None:
        """Remove the file or link that stands here."""
        os.unlink(self.name, dir_fd=self.folder)

    def beside(self, name: str) -> "Place":
        """Return another place in the same folder, which stays this one's own."""
        return Place(self.folder, name, is_own=False)

    def is_beside(self, other: "Place") -> bool:
        """Tell whether both stand in one folder."""
        return os.path.sameopenfile(self.folder, other.folder)

    def locked(self, other: "Place") -> locked:
        """Return what holds the locks of both folders for a `with` block."""
        return locked(*{self.folder, other.folder})

    def move(self, target: "Place", *, replace: bool) -> None:
        """Rename what stands here in one step.

        Without `replace`, FileExistsError if anything stands at `target`. Raises Unsupported
        between two file systems.
        """
        try:
            if replace:
                os.rename(self.name, target.name, src_dir_fd=self.folder, dst_dir_fd=target.folder)
            else:
                linux.rename_new(self.folder, self.name, target.folder, target.name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise Unsupported(detail="the two folders lie on different disks") from None

    def set_mtime(self, before: os.stat_result, mtime_ns: int) -> os.stat_result:
        """Set the modification time of what was `before` and return the status of now.

        Two contents may be given one time. The change time tells them apart, if only it moves on
        by a tick (4 ms on kernels before 6.13) from where this content came in.
        """
        times = (before.st_atime_ns, mtime_ns)
        for _ in range(_TICKS):
            try:
                os.utime(self.name, ns=times, dir_fd=self.folder, follow_symlinks=False)
            except OverflowError:
                raise BadRange(detail="this time is out of range") from None
            now = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
            if now.st_ctime_ns != before.st_ctime_ns:
                return now
            time.sleep(_TICK_SECONDS)
        # A change time that lies ahead, since the clock was set back, does not move.
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def sync(self) -> None:
        """Make the names in the folder survive a power failure."""
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def drop_second_name(self, moved: os.stat_result, target: "Place") -> None:
        """Remove the old name of a file that was moved, where Linux left it.

        It renames nothing between two links to one file and calls that a success. Names that
        differ in case alone may be one name here, whose removal would lose the file.
        """
        if moved.st_nlink == 1 or self.name.casefold() == target.name.casefold():
            return
        left = self.status()
        if left is not None and os.path.samestat(left, moved):
            self.unlink()
