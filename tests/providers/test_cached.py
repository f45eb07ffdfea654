"""A cached store: what it asks, what it remembers, and that it never mixes two versions."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.listings import Listings
from providers.base import Entry, Provider, Writer
from providers.cached import CachedProvider
from providers.cached_reader import CachedReader
from providers.errors import Changed, NotFound, TimedOut, Unavailable
from providers.testing.harness import get, names, put, together
from providers.wrap import Wrapper
from tests.providers.watched import Watched, content

BLOCK_BYTES = 4096
SIZE = 100_000
DATA = content("old", SIZE)
NEW = content("new", SIZE)

Build = Callable[..., CachedProvider]


class Clock:
    """Time as the test wants it to be."""

    ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def origin() -> Watched:
    origin = Watched()
    origin.inner.mkdir("folder")
    put(origin.inner, "folder/file", DATA)
    return origin


@pytest.fixture
def build(tmp_path: Path, clock: Clock) -> Iterator[Build]:
    """Return a function that caches a store in one folder."""
    made: list[BlockCache] = []

    def build(store: Provider) -> CachedProvider:
        limits = Limits(free_bytes=0)
        blocks = BlockCache(
            tmp_path / "cache", limits, block_bytes=BLOCK_BYTES, fetch_bytes=4 * BLOCK_BYTES
        )
        made.append(blocks)
        listings = Listings(blocks.database)
        return CachedProvider(store, blocks, listings, "m", clock=clock)

    yield build
    for blocks in made:
        blocks.close()


@pytest.fixture
def cached(build: Build, origin: Watched) -> CachedProvider:
    return build(origin)


def test_what_is_known_asks_nothing(cached: CachedProvider, origin: Watched, build: Build) -> None:
    """Neither in this process nor in the next one."""
    assert names(cached, "folder") == {"file"}
    assert get(cached, "folder/file") == DATA
    assert cached.stat("folder").is_folder
    with pytest.raises(NotFound):
        cached.stat("missing")
    origin.take()
    for store in (cached, build(origin)):
        assert names(store, "folder") == {"file"}
        assert get(store, "folder/file") == DATA
        assert cached.stat("folder").is_folder
        assert store.stat("folder/file").size == SIZE
        for path in ("missing", "folder/missing"):
            with pytest.raises(NotFound):
                store.stat(path)
            with pytest.raises(NotFound):
                store.open(path)
        assert origin.take() == {}


def test_what_is_old_is_asked_for_again(
    cached: CachedProvider, origin: Watched, clock: Clock
) -> None:
    """After the time to live; bytes of the same version are not fetched again."""
    names(cached, "folder")
    get(cached, "folder/file")
    origin.take()
    clock.ahead_seconds = 31
    assert get(cached, "folder/file") == DATA
    assert names(cached, "folder") == {"file"}
    assert cached.stat("folder/file").version == origin.stat("folder/file").version
    assert origin.take() == {"open": 1, "scandir": 1, "stat": 1}


def test_a_foreign_change_shows_in_time(
    cached: CachedProvider, origin: Watched, clock: Clock
) -> None:
    names(cached, "folder")
    get(cached, "folder/file")
    put(origin.inner, "folder/file", NEW)
    put(origin.inner, "folder/other", b"other")
    clock.ahead_seconds = 31
    assert get(cached, "folder/file") == NEW
    assert names(cached, "folder") == {"file", "other"}


def test_a_refresh_shows_a_foreign_change_at_once(cached: CachedProvider, origin: Watched) -> None:
    names(cached, "folder")
    get(cached, "folder/file")
    put(origin.inner, "folder/file", NEW)
    put(origin.inner, "folder/other", b"other")
    cached.refresh("folder/file")
    assert get(cached, "folder/file") == NEW
    assert {entry.name: entry.size for entry in cached.scandir("folder")} == {
        "file": SIZE,
        "other": 5,
    }
    origin.inner.remove("folder/other")
    cached.refresh("folder/other")
    with pytest.raises(NotFound):
        cached.stat("folder/other")
    assert names(cached, "folder") == {"file"}


def test_a_cold_file_is_never_given_in_an_older_version(
    cached: CachedProvider, origin: Watched
) -> None:
    """Its entry is believed, but nothing of it is there: opening it tells the truth."""
    old = cached.stat("folder/file")
    put(origin.inner, "folder/file", NEW)
    with cached.open("folder/file") as reader:
        assert reader.entry.version != old.version
        assert reader.read_at(0, SIZE) == NEW


def test_a_reader_never_mixes_two_versions(cached: CachedProvider, origin: Watched) -> None:
    """What is there is given; what is missing raises Changed; then the new version is known."""
    with cached.open("folder/file") as reader:
        assert reader.read_at(70_000, 10_000) == DATA[70_000:80_000]
    with cached.open("folder/file") as reader:
        put(origin.inner, "folder/file", NEW)
        assert reader.read_at(70_000, 10_000) == DATA[70_000:80_000]
        with pytest.raises(Changed):
            reader.read_at(20_000, 10_000)
        assert get(cached, "folder/file") == NEW
        assert reader.read_at(75_000, 100) == DATA[75_000:75_100]


def test_a_reader_of_what_is_whole_goes_on(cached: CachedProvider, origin: Watched) -> None:
    get(cached, "folder/file")
    with cached.open("folder/file") as reader:
        origin.inner.remove("folder/file")
        cached.refresh("folder/file")
        assert reader.read_at(0, SIZE) == DATA


def test_a_removed_file_is_changed(cached: CachedProvider, origin: Watched) -> None:
    with cached.open("folder/file") as reader:
        reader.read_at(70_000, 100)
    with cached.open("folder/file") as reader:
        origin.inner.remove("folder/file")
        with pytest.raises(Changed, match="removed"):
            reader.read_at(20_000, 100)


def test_a_cut_is_mended(cached: CachedProvider, origin: Watched) -> None:
    """A reader whose connection was cut is opened again; one cut after the other is told."""
    with cached.open("folder/file") as reader:
        reader.read_at(90_000, 100)
        origin.fail("read_at", Unavailable, times=1)
        assert reader.read_at(30_000, 100) == DATA[30_000:30_100]
        origin.fail("read_at", TimedOut, times=2)
        with pytest.raises(TimedOut):
            reader.read_at(60_000, 100)
        assert reader.read_at(60_000, 100) == DATA[60_000:60_100]
        assert origin.take()["open"] == 4


def test_the_last_answer_stands_in_for_a_store_that_is_down(
    cached: CachedProvider, origin: Watched, clock: Clock
) -> None:
    """Marked, and for a limited time; what is unknown fails; then all is as before."""
    names(cached, "folder")
    get(cached, "folder/file")
    for operation in ("stat", "scandir", "open"):
        origin.fail(operation, Unavailable)
    assert cached.stat("folder/file").stale_seconds == 0
    clock.ahead_seconds = 100
    entry = cached.stat("folder/file")
    assert 69 < entry.stale_seconds < 72
    assert [entry.stale_seconds > 0 for entry in cached.scandir("folder")] == [True]
    with cached.open("folder/file") as reader:
        assert reader.entry.stale_seconds > 0
        assert reader.read_at(0, SIZE) == DATA
    with pytest.raises(NotFound):
        cached.stat("folder/missing")
    with pytest.raises(Unavailable):
        cached.stat("other/missing")
    with pytest.raises(Unavailable):
        cached.refresh("folder/file")
    assert cached.stat("folder/file").stale_seconds > 0
    clock.ahead_seconds = 100_000
    for call in (cached.stat, cached.open, lambda path: next(cached.scandir("folder"))):
        with pytest.raises(Unavailable):
            call("folder/file")
    origin.heal()
    assert cached.stat("folder/file").stale_seconds == 0
    assert get(cached, "folder/file") == DATA


def test_a_change_that_fails_is_not_believed(build: Build, origin: Watched) -> None:
    """Also when the store made it before it failed to say so."""

    class Mute(Wrapper):
        def create(
            self,
            path: str,
            *,
            overwrite: bool = True,
            expect: str | None = None,
            size_hint: int | None = None,
        ) -> Writer:
            put(self.inner, path, NEW)
            raise TimedOut(path)

        def remove(self, path: str, *, expect: str | None = None) -> None:
            self.inner.remove(path)
            raise TimedOut(path)

    class Late(Wrapper):
        def create(
            self,
            path: str,
            *,
            overwrite: bool = True,
            expect: str | None = None,
            size_hint: int | None = None,
        ) -> Writer:
            return _LateWriter(self.inner.create(path))

    cached = build(Mute(origin))
    assert get(cached, "folder/file") == DATA
    with pytest.raises(TimedOut):
        cached.remove("folder/file")
    with pytest.raises(NotFound):
        cached.stat("folder/file")
    put(origin.inner, "folder/file", DATA)
    cached = build(Late(origin))
    cached.refresh("folder/file")
    assert get(cached, "folder/file") == DATA
    with cached.create("folder/file") as writer:
        writer.write(NEW)
        with pytest.raises(TimedOut):
            writer.commit()
    assert get(cached, "folder/file") == NEW


class _LateWriter(Writer):
    """Commits, and then its answer is lost."""

    def __init__(self, inner: Writer) -> None:
        self._inner = inner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._inner.write(data)

    def commit(self) -> Entry:
        self._inner.commit()
        raise TimedOut

    def abort(self) -> None:
        self._inner.abort()


def test_a_slow_store_never_holds_up_what_is_known(cached: CachedProvider, origin: Watched) -> None:
    """While others wait for it, hits come at once, also from a file that is there in part."""
    put(origin.inner, "other", DATA)
    names(cached, "folder")
    get(cached, "folder/file")
    with cached.open("other") as reader:
        reader.read_at(20_000, 10_000)
    origin.delay_seconds = 20.0
    missing = cached.open("other")
    waiting = threading.Thread(target=missing.read_at, args=(80_000, 100))
    waiting.start()
    time.sleep(0.1)
    assert get(cached, "folder/file") == DATA
    assert names(cached, "folder") == {"file"}
    with cached.open("other") as reader:
        for offset in range(20_000, 30_000, 1000):
            assert reader.read_at(offset, 1000) == DATA[offset : offset + 1000]
            time.sleep(0.005)  # what was read ahead would begin now
    # Nothing was read ahead that closing would have waited for.
    assert waiting.is_alive()
    origin.hurry.set()
    waiting.join()
    missing.close()


def test_a_descriptor_is_given_when_all_is_there(cached: CachedProvider) -> None:
    with cached.open("folder/file") as reader:
        assert reader.fileno() is None
        reader.read_at(SIZE // 2, SIZE)
        assert reader.fileno() is None
        reader.read_at(0, SIZE // 2)
        descriptor = reader.fileno()
        assert descriptor is not None
        assert os.pread(descriptor, SIZE, 0) == DATA
        reader.check(SIZE)
    assert cached._blocks.stat().mounts["m"]["served_bytes"] == 2 * SIZE


def test_many_readers_fetch_a_block_once(cached: CachedProvider, origin: Watched) -> None:
    size = 40 * BLOCK_BYTES
    put(origin.inner, "shared", content(1, size))
    origin.delay_seconds = 0.02

    def read(number: int) -> bool:
        with cached.open("shared") as reader:
            at = number * BLOCK_BYTES
            there = reader.read_at(at, size) + reader.read_at(0, at)
            whole = content(1, size)
            return there == whole[at:] + whole[:at]

    assert together(8, read) == [True] * 8
    assert cached._blocks.stat().mounts["m"]["fetched_bytes"] == size


def test_a_stream_is_fetched_in_parallel(origin: Watched, tmp_path: Path) -> None:
    """64 reads, one after the other, are few to the store, and some of them at once."""
    size = 16 << 20
    data = content("stream", size)
    put(origin.inner, "large", data)
    with BlockCache(tmp_path / "cache", Limits(free_bytes=0)) as blocks:
        cached = CachedProvider(origin, blocks, Listings(blocks.database), "m")
        origin.delay_seconds = 0.02
        with cached.open("large") as reader:
            for offset in range(0, size, 256 << 10):
                assert reader.read_at(offset, 256 << 10) == data[offset : offset + (256 << 10)]
    assert origin.take()["read_at"] < 20
    assert origin.most_at_once > 1


def test_warm_brings_all_of_a_file(cached: CachedProvider, origin: Watched) -> None:
    assert list(cached.warm("folder/file"))[-1] == SIZE
    origin.take()
    with cached.open("folder/file") as reader:
        assert isinstance(reader, CachedReader)
        assert reader.is_whole
        assert list(reader.warm())[-1] == SIZE
    assert origin.take() == {}


@pytest.mark.logs("the cache cannot be written|listings cannot be kept")
def test_a_folder_that_cannot_be_used_hinders_nothing(tmp_path: Path, origin: Watched) -> None:
    (tmp_path / "file").write_text("in the way")
    with BlockCache(tmp_path / "file" / "cache") as blocks:
        cached = CachedProvider(origin, blocks, Listings(blocks.database), "m")
        for _ in range(2):
            assert get(cached, "folder/file") == DATA
            assert names(cached, "folder") == {"file"}
            put(cached, "folder/new", NEW)
            assert get(cached, "folder/new") == NEW
            cached.remove("folder/new")
            with pytest.raises(NotFound):
                cached.stat("folder/new")
            cached.refresh("folder/file")


def test_a_listing_that_is_left_or_cut_is_not_believed(
    cached: CachedProvider, origin: Watched
) -> None:
    for number in range(600):
        put(origin.inner, f"folder/{number}", b"")
    next(cached.scandir("folder"))
    origin.fail("entry", Unavailable, after=300)
    with pytest.raises(Unavailable):
        names(cached, "folder")
    origin.heal()
    assert len(names(cached, "folder")) == 601
    origin.take()
    assert len(names(cached, "folder")) == 601
    assert origin.take() == {}
