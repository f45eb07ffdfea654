"""SftpTemporary: names of uploads that nobody sees yet, and the removal of those left behind."""

import contextlib
import secrets
import threading
import time
from typing import Final

from providers.errors import NotFound, StorageError
from providers.names import RESERVED_PREFIX, is_reserved, join
from providers.sftp_site import SftpSite
from providers.ssh.session import SftpSession

SILENT_SECONDS: Final = 86_400.0
"""Without locks, only a long silence tells that a writer of another process is dead."""

SWEEP_FOLDERS_MAX: Final = 20_000
"""Folders that one sweep looks into; what lies deeper goes when its folder is removed."""

_PREFIX = f"{RESERVED_PREFIX}tmp-"


class SftpTemporary:
    """Knows which temporaries have a living writer here.

    `_lock` guards `_living`; all else is fixed. A name tells which provider made it: of its own it
    knows who lives, others are dead when they were not written to for a day.
    """

    def __init__(self, site: SftpSite) -> None:
        self._site = site
        self._own = f"{_PREFIX}{secrets.token_hex(4)}-"
        self._lock = threading.Lock()
        self._living: set[str] = set()

    def make(self, folder: str) -> str:
        """Return the path of a new temporary in `folder`; its writer lives until `forget`."""
        path = join(folder, f"{self._own}{secrets.token_hex(8)}")
        with self._lock:
            self._living.add(path)
        return path

    def forget(self, path: str) -> None:
        """Say that the writer of this temporary has ended."""
        with self._lock:
            self._living.discard(path)

    def sweep(self, session: SftpSession, older_than_seconds: float) -> int:
        """Remove the dead temporaries below the root; follows no link."""
        count = 0
        folders = [""]
        for _ in range(SWEEP_FOLDERS_MAX):
            if not folders:
                break
            folder = folders.pop()
            with contextlib.suppress(StorageError):
                dead = []
                for name, attributes in session.members(self._site.place(folder)):
                    path = join(folder, name)
                    if self._is_dead(path, name, attributes.mtime or 0, older_than_seconds):
                        dead.append(path)
                    elif attributes.is_folder and not is_reserved(name):
                        folders.append(path)
                count += self._remove(session, dead)
        return count

    def sweep_folder(self, session: SftpSession, folder: str) -> tuple[int, list[str]]:
        """Remove the dead temporaries of one folder; return how many, and what else is there."""
        dead: list[str] = []
        others: list[str] = []
        for name, attributes in session.members(self._site.place(folder)):
            path = join(folder, name)
            if self._is_dead(path, name, attributes.mtime or 0, 0):
                dead.append(path)
            elif not others:
                others.append(name)
        return self._remove(session, dead), others

    def _is_dead(self, path: str, name: str, mtime: int, older_than_seconds: float) -> bool:
        if not name.startswith(_PREFIX):
            return False
        if name.startswith(self._own):
            with self._lock:
                living = path in self._living
            return not living and time.time() - mtime >= older_than_seconds
        return time.time() - mtime >= max(older_than_seconds, SILENT_SECONDS)

    def _remove(self, session: SftpSession, paths: list[str]) -> int:
        count = 0
        for path in paths:
            with contextlib.suppress(NotFound):
                session.remove(self._site.place(path))
                count += 1
        return count
