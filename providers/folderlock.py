"""The lock that makes "check, then rename" one step among all who use this provider."""

import errno
import fcntl
import os
import threading
import time

from providers import waiting
from providers.errors import TimedOut

_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.0005
_LONGEST_PAUSE_SECONDS = 0.02
# Where the file system refuses flock these still hold among the threads of this process; elsewhere
# they let one thread at a time ask again and again. Two folders may share one, which costs a short
# wait and nothing else.
_STRIPES = tuple(threading.Lock() for _ in range(64))


class locked:  # noqa: N801 - used as the function that it looks like
    """Hold the locks of these folders, given as descriptors, against threads and processes.

    Each descriptor is of an opening of its own, since a lock belongs to that: two threads must not
    share one. One that was opened for its path alone (O_PATH) takes no lock; then the folder is
    opened once more. Order: stripes by number, then folders by device and inode. Raises TimedOut
    when another program keeps a folder locked. All attributes are fixed once the block has begun.
    """

    __slots__ = ("_folders", "_held", "_opened", "_stripes")

    def __init__(self, *folders: int) -> None:
        self._folders = folders
        self._stripes: list[threading.Lock] = []
        self._held: list[int] = []
        self._opened: list[int] = []

    def __enter__(self) -> None:
        if len(self._folders) == 1:
            try:
                fcntl.flock(self._folders[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # somebody has it, or no lock can be had in this way
                pass
            else:
                self._held.append(self._folders[0])
                return
        inodes = {}
        for folder in self._folders:
            status = os.fstat(folder)
            inodes[status.st_dev, status.st_ino] = folder
        try:
            for number in sorted({hash(inode) % len(_STRIPES) for inode in inodes}):
                stripe = _STRIPES[number]
                if not stripe.acquire(blocking=False):
                    waiting.begin()
                    stripe.acquire()
                self._stripes.append(stripe)
            for inode in sorted(inodes):
                self._lock(inodes[inode])
        except BaseException:
            self._release()
            raise

    def __exit__(self, *exc: object) -> None:
        self._release()

    def _lock(self, folder: int) -> None:
        if _is_locked(folder):
            self._held.append(folder)
            return
        try:
            descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        except PermissionError:  # a folder that may be written but not read
            return
        self._opened.append(descriptor)
        _is_locked(descriptor)

    def _release(self) -> None:
        while self._opened:
            os.close(self._opened.pop())
        while self._held:
            fcntl.flock(self._held.pop(), fcntl.LOCK_UN)
        while self._stripes:
            self._stripes.pop().release()


def _is_locked(folder: int) -> bool:
    """Lock a folder; False where that is not possible by this descriptor."""
    try:
        _wait(folder)
    except OSError as error:
        if error.errno in (
            errno.EOPNOTSUPP,
            errno.ENOLCK,
            errno.ENOSYS,
            errno.EINVAL,
            # An O_PATH. And NFS asks for a descriptor that can write, and a folder has none.
            errno.EBADF,
        ):
            return False
        raise
    return True


def _wait(descriptor: int) -> None:
    # Never without end: whoever may read the folder may lock it too, and would stop all writes.
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = _PAUSE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting.begin()
            if time.monotonic() > deadline:
                raise TimedOut(
                    detail="another program keeps the folder locked; end it or let it finish"
                ) from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return
