"""Commits: whether anything was changed since, for all processes that share a state file."""

import contextlib
import mmap
import os
import struct
from pathlib import Path

_NUMBER = struct.Struct("<Q")
_unpacked = _NUMBER.unpack_from


class Commits:
    """A number in a mapped file beside the state file; it is odd while somebody commits.

    Who writes calls `begin` and `end` around its commit, and has the state file's lock at `begin`,
    so that only one begins at a time. What was read while the number was one and the same, even,
    still holds: what was committed since has made it another before anybody was told of it. One
    that is killed in between leaves it odd, until the next has ended; then nothing is remembered.
    """

    def __init__(self, state_file: Path) -> None:
        """Map the file that belongs to a state file, which is there; raise OSError if it cannot."""
        file = state_file.with_name(f"{state_file.name}-commits")
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.geteuid() == 0:
                # Made by an administrator it is the gateway's all the same, as SQLite has it.
                owner = state_file.stat()
                with contextlib.suppress(OSError):
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            # With its block: a full disk would otherwise kill the process at a write.
            os.posix_fallocate(descriptor, 0, _NUMBER.size)
            self._map = mmap.mmap(descriptor, _NUMBER.size)
        finally:
            os.close(descriptor)

    def now(self) -> int | None:
        """Return the number, or None while it is odd."""
        number: int = _unpacked(self._map)[0]
        return None if number & 1 else number

    def begin(self) -> int:
        """Say that a commit begins; return what `end` takes."""
        begun = (self._number() + 1) | 1
        self._map[:] = _NUMBER.pack(begun)
        return begun

    def end(self, begun: int) -> None:
        """Say that a commit has ended, or was given up."""
        # Whoever began meanwhile ends later, with a larger number.
        if self._number() <= begun:
            self._map[:] = _NUMBER.pack(begun + 1)

    def _number(self) -> int:
        number: int = _unpacked(self._map)[0]
        return number
