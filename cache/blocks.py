"""BlockCache: the blocks of remote files, kept on disk, shared by several processes."""

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self
from urllib.parse import unquote

import msgspec

from cache.behind import Behind
from cache.block_file import BlockFile, key_of
from cache.boot import boot_tag
from cache.budget import BLOCKS, Budget, Limits, Swept
from cache.cached_file import CachedFile
from cache.counters import Counters
from cache.database import Database
from cache.index import Index, is_pinned
from cache.key import Key, folder_name
from cache.sweeper import Sweeper
from cache.tools import Tools

# The unit of what is present. Small, since a random read fetches whole blocks; docs/design/cache.md
# has the measurement.
BLOCK_BYTES = 64 << 10
# The unit of what is asked of the origin, and how many such portions at once for one file.
FETCH_BYTES = 4 << 20
PARALLEL = 4
_THREADS = 16


class Stat(msgspec.Struct, frozen=True):
    """What the cache holds and what it did, for each mount; see `counters.NAMES`."""

    files: int
    size: int
    fault: str
    mounts: Mapping[str, Mapping[str, int]]


class BlockCache:
    """Keeps blocks in `folder`. Every process that shares the folder makes its own BlockCache.

    The folder need not exist, nor be writable: whatever is wrong with it, files are read through
    `fetch`, and `fault` says why. Do not fork while a file is open.

    `_folder`, `_tag`, `_tools`, `_own`, `_sweeper`, `index`, `database` are fixed; `_budget` and
    `_counters` guard themselves. `_lock` guards `_files` and `_users`; it is never held during I/O.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits | None = None,
        *,
        executor: Executor | None = None,
        block_bytes: int = BLOCK_BYTES,
        fetch_bytes: int = FETCH_BYTES,
        parallel: int = PARALLEL,
        boot: str | None = None,
    ) -> None:
        self._folder = folder
        self._tag = boot_tag(boot)
        self._lock = threading.Lock()
        self._files: dict[Path, BlockFile] = {}
        self._users: Counter[BlockFile] = Counter()
        self._counters = Counters()
        self.database = Database(folder / "index.sqlite")
        self.index = Index(self.database)
        self._budget = Budget(folder, limits or Limits(), self._is_pinned)
        self._own = None
        if executor is None:
            executor = self._own = ThreadPoolExecutor(_THREADS, thread_name_prefix="cache-fetch")
        self._tools = Tools(
            self,
            self._budget,
            self._counters,
            executor,
            Behind(),
            block_bytes,
            fetch_bytes,
            parallel,
        )
        self._sweeper = Sweeper(self._budget, name="cache-sweeper", before=self._save_counters)

    def open(self, key: Key, size: int) -> CachedFile:
        """Open a version of a file for reading. Nothing is written before something is missing."""
        return CachedFile(self._tools, key, size)

    def pin(self, mount: str, path: str) -> None:
        """Keep `path` and what lies below it from eviction. Raises sqlite3.Error or OSError."""
        self.index.pin(mount, path)

    def unpin(self, mount: str, path: str) -> bool:
        """Take back a pin; tell whether there was one. Raises sqlite3.Error or OSError."""
        return self.index.unpin(mount, path)

    def evict(self, mount: str, path: str = "") -> Swept:
        """Remove what is kept of `path` and below it, pinned or not; who reads it reads on."""
        files = size = removed_files = removed_bytes = 0
        for entry in self._budget.files(folder_name(mount)):
            key = key_of(Path(entry.path))
            with contextlib.suppress(OSError):
                held = entry.stat(follow_symlinks=False).st_blocks * 512
                files += 1
                size += held
                if key is None or (key.mount == mount and key.below(path)):
                    Path(entry.path).unlink()
                    removed_files += 1
                    removed_bytes += held
        return Swept(files - removed_files, size - removed_bytes, removed_files, removed_bytes)

    def sweep(self) -> Swept:
        """Enforce the limits now."""
        swept = self._budget.sweep(wait=True)
        assert swept is not None
        return swept

    def stat(self) -> Stat:
        """Count what is there. It walks over all files."""
        mounts = self._counters.numbers()
        for mount, named in self.index.counters().items():
            mounts.setdefault(mount, Counter()).update(named)
        files = size = 0
        names: dict[str, str] = {}
        for entry in self._budget.files():
            with contextlib.suppress(OSError):
                held = entry.stat(follow_symlinks=False).st_blocks * 512
                folder = Path(entry.path).parent.parent.name
                if folder not in names:
                    names[folder] = _mount_of(folder, Path(entry.path))
                numbers = mounts.setdefault(names[folder], Counter())
                numbers["files"] += 1
                numbers["bytes"] += held
                files += 1
                size += held
        return Stat(files, size, self._budget.fault(), mounts)

    def fault(self) -> str:
        """Return why nothing can be written now, "" when it can."""
        return self._budget.fault()

    def close(self) -> None:
        """Stop what runs in the background. Close the files first."""
        self._sweeper.close()
        self._tools.behind.close()
        if self._own is not None:
            self._own.shutdown(cancel_futures=True)
        self._save_counters()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def acquire(self, key: Key, size: int, *, create: bool) -> BlockFile | None:
        """Return the file of this process for `key`; None if there is none. Raises OSError."""
        folder, path, version = key.names()
        place = self._folder / BLOCKS / folder / path[:2] / f"{path}-{version}"
        found = self._share(place, key, size, None)
        if found is not None:
            return found
        open_ = partial(
            BlockFile.open, place, key, size, block_bytes=self._tools.block_bytes, tag=self._tag
        )
        opened = open_()
        if opened is None and create:
            self._supersede(place, path)
            opened = BlockFile.create(
                place, key, size, block_bytes=self._tools.block_bytes, tag=self._tag
            )
            opened = opened or open_()
        return None if opened is None else self._share(place, key, size, opened)

    def retain(self, file: BlockFile) -> None:
        """Count one more user of a file that is in use."""
        with self._lock:
            self._users[file] += 1

    def release(self, file: BlockFile) -> None:
        """Take back a file; its last user closes it."""
        with self._lock:
            self._users[file] -= 1
            if self._users[file]:
                return
            del self._users[file]
            if self._files.get(file.place) is file:
                del self._files[file.place]
        self._counters.add(file.key.mount, "torn_blocks", file.torn)
        file.close()

    def _share(
        self, place: Path, key: Key, size: int, opened: BlockFile | None
    ) -> BlockFile | None:
        """Return what this process has open already, else what was opened just now."""
        with self._lock:
            known = self._files.get(place)
            usable = known is not None and known.key == key and known.size == size
            if known is not None and usable and not known.is_unlinked():
                found = known
            elif opened is None:
                return None
            else:
                found = self._files[place] = opened
            self._users[found] += 1
        if opened is not None and found is not opened:
            opened.close()
        return found

    def _supersede(self, place: Path, path: str) -> None:
        """Remove other versions of the same path, or make the folder. Who reads one reads on."""
        try:
            with os.scandir(place.parent) as entries:
                old = [entry.path for entry in entries if entry.name.startswith(f"{path}-")]
        except FileNotFoundError:
            # Each folder on the way is for our eyes only; mkdir's own parents would not be.
            for folder in (self._folder, *place.parents[2::-1]):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return
        for name in old:
            if name != str(place):
                Path(name).unlink(missing_ok=True)

    def _is_pinned(self, place: Path) -> bool:
        # Asked for each file that is about to go, so that a pin holds from the moment it is made.
        try:
            pins = self.index.pins()
        except (sqlite3.Error, OSError):
            return False
        key = key_of(place) if pins else None
        return key is not None and is_pinned(key, pins)

    def _save_counters(self) -> None:
        taken = self._counters.take()
        if not self.index.count(taken):
            self._counters.give_back(taken)


def _mount_of(folder: str, place: Path) -> str:
    """Return the mount that a folder is for; where its name does not tell, a file in it does."""
    if folder.startswith("m"):
        return unquote(folder[1:], errors="surrogatepass")
    key = key_of(place)
    return key.mount if key is not None else folder
