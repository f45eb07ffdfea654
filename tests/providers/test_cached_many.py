"""Many small files of a cached store: asked for together, remembered as if each had been opened."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.listings import Listings
from providers.base import Content, Provider
from providers.cached import CachedProvider
from providers.errors import NotFound, StorageError, Unavailable
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing.harness import put
from providers.wrap import FaultProvider, Wrapper

FILES = {f"f{number}": bytes([number]) * (number * 50) for number in range(40)}


class Counted(Wrapper):
    """Counts what is asked of the store."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self.opened: list[str] = []
        self.many: list[str] = []

    def _before(self, operation: str, amount: int = 1) -> None:
        if operation == "open":
            self.opened.append(operation)

    def get_many(
        self, paths: Iterable[str], size: int
    ) -> Iterator[tuple[str, Content | StorageError]]:
        asked = list(paths)
        self.many += asked
        return super().get_many(asked, size)


@pytest.fixture
def faults() -> FaultProvider:
    memory = MemoryProvider(MemoryOptions())
    for path, data in FILES.items():
        put(memory, path, data)
    return FaultProvider(memory)


@pytest.fixture
def counted(faults: FaultProvider) -> Counted:
    return Counted(faults)


@pytest.fixture
def store(counted: Counted, tmp_path: Path) -> Iterator[CachedProvider]:
    with BlockCache(tmp_path / "cache") as blocks:
        store = CachedProvider(counted, blocks, Listings(blocks.database), "m", ttl_seconds=3600)
        yield store
        store.close()


def got(store: Provider, paths: Iterable[str] = FILES) -> dict[str, bytes | None]:
    found = dict(store.get_many(paths, 1500))
    assert all(isinstance(one, Content) for one in found.values())
    return {path: one.data for path, one in found.items() if isinstance(one, Content)}


WANTED = {path: data if len(data) <= 1500 else None for path, data in FILES.items()}


def test_misses_are_asked_for_together_and_then_they_are_hits(
    store: CachedProvider, counted: Counted, faults: FaultProvider
) -> None:
    assert got(store) == WANTED
    assert (counted.opened, sorted(counted.many)) == ([], sorted(FILES))
    faults.fail("open", lambda: Unavailable(detail="away"))
    small = {path: data for path, data in WANTED.items() if data is not None}
    assert got(store, small) == small
    assert len(counted.many) == len(FILES)
    with store.open("f7") as reader:
        assert reader.read_at(0, 1000) == FILES["f7"]


def test_what_is_not_there_is_remembered(store: CachedProvider, counted: Counted) -> None:
    for _ in range(2):
        ((path, found),) = store.get_many(["none"], 10)
        assert path == "none"
        assert isinstance(found, NotFound)
    assert counted.many == ["none"]


def test_our_own_change_is_seen(store: CachedProvider) -> None:
    assert got(store, ["f7"]) == {"f7": FILES["f7"]}
    put(store, "f7", b"new")
    assert got(store, ["f7", "f8"]) == {"f7": b"new", "f8": FILES["f8"]}


def test_a_store_that_is_away_is_the_error_of_each_that_is_not_cached(
    store: CachedProvider, faults: FaultProvider
) -> None:
    assert got(store, ["f3", "f4"])
    faults.fail("open", lambda: Unavailable(detail="away"))
    found = dict(store.get_many(FILES, 1500))
    assert {path for path, one in found.items() if isinstance(one, Content)} == {"f3", "f4"}
    assert all(isinstance(found[path], Unavailable) for path in FILES.keys() - {"f3", "f4"})
