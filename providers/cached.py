"""CachedProvider: any store, with its entries and bytes remembered on disk.

docs/design/cache.md has the map. What is asked of the store passes the guard, what is remembered
does not: a store that is down, or slow, hurts only who needs what is not there.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice

from msgspec.structs import replace

from cache.blocks import BlockCache
from cache.errors import CacheError
from cache.key import Key
from cache.listings import Listings
from providers.base import Capabilities, Content, Entry, Provider, Reader, Usage, Writer
from providers.cached_many import Held, get_many
from providers.cached_reader import CachedReader
from providers.cached_writer import CachedWriter
from providers.errors import (
    Changed,
    IsADirectory,
    NotADirectory,
    NotFound,
    StorageError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from providers.guard import Guard, NoGuard, guarded
from providers.known import Fact, Known, take
from providers.reopened import Reopened
from providers.wrap import Wrapper

LISTING_TTL_SECONDS = 30.0
"""For how long an entry or a listing is believed without asking the store."""

STALE_IF_ERROR_SECONDS = 86_400.0
"""For how much longer it is shown, marked, while the store does not answer."""

# Entries that are taken from the store in one call.
_BATCH = 256


class CachedProvider(Wrapper):
    """Answers from the cache where it may. All attributes are fixed.

    `mount` names the store in the cache, so it must be another one when the store is another.
    Several processes may cache one store in one folder.
    """

    name = "cached"

    def __init__(
        self,
        inner: Provider,
        blocks: BlockCache,
        listings: Listings,
        mount: str,
        *,
        ttl_seconds: float = LISTING_TTL_SECONDS,
        stale_if_error_seconds: float = STALE_IF_ERROR_SECONDS,
        guard: Guard | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(inner)
        self.mount = mount
        self._blocks = blocks
        self._guard = guard or NoGuard()
        exact = _spells_one_way(inner)
        self._known = Known(
            listings,
            mount,
            ttl_seconds=ttl_seconds if exact else 0.0,
            stale_if_error_seconds=stale_if_error_seconds,
            clock=clock,
        )

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]  # as in Wrapper
        """Return those of the store; a descriptor there is only for what is cached whole."""
        return replace(self.inner.capabilities, descriptors=False)

    # Reading

    def stat(self, path: str) -> Entry:
        fact = self._known.stat(path)
        if fact is not None and self._known.is_fresh(fact.fetched_at):
            return _present(path, fact.entry)
        asked_at = self._known.clock()
        try:
            with self.asking():
                entry = self.inner.stat(path)
        except NotFound:
            self._known.saw_nothing(path, asked_at)
            raise
        except (Unavailable, TimedOut) as error:
            return self._stale(path, fact, error)
        self._known.saw(path, entry, asked_at)
        return entry

    def scandir(self, path: str) -> Iterator[Entry]:
        with self._known.listing(path) as listing:
            if listing is not None and self._known.is_fresh(listing[1]):
                yield from self._unbroken(path, listing[0])
                return
        asked_at = self._known.clock()
        entries = self._members(path)
        try:
            first = next(entries, None)
        except (Unavailable, TimedOut) as error:
            yield from self._stale_members(path, error)
            return
        recording = self._known.record(path, asked_at)
        try:
            for entry in chain(() if first is None else (first,), entries):
                take(recording, entry)
                yield entry
            recording.finish()
        finally:
            recording.drop()

    def open(self, path: str) -> Reader:
        fact = self._known.stat(path)
        cached = self._recalled(path, fact)
        if cached is not None:
            return cached
        asked_at = self._known.clock()
        try:
            with self.asking():
                inner = self.inner.open(path)
        except NotFound:
            self._known.saw_nothing(path, asked_at)
            raise
        except (Unavailable, TimedOut) as error:
            cached = self._reader(path, _file(path, self._stale(path, fact, error)))
            if cached is None:
                raise
            return cached
        try:
            self._known.saw(path, inner.entry, asked_at)
            # Without a version nothing tells which bytes belong together.
            if not self._is_settled(inner.entry, asked_at):
                return inner
            return self._reader(path, inner.entry, inner) or inner
        except BaseException:
            inner.close()
            raise

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        return get_many(self, paths, size)

    def warm(self, path: str) -> Iterator[int]:
        """Bring a file into the cache; yield again and again how many of its bytes are there."""
        with self.open(path) as reader:
            if not isinstance(reader, CachedReader):
                raise Unsupported(path, detail="it has no version, or changed a moment ago")
            yield from reader.warm()

    def refresh(self, path: str) -> None:
        asked_at = self._known.clock()
        before = self._known.stat(path)
        entry: Entry | None
        try:
            with self.asking():
                entry = self.inner.stat(path)
        except (NotFound, NotADirectory):
            entry = None
        # A file that is as it was says nothing against the listing that shows it.
        if before is None or before.entry != entry or entry is None or entry.is_folder:
            self._known.forget(path)
        elif entry is not None:
            self._known.saw(path, entry, asked_at)

    def checksum(self, path: str, algorithm: str, *, expect: str | None = None) -> bytes:
        with self.asking():
            return self.inner.checksum(path, algorithm, expect=expect)

    def usage(self, path: str) -> Usage:
        with self.asking():
            return self.inner.usage(path)

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        with self.asking():
            return self.inner.xattrs(path)

    # Changing

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        with self.asking():
            writer = self.inner.create(
                path, overwrite=overwrite, expect=expect, size_hint=size_hint
            )
        return CachedWriter(self, path, writer)

    def modify(self, path: str, *, expect: str | None = None) -> Writer:
        with self.asking():
            return CachedWriter(self, path, self.inner.modify(path, expect=expect))

    def mkdir(self, path: str) -> Entry:
        with self.changing(path):
            entry = self.inner.mkdir(path)
        self._known.made(path, entry)
        return entry

    def remove(self, path: str, *, expect: str | None = None) -> None:
        with self.changing(path):
            self.inner.remove(path, expect=expect)
        self._known.made(path, None)

    def rmdir(self, path: str) -> None:
        with self.changing(path):
            self.inner.rmdir(path)
        self._known.made(path, None)

    def rename(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        with self.changing(source, target):
            entry = self.inner.rename(source, target, overwrite=overwrite)
        if source != target:
            self._known.moved(source, target, entry)
        return entry

    def copy(self, source: str, target: str, *, overwrite: bool = False) -> Entry:
        with self.changing(target):
            entry = self.inner.copy(source, target, overwrite=overwrite)
        self._known.made(target, entry)
        return entry

    def set_mtime(self, path: str, mtime_ns: int) -> Entry:
        with self.changing(path):
            entry = self.inner.set_mtime(path, mtime_ns)
        self._known.made(path, entry)
        return entry

    def set_xattrs(self, path: str, changes: Mapping[str, bytes | None]) -> None:
        try:
            with self.changing(path):
                self.inner.set_xattrs(path, changes)
        finally:
            # It may be another version now.
            self._known.forget(path)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Run the block as a call to the store."""
        with guarded(self._guard, self.inner.name):
            yield

    @contextmanager
    def changing(self, *paths: str) -> Iterator[None]:
        """Change these paths in the block; when it fails, nothing is known of them any more."""
        try:
            with self.asking():
                yield
        except Unsupported:
            raise
        except BaseException:
            for path in paths:
                self._known.forget(path)
            raise

    def changed(self, path: str, entry: Entry) -> None:
        """Remember what a writer committed."""
        self._known.made(path, entry)

    # Pieces of reading

    def recall(self, path: str) -> CachedReader | None:
        """Return what `open` would without asking the store; None if it must be asked."""
        return self._recalled(path, self._known.stat(path))

    def keep(self, path: str, found: Content, asked_at: float) -> None:
        """Remember a file that the store gave, unless we changed it since it was asked."""
        self._known.saw(path, found.entry, asked_at)
        if found.data is not None:
            reader = self._reader(path, found.entry, Held(found.entry, found.data))
            if reader is not None:
                with reader:
                    deque(reader.warm(), maxlen=0)

    def now(self) -> float:
        """Return the time as what is remembered counts it."""
        return self._known.clock()

    def _recalled(self, path: str, fact: Fact | None) -> CachedReader | None:
        if fact is None or not self._known.is_fresh(fact.fetched_at):
            return None
        return self._reader(path, _file(path, _present(path, fact.entry)))

    def _stale(self, path: str, fact: Fact | None, error: StorageError) -> Entry:
        """Return what was known while the store could be asked; else raise what it raised."""
        seconds = None if fact is None else self._known.stale_seconds(fact.fetched_at)
        if fact is None or seconds is None:
            raise error
        return replace(_present(path, fact.entry), stale_seconds=seconds)

    def _stale_members(self, path: str, error: StorageError) -> Iterator[Entry]:
        with self._known.listing(path) as listing:
            seconds = None if listing is None else self._known.stale_seconds(listing[1])
            if listing is None or seconds is None:
                raise error
            try:
                for entry in listing[0]:
                    yield replace(entry, stale_seconds=seconds)
            except CacheError as failure:
                raise error from failure

    def _unbroken(self, path: str, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Yield what is remembered; when the cache's disk fails, go on with the store's own."""
        last: bytes | None = None
        try:
            for entry in entries:
                yield entry
                last = _order(entry)
        except CacheError:
            for entry in self._members(path):
                if last is None or _order(entry) > last:
                    yield entry

    def _members(self, path: str) -> Iterator[Entry]:
        """Yield what the store lists."""
        entries: Iterator[Entry] | None = None
        while True:
            with self.asking():
                if entries is None:
                    entries = self.inner.scandir(path)
                batch = list(islice(entries, _BATCH))
            yield from batch
            if len(batch) < _BATCH:
                return

    def _reader(self, path: str, entry: Entry, inner: Reader | None = None) -> CachedReader | None:
        """Return a reader of this version, None if neither the cache nor `inner` has any of it."""
        if not entry.version:
            return None
        file = self._blocks.open(Key(self.mount, path, entry.version), entry.size)
        if inner is None and entry.size and file.fileno() is None:
            file.close()
            return None
        origin = Reopened(lambda: self._open_again(path, entry), inner)
        reader = CachedReader(entry, file, origin, self._guard, self.inner.name)
        if reader.is_whole:
            origin.close()
        return reader

    def _is_settled(self, entry: Entry, asked_at: float) -> bool:
        """Tell whether a change after `asked_at` gives the file another version."""
        settling = self.inner.capabilities.settling_seconds
        return not settling or entry.mtime_ns / 1e9 <= asked_at - settling

    def _open_again(self, path: str, entry: Entry) -> Reader:
        """Open the file in the store for a reader that is pinned to `entry`."""
        try:
            reader = self.inner.open(path)
        except (NotFound, IsADirectory, NotADirectory) as error:
            self._known.forget(path)
            raise Changed(path, detail="it was removed from the store") from error
        if (reader.entry.version, reader.entry.size) == (entry.version, entry.size):
            return reader
        reader.close()
        self._known.forget(path)
        raise Changed(path, detail="the store has another version now; ask again")


def _spells_one_way(inner: Provider) -> bool:
    """Tell whether a name has one spelling: else a listing does not say what is absent."""
    return inner.capabilities.case_sensitive and not inner.capabilities.normalises_unicode


def _present(path: str, entry: Entry | None) -> Entry:
    if entry is None:
        raise NotFound(path)
    return entry


def _file(path: str, entry: Entry) -> Entry:
    if entry.is_folder:
        raise IsADirectory(path)
    return entry


def _order(entry: Entry) -> bytes:
    """Return what remembered listings are sorted by."""
    return entry.name.encode("utf-8", "surrogatepass")
