"""Temporaries: files that nobody sees yet, each locked by its living writer."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time

from providers.names import RESERVED_PREFIX

_PREFIX = f"{RESERVED_PREFIX}tmp-"
_DEPTH = 100  # two descriptors a level; deeper temporaries go when their folder is removed
_SILENT_SECONDS = 86_400.0  # without locks, only a long silence tells that a writer is dead
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


def make(folder: int, mode: int) -> tuple[int, str, os.stat_result]:
    """Create a temporary in `folder`; return its descriptor, its name and its status.

    A named file and not O_TMPFILE: only a name can be renamed over an old file in one step, so
    that O_TMPFILE would be a second way beside this one, for new files alone.
    """
    while True:
        name = f"{_PREFIX}{secrets.token_hex(8)}"
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, mode, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a sweep was quicker and is about to remove it
            os.close(descriptor)
            continue
        except OSError:
            return descriptor, name, os.fstat(descriptor)
        status = os.fstat(descriptor)
        if status.st_nlink:  # else a sweep came between open and lock
            return descriptor, name, status
        os.close(descriptor)


def sweep_folder(folder: int, older_than_seconds: float) -> int:
    """Remove the dead temporaries of one folder, a readable descriptor; return how many."""
    with os.scandir(folder) as members:
        return sum(_remove_dead(folder, member.name, older_than_seconds) for member in members)


def sweep(root: int, older_than_seconds: float) -> int:
    """Remove the dead temporaries of the folder `root`, a readable descriptor, and all below it.

    Follows no link. What cannot be entered or removed is passed over.
    """
    count = 0
    with contextlib.ExitStack() as opened:
        levels = [(root, opened.enter_context(os.scandir(root)), opened.pop_all())]
        try:
            while levels:
                folder, members, _ = levels[-1]
                member = next(members, None)
                if member is None:
                    levels.pop()[2].close()
                elif member.name.startswith(_PREFIX):
                    count += _remove_dead(folder, member.name, older_than_seconds)
                elif len(levels) < _DEPTH and member.is_dir(follow_symlinks=False):
                    with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
                        child = os.open(
                            member.name, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=folder
                        )
                        closing.callback(os.close, child)
                        listing = closing.enter_context(os.scandir(child))
                        levels.append((child, listing, closing.pop_all()))
        finally:
            while levels:
                levels.pop()[2].close()
    return count


def _remove_dead(folder: int, name: str, older_than_seconds: float) -> bool:
    if not name.startswith(_PREFIX):
        return False
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _FLAGS, dir_fd=folder)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        age_seconds = time.time() - status.st_mtime
        if not stat.S_ISREG(status.st_mode) or age_seconds < older_than_seconds:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK or age_seconds < _SILENT_SECONDS:
                return False
        os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
