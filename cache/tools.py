"""Tools: what all files of one cache share."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Protocol

import msgspec

from cache.assembly import Chunk
from cache.behind import Behind
from cache.block_file import BlockFile
from cache.budget import Budget
from cache.counters import Counters
from cache.key import Key

# Gives `size` bytes from `offset`, at once or piece by piece. It is called from several threads.
Fetch = Callable[[int, int], Chunk | Iterable[Chunk]]


class Source(Protocol):
    """What a CachedFile needs of the cache it belongs to: the file on disk, shared and counted."""

    def acquire(self, key: Key, size: int, *, create: bool) -> BlockFile | None:
        """Return the shared file, or None if there is none. Raises OSError."""
        ...

    def retain(self, file: BlockFile) -> None:
        """Count one more user of what `acquire` gave."""
        ...

    def release(self, file: BlockFile) -> None:
        """Take back what `acquire` gave."""
        ...


class Tools(msgspec.Struct, frozen=True):
    """What all files of one cache share, and in which portions they fetch."""

    source: Source
    budget: Budget
    counters: Counters
    executor: Executor
    behind: Behind
    block_bytes: int
    fetch_bytes: int
    parallel: int
