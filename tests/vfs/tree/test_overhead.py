"""The tree is thin: flat memory on huge folders, a fraction of the provider's own time."""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from providers.base import Entry
from providers.local import LocalOptions, LocalProvider
from vfs.auth.caller import ANONYMOUS
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

pytestmark = pytest.mark.slow

ENTRIES = 100_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProvider]:
    root = tmp_path_factory.mktemp("many")
    folder = root / "many"
    folder.mkdir()
    for number in range(ENTRIES):
        (folder / f"file-{number:06}").touch()
    provider = LocalProvider(LocalOptions(root=Path(root)))
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def tree(store: LocalProvider) -> Tree:
    return Tree(MountTable([Mount("/m", [store])]))


def _drain(entries: Iterable[Entry]) -> int:
    return sum(1 for _ in entries)


def _seconds(work: Callable[[], int]) -> float:
    start = time.thread_time()
    assert work() == ENTRIES
    return time.thread_time() - start


def test_a_folder_of_100_000_lists_in_flat_memory(tree: Tree) -> None:
    """Under a mebibyte at any moment, whatever the folder holds."""
    _drain(tree.scandir(ANONYMOUS, "/m/many"))
    tracemalloc.start()
    try:
        assert _drain(tree.scandir(ANONYMOUS, "/m/many")) == ENTRIES
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_listing_through_the_tree_adds_less_than_a_quarter(
    store: LocalProvider, tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    """Medians of interleaved rounds, in time of this thread alone."""
    raw, through = [], []
    for _ in range(7):
        raw.append(_seconds(lambda: _drain(store.scandir("many"))))
        through.append(_seconds(lambda: _drain(tree.scandir(ANONYMOUS, "/m/many"))))
    ratio = statistics.median(through) / statistics.median(raw)
    with capsys.disabled():
        print(f"\nlisting {ENTRIES} entries: provider {statistics.median(raw):.3f} s, x{ratio:.3f}")
    assert ratio < 1.25


def test_stat_and_open_through_the_tree(
    store: LocalProvider, tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    """The price of parsing, rights, mount and breaker, in microseconds."""
    rounds = 5000

    def cost(work: Callable[[], object]) -> float:
        start = time.thread_time()
        for _ in range(rounds):
            work()
        return (time.thread_time() - start) / rounds * 1e6

    path, below = "/m/many/file-000001", "many/file-000001"
    pairs = {
        "stat": (lambda: store.stat(below), lambda: tree.stat(ANONYMOUS, path)),
        "open": (
            lambda: store.open(below).close(),
            lambda: tree.open(ANONYMOUS, path).close(),
        ),
    }
    for name, (raw, through) in pairs.items():
        costs = [(cost(raw), cost(through)) for _ in range(5)]
        own = statistics.median(c[0] for c in costs)
        added = statistics.median(c[1] for c in costs) - own
        with capsys.disabled():
            print(f"\n{name}: provider {own:.1f} us, the tree adds {added:.1f} us")
        assert added < 25
