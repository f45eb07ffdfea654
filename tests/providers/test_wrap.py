"""The wrappers keep the contract, and each does its one thing."""

import time
from collections.abc import Iterator

import pytest

from providers.base import Provider
from providers.errors import (
    Denied,
    InvalidPath,
    NoSpace,
    NotADirectory,
    NotFound,
    Unavailable,
    Unsupported,
)
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing import ProviderSuite
from providers.testing.harness import get, names, put, together
from providers.testing.memory import MemoryHarness
from providers.wrap import FaultProvider, LatencyProvider, PrefixProvider, ReadOnlyProvider


class TestPrefix(MemoryHarness, ProviderSuite):
    """The suite in a subfolder, with neighbours that no test may meet."""

    root = "outer/inner"

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        super().make_provider()
        self.memory.mkdir("outer")
        self.memory.mkdir("outer/inner")
        for path in ("outside", "outer/outside", "outer/inner2"):
            put(self.memory, path, b"untouched")
        yield PrefixProvider(self.memory, "outer/inner")
        assert names(self.memory) == {"outside", "outer"}
        assert names(self.memory, "outer") == {"outside", "inner", "inner2"}
        for path in ("outside", "outer/outside", "outer/inner2"):
            assert get(self.memory, path) == b"untouched"


class TestLatency(MemoryHarness, ProviderSuite):
    def make_provider(self) -> Provider:
        super().make_provider()
        return LatencyProvider(self.memory, 0)


class TestFault(MemoryHarness, ProviderSuite):
    """The suite with no fault armed."""

    def make_provider(self) -> Provider:
        super().make_provider()
        return FaultProvider(self.memory)


class TestReadOnly(MemoryHarness, ProviderSuite):
    def make_provider(self) -> Provider:
        super().make_provider()
        return ReadOnlyProvider(self.memory)


@pytest.fixture
def memory() -> MemoryProvider:
    store = MemoryProvider(MemoryOptions())
    store.mkdir("folder")
    put(store, "folder/file", b"0123456789")
    return store


def test_prefix_refuses_a_way_out(memory: MemoryProvider) -> None:
    """Neither the prefix nor a path below it may climb."""
    for prefix in ("..", "/folder", "folder/..", "folder/", "folder//x"):
        with pytest.raises(InvalidPath):
            PrefixProvider(memory, prefix)
    inside = PrefixProvider(memory, "folder")
    for path in ("..", "../folder/file", "/file"):
        with pytest.raises(InvalidPath):
            inside.open(path)
    with pytest.raises(InvalidPath):
        inside.rename("file", "../moved")
    assert names(memory) == {"folder"}


def test_prefix_keeps_its_root(memory: MemoryProvider) -> None:
    """The root has no name, and stays even when it is empty."""
    inside = PrefixProvider(memory, "folder")
    assert inside.stat("").name == ""
    assert inside.set_mtime("", 5).name == ""
    inside.remove("file")
    with pytest.raises(Denied):
        inside.rmdir("")
    assert memory.stat("folder").is_folder


def test_prefix_tells_when_its_folder_is_missing(memory: MemoryProvider) -> None:
    """A mount whose folder is gone, or is a file, is not healthy."""
    with pytest.raises(NotFound):
        PrefixProvider(memory, "missing").health()
    with pytest.raises(NotADirectory):
        PrefixProvider(memory, "folder/file").health()


def test_read_only_says_so(memory: MemoryProvider) -> None:
    """The cause is named, and sweeping does nothing."""
    store = ReadOnlyProvider(memory)
    with pytest.raises(Unsupported, match="read-only"):
        store.create("file")
    assert store.sweep(older_than_seconds=0) == 0
    assert get(store, "folder/file") == b"0123456789"


def test_latency_delays_each_call(memory: MemoryProvider) -> None:
    """Calls wait, those of readers too; entries of a listing do not."""
    store = LatencyProvider(memory, 0.02)
    begin = time.perf_counter()
    with store.open("folder/file") as reader:
        reader.read_at(0, 1)
    assert time.perf_counter() - begin >= 0.04
    for number in range(100):
        put(memory, f"folder/{number}", b"")
    begin = time.perf_counter()
    assert len(names(store, "folder")) == 101
    assert time.perf_counter() - begin < 1


def test_a_fault_comes_and_goes(memory: MemoryProvider) -> None:
    """Only the named operation fails, as often as told, until healed."""
    store = FaultProvider(memory)
    store.fail("stat", Unavailable, times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.stat("folder")
    assert store.stat("folder").is_folder
    store.fail("stat", Unavailable)
    store.fail("open", NotFound)
    for _ in range(5):
        with pytest.raises(Unavailable):
            store.stat("folder")
    assert names(store) == {"folder"}
    store.heal()
    assert store.stat("folder").is_folder
    assert get(store, "folder/file") == b"0123456789"
    with pytest.raises(ValueError, match="'reed'"):
        store.fail("reed", Unavailable)


def test_a_fault_cuts_a_reader(memory: MemoryProvider) -> None:
    """A reader fails after so many bytes."""
    store = FaultProvider(memory)
    store.fail("read_at", Unavailable, after=6)
    with store.open("folder/file") as reader:
        assert reader.read_at(0, 4) == b"0123"
        with pytest.raises(Unavailable):
            reader.read_at(4, 4)
        store.heal()
        assert reader.read_at(4, 4) == b"4567"


@pytest.mark.parametrize("operation", ["write", "commit"])
def test_a_fault_cuts_a_writer(memory: MemoryProvider, operation: str) -> None:
    """A writer that fails midway or at commit leaves the old content."""
    store = FaultProvider(memory)
    store.fail(operation, NoSpace, after=5 if operation == "write" else 0)
    with pytest.raises(NoSpace), store.create("folder/file") as writer:  # noqa: PT012 - any step may
        writer.write(b"12345")
        writer.write(b"67890")
        writer.commit()
    assert get(memory, "folder/file") == b"0123456789"
    assert memory.usage("").used == 10


def test_a_fault_cuts_a_listing(memory: MemoryProvider) -> None:
    """A listing fails after so many entries."""
    for number in range(10):
        put(memory, f"folder/{number}", b"")
    store = FaultProvider(memory)
    store.fail("entry", Unavailable, after=3)
    listing = store.scandir("folder")
    for _ in range(3):
        next(listing)
    with pytest.raises(Unavailable):
        next(listing)


def test_faults_are_counted_across_threads(memory: MemoryProvider) -> None:
    """Threads together meet just as many faults as were asked for."""
    store = FaultProvider(memory)
    store.fail("stat", Unavailable, after=10, times=7)

    def work(_number: int) -> int:
        failed = 0
        for _ in range(20):
            try:
                store.stat("folder")
            except Unavailable:
                failed += 1
        return failed

    assert sum(result for result in together(4, work) if isinstance(result, int)) == 7
