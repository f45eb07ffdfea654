"""How long the state store takes: what a request to WebDAV pays for locks and properties."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vfs.state.base import Depth
from vfs.state.sqlite import SqliteStore

pytestmark = pytest.mark.bench


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        store.health()
        yield store


def microseconds(action: Callable[[], object], times: int) -> float:
    action()
    start = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - start) / times * 1e6


def show(what: str, took: float, unit: str = "us") -> None:
    print(f"\n{what}: {took:.1f} {unit}")


def test_locks(store: SqliteStore) -> None:
    show("any_locks, none", microseconds(store.any_locks, 5000))
    show(
        "locks_on, four folders deep, none", microseconds(lambda: store.locks_on("/a/b/c/d"), 5000)
    )
    for number in range(1000):
        store.acquire(f"/x/{number}", principal="ann", depth=Depth.ZERO)
    store.acquire("/a/b", principal="ann")
    show("any_locks, 1001", microseconds(store.any_locks, 5000))
    show("locks_on, inherited, 1001", microseconds(lambda: store.locks_on("/a/b/c/d"), 5000))

    def pair() -> None:
        store.release(store.acquire("/q/r", principal="ann"))

    show("acquire and release, 1001 others", microseconds(pair, 2000))
    took = microseconds(lambda: store.locks_of_children("/x"), 20)
    show("locks_of_children, 1000", took / 1000, "ms")


def test_properties(store: SqliteStore, tmp_path: Path) -> None:
    """Reading a folder of 1,000 among 100,000 properties stays within milliseconds."""
    fill(store, tmp_path / "state.sqlite")
    sets = {("urn:x", "p"): "v" * 100, ("urn:x", "q"): "w" * 100}
    show("set_properties, 2", microseconds(lambda: store.set_properties("/new/f", sets), 2000))
    show("properties", microseconds(lambda: store.properties("/d/50/500"), 5000))
    whole = microseconds(lambda: store.properties_of_children("/d/50"), 20) / 1000
    show("properties_of_children, 1000 of 100000", whole, "ms")
    names = [str(number) for number in range(100)]
    page = microseconds(lambda: store.properties_of_children("/d/50", names), 100) / 1000
    show("properties_of_children, a page of 100", page, "ms")
    empty = microseconds(lambda: store.properties_of_children("/none", names), 1000)
    show("properties_of_children, none there", empty)
    assert len(store.properties_of_children("/d/50")) == 1000
    assert whole < 50
    start = time.perf_counter()
    store.move_tree("/d", "/moved")
    show("move_tree, 100000", (time.perf_counter() - start) * 1000, "ms")
    start = time.perf_counter()
    store.drop_tree("/moved/50")
    show("drop_tree, 1000", (time.perf_counter() - start) * 1000, "ms")


def fill(store: SqliteStore, file: Path) -> None:
    """Write a hundred folders of a thousand files with one property each, quickly."""
    connection = sqlite3.connect(file)
    connection.executemany(
        "INSERT INTO property VALUES (?,?,?,?,?)",
        (
            (b"/d/%d" % folder, b"%d" % number, b"urn:x", b"p", b"v" * 100)
            for folder in range(100)
            for number in range(1000)
        ),
    )
    connection.commit()
    connection.close()
    assert store.properties("/d/99/999") == {("urn:x", "p"): "v" * 100}
