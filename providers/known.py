"""Known: what is remembered of the entries of one store, and whether that may be served."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from cache.errors import CacheError
from cache.freshness import Origin, Stored, Verdict, Wish, decide
from cache.listings import Listings
from cache.recording import Recording
from providers.base import Entry, Kind
from providers.names import basename

_NO_WISH = Wish()
_UP = Origin()


class Fact(msgspec.Struct, frozen=True):
    """What the store said at `fetched_at`; `entry` is None where there was nothing."""

    entry: Entry | None
    fetched_at: float


class _Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry without its name, which is its key, as it is kept."""

    is_folder: bool
    size: int
    mtime_ns: int
    version: str
    media_type: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Value).decode


class Known:
    """Remembers one store in the cache's listings, under the name `mount`. All is fixed."""

    def __init__(
        self,
        listings: Listings,
        mount: str,
        *,
        ttl_seconds: float,
        stale_if_error_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.ttl_seconds = ttl_seconds
        self._listings = listings
        self._mount = mount
        self._down = Origin(is_up=False, stale_if_error_seconds=stale_if_error_seconds)

    def is_fresh(self, fetched_at: float) -> bool:
        """Tell whether what the store said then may be served without asking it."""
        stored = Stored(fetched_at, self.ttl_seconds)
        return decide(self.clock(), stored, _NO_WISH, _UP) is Verdict.SERVE

    def stale_seconds(self, fetched_at: float) -> float | None:
        """Return for how long that is out of date, now that the store is down; None: too long."""
        now = self.clock()
        stored = Stored(fetched_at, self.ttl_seconds)
        if decide(now, stored, _NO_WISH, self._down) is Verdict.FAIL:
            return None
        # Even what was fresh a moment ago cannot be confirmed: it is marked as well.
        return max(1.0, now - fetched_at - self.ttl_seconds)

    def stat(self, path: str) -> Fact | None:
        """Return what is known of a path, None if nothing is."""
        found = self._listings.stat(self._mount, path)
        if found is None:
            return None
        if found.value is None:
            return Fact(None, found.fetched_at)
        try:
            return Fact(_entry(basename(path), found.value), found.fetched_at)
        except msgspec.DecodeError:
            return None

    @contextmanager
    def listing(self, path: str) -> Iterator[tuple[Iterator[Entry], float] | None]:
        """Lend the members of a folder and when the store gave them, None if they are not known.

        Reading them raises CacheError when the disk fails.
        """
        with self._listings.listing(self._mount, path) as found:
            yield None if found is None else (_entries(found.entries), found.fetched_at)

    def record(self, path: str, fetched_at: float) -> Recording:
        """Return what takes the members of a folder as they come, by `take`."""
        return self._listings.record(self._mount, path, fetched_at)

    def saw(self, path: str, entry: Entry, asked_at: float) -> None:
        """Remember what the store said, unless we changed it since it was asked."""
        value = _packed(entry)
        if value is not None:
            self._listings.put_stat(self._mount, path, value, asked_at)

    def saw_nothing(self, path: str, asked_at: float) -> None:
        """Remember that there was nothing."""
        self._listings.put_absent(self._mount, path, asked_at)

    def made(self, path: str, entry: Entry | None) -> None:
        """Remember what a change of our own made of a path; None when it removed it."""
        value = None if entry is None else _packed(entry)
        if entry is not None and value is None:
            self.forget(path)
        else:
            self._listings.put_own(self._mount, path, value)

    def moved(self, source: str, target: str, entry: Entry) -> None:
        """Remember a rename."""
        self._listings.rename_tree(self._mount, source, target)
        self.made(target, entry)

    def forget(self, path: str) -> None:
        """Forget a path and the listings that show it."""
        self._listings.invalidate(self._mount, path)

    def forget_tree(self, path: str) -> None:
        """Forget a path and all below it."""
        self._listings.invalidate_tree(self._mount, path)


def take(recording: Recording, entry: Entry) -> None:
    """Give an entry to a recording; one that cannot be kept ends it."""
    value = _packed(entry)
    if value is None:
        recording.drop()
    else:
        recording.add(entry.name, value)


def _packed(entry: Entry) -> bytes | None:
    try:
        return _encode(
            _Value(entry.is_folder, entry.size, entry.mtime_ns, entry.version, entry.media_type)
        )
    except (ValueError, OverflowError):
        # A version that is no text, or a number beyond 64 bits.
        return None


def _entry(name: str, value: bytes) -> Entry:
    kept = _decode(value)
    kind = Kind.FOLDER if kept.is_folder else Kind.FILE
    return Entry(name, kind, kept.size, kept.mtime_ns, kept.version, kept.media_type)


def _entries(found: Iterator[tuple[str, bytes]]) -> Iterator[Entry]:
    try:
        for name, value in found:
            yield _entry(name, value)
    except msgspec.DecodeError as error:
        raise CacheError(f"the listing is damaged: {error}") from error
