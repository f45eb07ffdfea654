"""A store that is down hurts nobody but those who need it."""

import threading
from collections.abc import Callable, Iterator

import pytest

from providers.base import Entry, Reader
from providers.errors import NotFound, TimedOut, Unavailable
from providers.memory import MemoryOptions, MemoryProvider
from vfs.auth.caller import ANONYMOUS
from vfs.auth.rights import Rights
from vfs.tree.health import CALLS_AT_ONCE, FAILURES_TO_OPEN
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

Put = Callable[[Tree, str, bytes], str]
Get = Callable[[Tree, str], bytes]


class _Switched(MemoryProvider):
    """Answers, refuses or stalls, as told."""

    down = False
    asked = 0
    closed = False

    def __init__(self) -> None:
        super().__init__(MemoryOptions())
        self.gate = threading.Event()
        self.gate.set()

    def _meet(self) -> None:
        self.asked += 1
        self.gate.wait(30)
        if self.down:
            raise TimedOut

    def stat(self, path: str) -> Entry:
        self._meet()
        return super().stat(path)

    def scandir(self, path: str) -> Iterator[Entry]:
        self._meet()
        return super().scandir(path)

    def open(self, path: str) -> Reader:
        self._meet()
        return super().open(path)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def sick() -> _Switched:
    return _Switched()


@pytest.fixture
def beside(sick: _Switched, put: Put) -> Tree:
    """Mount the sick store at /sick and a healthy one at /well."""
    well = MemoryProvider(MemoryOptions())
    tree = Tree(MountTable([Mount("/sick", [sick]), Mount("/well", [well])]))
    put(tree, "/sick/f", b"1")
    put(tree, "/well/f", b"2")
    return tree


def test_a_dead_store_stays_listed_and_its_sibling_serves(
    beside: Tree, sick: _Switched, get: Get
) -> None:
    sick.down = True
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(TimedOut):
            beside.open(ANONYMOUS, "/sick/f")
    asked = sick.asked
    with pytest.raises(Unavailable) as caught:
        beside.open(ANONYMOUS, "/sick/f")
    assert caught.value.retry_after_seconds
    assert {entry.name for entry in beside.scandir(ANONYMOUS, "/")} == {"sick", "well"}
    assert beside.stat(ANONYMOUS, "/sick").is_folder
    assert sick.asked == asked
    assert beside.table.mounts["/sick"].down_seconds is not None
    assert beside.table.mounts["/well"].down_seconds is None
    assert get(beside, "/well/f") == b"2"


def test_a_stalled_store_holds_a_bounded_number_of_threads(
    beside: Tree, sick: _Switched, get: Get
) -> None:
    sick.gate.clear()
    threads = [
        threading.Thread(target=lambda: beside.stat(ANONYMOUS, "/sick/f"))
        for _ in range(CALLS_AT_ONCE)
    ]
    before = sick.asked
    for thread in threads:
        thread.start()
    try:
        while sick.asked < before + CALLS_AT_ONCE:
            pass
        with pytest.raises(Unavailable, match="waiting already"):
            beside.open(ANONYMOUS, "/sick/f")
        assert get(beside, "/well/f") == b"2"
    finally:
        sick.gate.set()
        for thread in threads:
            thread.join()


def test_reads_fail_over_to_the_next_replica_and_changes_do_not(
    sick: _Switched, put: Put, get: Get
) -> None:
    spare = MemoryProvider(MemoryOptions())
    tree = Tree(MountTable([Mount("/m", [sick, spare])]))
    put(Tree(MountTable([Mount("/m", [spare])])), "/m/f", b"spare")
    put(tree, "/m/f", b"first")
    assert get(tree, "/m/f") == b"first"
    sick.down = True
    assert get(tree, "/m/f") == b"spare"
    assert [entry.name for entry in tree.scandir(ANONYMOUS, "/m")] == ["f"]
    with pytest.raises(TimedOut):
        tree.create(ANONYMOUS, "/m/f")
    sick.down = False


def test_a_missing_file_of_the_primary_is_missing() -> None:
    """A replica is asked only when the primary is down, never when it says no."""
    first, spare = MemoryProvider(MemoryOptions()), MemoryProvider(MemoryOptions())
    with spare.create("f") as writer:
        writer.commit()
    tree = Tree(MountTable([Mount("/m", [first, spare])]))
    with pytest.raises(NotFound):
        tree.stat(ANONYMOUS, "/m/f")


def test_a_retired_store_is_closed_after_its_last_use(beside: Tree, sick: _Switched) -> None:
    reader = beside.open(ANONYMOUS, "/sick/f")
    listing = beside.scandir(ANONYMOUS, "/sick")
    writer = beside.create(ANONYMOUS, "/sick/g")
    replica = beside.table.mounts["/sick"].primary
    beside.remount(MountTable(), Rights())
    replica.retire()
    assert not sick.closed
    assert reader.read_at(0, 1) == b"1"
    reader.close()
    reader.close()
    assert [entry.name for entry in listing] == ["f"]
    assert not sick.closed
    writer.commit()
    writer.abort()
    assert sick.closed
