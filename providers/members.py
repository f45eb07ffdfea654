"""Members: what lies in one folder of this machine."""

import os
import stat
import time
from collections.abc import Callable, Iterator

from providers import linux, waiting
from providers.base import Entry, Kind
from providers.inode import VERSION, entry_of
from providers.names import RESERVED_PREFIX

_KIND = 0o170000
_REGULAR = stat.S_IFREG
_FILE = Kind.FILE

PROMPT_SECONDS = 0.005
"""How long a thread that must not wait reads a folder, whose parts may still lie on the disk."""

_LOOKS_EVERY = 32


def members(folder: int, behind: Callable[[str], Entry | None] | None) -> Iterator[Entry]:
    """Yield the files and folders in `folder`, a readable descriptor; names of ours are left out.

    `behind` says what a link leads to; without it links are left out.
    """
    is_refused = waiting.is_refused()
    until = time.monotonic() + PROMPT_SECONDS if is_refused else 0.0
    status_of = os.stat
    count = 0
    with os.scandir(folder) as found:
        for member in found:
            name = member.name
            if name.startswith(RESERVED_PREFIX):
                continue
            if is_refused:
                count += 1
                if count % _LOOKS_EVERY == 0 and time.monotonic() > until:
                    waiting.begin()
            try:
                if is_refused and member.is_dir(follow_symlinks=False):
                    status = _here(folder, name)
                else:
                    status = status_of(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            kind = status.st_mode & _KIND
            if kind == _REGULAR:
                # As `entry_of` would, without a call for each of many.
                mtime_ns, size = status.st_mtime_ns, status.st_size
                version = VERSION % (status.st_ino, mtime_ns, status.st_ctime_ns, size)
                yield Entry(name, _FILE, size, mtime_ns, version)
            elif kind == stat.S_IFDIR:
                yield entry_of(name, status)
            elif kind == stat.S_IFLNK and behind is not None:
                entry = behind(name)
                if entry is not None:
                    yield entry


def _here(folder: int, name: str) -> os.stat_result:
    """Return the status of a folder, in a thread that must not wait for what is mounted there."""
    resolve = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_XDEV
    try:
        descriptor = linux.openat2(folder, name, os.O_PATH | os.O_NOFOLLOW, resolve)
    except FileNotFoundError:
        raise
    except OSError:
        raise waiting.WouldWait from None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)
