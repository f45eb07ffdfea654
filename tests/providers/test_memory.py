"""MemoryProvider keeps the contract, and its own promises of capacity and sparseness."""

import tracemalloc

import pytest

from providers.base import Provider, Usage
from providers.errors import Changed, NoSpace
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing import ProviderBenchmarks, ProviderSuite
from providers.testing.memory import MemoryHarness


class TestMemory(MemoryHarness, ProviderSuite):
    pass


class TestMemoryRates(MemoryHarness, ProviderBenchmarks):
    pass


def small_store() -> MemoryProvider:
    return MemoryProvider(MemoryOptions(size_bytes=1000))


def write(store: Provider, path: str, size: int) -> None:
    with store.create(path) as writer:
        writer.write(b"x" * size)
        writer.commit()


def test_capacity_bounds_commits_and_open_writers() -> None:
    """What does not fit raises NoSpace, leaves the old content, and gives its room back."""
    store = small_store()
    write(store, "file", 600)
    with pytest.raises(NoSpace):
        write(store, "file", 401)
    assert store.stat("file").size == 600
    with store.create("open") as writer:
        writer.write(b"x" * 400)
        assert store.usage("").available == 0
        with pytest.raises(NoSpace):
            write(store, "other", 1)
    assert store.usage("") == Usage(used=600, available=400)
    with pytest.raises(NoSpace):
        store.create("hinted", size_hint=401)
    with pytest.raises(NoSpace):
        store.copy("file", "twin")
    write(store, "file", 400)
    store.copy("file", "twin")
    store.rename("twin", "file", overwrite=True)
    assert store.usage("") == Usage(used=400, available=600)
    store.remove("file")
    assert store.usage("") == Usage(used=0, available=1000)


def test_capacity_survives_every_way_of_failing() -> None:
    """A refused commit and a modification that shrinks, grows or fails account for each byte."""
    store = small_store()
    write(store, "file", 100)
    with store.create("file", expect=store.stat("file").version) as writer:
        writer.write(b"x" * 300)
        write(store, "file", 200)
        with pytest.raises(Changed):
            writer.commit()
    assert store.usage("").used == 200
    with store.modify("file") as writer:
        writer.truncate(50)
        writer.write_at(60, b"x" * 10)
        writer.commit()
    assert store.usage("").used == 70
    with store.modify("file") as writer, pytest.raises(NoSpace):
        writer.write(b"x" * 1000)
    assert store.usage("").used == 70


def test_a_hole_costs_nothing() -> None:
    """A file of 5 GiB with a few bytes fits into a store of a MiB, and in memory."""
    store = MemoryProvider(MemoryOptions(size_bytes=1024 * 1024))
    write(store, "file", 0)
    tracemalloc.start()
    with store.modify("file") as writer:
        writer.truncate(5 * 1024**3)
        writer.write_at(3 * 1024**3 + 7, b"middle")
        writer.commit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024 * 1024
    with store.open("file") as reader:
        assert reader.read_at(3 * 1024**3 + 5, 10) == b"\0\0middle\0\0"


def test_two_stores_share_no_version() -> None:
    """A client's version of an earlier run never stands for other bytes in this one."""
    first, second = small_store(), small_store()
    write(first, "file", 1)
    write(second, "file", 2)
    assert first.stat("file").version != second.stat("file").version


def test_a_modification_keeps_the_attributes() -> None:
    """Extended attributes belong to the file: a modification keeps them, a new content does not."""
    store = small_store()
    write(store, "file", 10)
    store.set_xattrs("file", {"key": b"value"})
    with store.modify("file") as writer:
        writer.write(b"more")
        writer.commit()
    assert store.xattrs("file") == {"key": b"value"}
    write(store, "file", 10)
    assert store.xattrs("file") == {}
