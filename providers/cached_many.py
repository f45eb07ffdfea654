"""Many small files of a store that is cached: those that are there, and then the others at once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol

from providers.base import Content, Entry, Provider, Reader
from providers.cached_reader import CachedReader
from providers.errors import StorageError, TimedOut, Unavailable

# So many paths are remembered at once; what is there of them comes before what is asked for.
_PORTION = 1024

Found = tuple[str, Content | StorageError]


class Store(Protocol):
    """What is needed of the store that asks."""

    inner: Provider

    def open(self, path: str) -> Reader:
        """Open a file through the cache."""
        ...

    def asking(self) -> AbstractContextManager[None]:
        """Run a block as a call to the store."""
        ...

    def recall(self, path: str) -> CachedReader | None:
        """Return what `open` would without asking the store."""
        ...

    def keep(self, path: str, found: Content, asked_at: float) -> None:
        """Remember a file that the store gave."""
        ...

    def now(self) -> float:
        """Return the time."""
        ...


def get_many(store: Store, paths: Iterable[str], size: int) -> Iterator[Found]:
    """Yield each path once, as `Provider.get_many`; what was missing is cached then."""
    wanted = iter(paths)
    while portion := list(islice(wanted, _PORTION)):
        missing = []
        for path in portion:
            found = _present(store, path, size)
            if found is None:
                missing.append(path)
            else:
                yield path, found
        yield from _asked(store, missing, size)


def _present(store: Store, path: str, size: int) -> Content | StorageError | None:
    try:
        reader = store.recall(path)
        if reader is None:
            return None
        with reader:
            if reader.entry.size > size:
                return Content(reader.entry, None)
            if not reader.is_whole:
                return None
            return Content(reader.entry, reader.read_at(0, reader.entry.size))
    except StorageError as error:
        return error


def _asked(store: Store, paths: list[str], size: int) -> Iterator[Found]:
    """Ask the store for all; what it does not give is opened one by one, as if alone."""
    left = Counter(paths)
    asked_at = store.now()
    answers = store.inner.get_many(paths, size)
    try:
        while step := _next(store, answers):
            path, found = step
            if isinstance(found, Content):
                store.keep(path, found, asked_at)
                left[path] -= 1
                yield path, found
    except (Unavailable, TimedOut):
        pass  # what is remembered may stand in for it
    for path in left.elements():
        yield path, _opened(store, path, size)


def _next(store: Store, answers: Iterator[Found]) -> Found | None:
    with store.asking():
        step = next(answers, None)
        if step is not None and isinstance(step[1], Unavailable | TimedOut):
            raise step[1]
        return step


def _opened(store: Store, path: str, size: int) -> Content | StorageError:
    try:
        with store.open(path) as reader:
            entry = reader.entry
            return Content(entry, reader.read_at(0, entry.size) if entry.size <= size else None)
    except StorageError as error:
        return error


class Held(Reader):
    """The bytes of one file, in memory. Fixed."""

    def __init__(self, entry: Entry, data: bytes) -> None:
        self.entry = entry
        self._data = data

    def read_at(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def close(self) -> None:
        """Hold nothing that must be given back."""
