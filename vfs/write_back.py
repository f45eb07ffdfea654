"""Write-back: where the pending writes of each mount lie, and how a store is given its journal."""

import hashlib
from pathlib import Path
from urllib.parse import quote

from cache.journal import Journal
from cache.room import RoomLimits
from providers.write_back import WriteBackProvider
from vfs.cache_config import CacheConfig
from vfs.tree.mounts import Replica

PENDING_FOLDER = "pending"
_NAME_MAX = 180


def journal_folder(state_dir: Path, mount: str) -> Path:
    """Return where the pending writes of the mount at this path lie."""
    name = quote(mount, safe="")
    if len(name) > _NAME_MAX:
        name = f"{name[:_NAME_MAX]}-{hashlib.sha256(mount.encode()).hexdigest()[:16]}"
    return state_dir / PENDING_FOLDER / name


def open_journal(state_dir: Path, mount: str, settings: CacheConfig) -> Journal:
    """Open the journal of the mount at this path; JournalError."""
    limits = RoomLimits(
        pending_bytes=settings.pending_bytes, free_bytes=settings.pending_free_bytes
    )
    return Journal(journal_folder(state_dir, mount), limits)


def write_back(origin: Replica, journal: Journal) -> Replica:
    """Return a replica that accepts writes for `origin`, under whose breaker it is asked.

    The replica goes on while that breaker is open: what is pending needs no origin.
    """
    provider = WriteBackProvider(origin.provider, journal, origin.call)
    return Replica(provider, origin.breaker, is_guarded=True)
