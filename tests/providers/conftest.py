"""A store in memory, one that can be made to fail, and write-backs over them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.journal import Journal
from cache.room import RoomLimits
from providers.base import Provider
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing.harness import put
from providers.wrap import FaultProvider
from providers.write_back import WriteBackProvider


@pytest.fixture
def memory() -> MemoryProvider:
    store = MemoryProvider(MemoryOptions())
    store.mkdir("folder")
    put(store, "folder/old", b"old")
    return store


@pytest.fixture
def fault(memory: MemoryProvider) -> FaultProvider:
    return FaultProvider(memory)


@pytest.fixture
def make(tmp_path: Path, fault: FaultProvider) -> Iterator[Callable[..., WriteBackProvider]]:
    """Return a function that makes a write-back over `fault`, on one journal."""
    made: list[WriteBackProvider] = []

    def build(
        inner: Provider | None = None, limits: RoomLimits | None = None, folder: Path | None = None
    ) -> WriteBackProvider:
        journal = Journal(folder or tmp_path / "journal", limits)
        made.append(WriteBackProvider(inner or fault, journal))
        return made[-1]

    yield build
    for store in made:
        store.close()
