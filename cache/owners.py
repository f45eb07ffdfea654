"""Owners: which users of a shared folder are still alive."""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path


class Owner:
    """One user of a folder, for as long as it is open: a file there that it keeps locked.

    `token` and `_folder` are fixed; `close` sets `_descriptor` to -1. The lock ends with its
    process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.token = secrets.token_hex(8)
        # Locked before it gets its name: nobody may find it unlocked while it is in use.
        fresh = folder / f".{self.token}"
        self._descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        fresh.rename(folder / self.token)

    def is_alive(self, token: str) -> bool:
        """Tell whether the owner of this token still has its folder open."""
        if token == self.token:
            return True
        try:
            descriptor = os.open(self._folder / token, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / token).unlink()
            return False
        finally:
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove the files of owners that are gone."""
        for file in self._folder.iterdir():
            if not file.name.startswith("."):
                self.is_alive(file.name)

    def close(self) -> None:
        """End it; closing twice is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                (self._folder / self.token).unlink()
            os.close(descriptor)
