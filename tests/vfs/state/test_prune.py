"""Pruning forgets what is gone and keeps what stayed; a new resource starts without properties."""

import pytest

from vfs.state.base import Depth, StateStore

P = ("urn:x", "p")


def _fill(store: StateStore, *paths: str) -> None:
    for path in paths:
        store.set_properties(path, {P: path})
        store.acquire(path, principal="ann", depth=Depth.ZERO)


def _known(store: StateStore, path: str) -> bool:
    has_property, has_lock = (
        bool(store.properties(path)),
        any(lock.path == path for lock in store.locks_on(path)),
    )
    assert has_property is has_lock, path
    return has_property


def test_prune_forgets_exactly_what_is_gone(store: StateStore, other: StateStore) -> None:
    stays = {"/d", "/d/s", "/d/s/kept", "/e", "/dd", "/d0"}
    gone = {"/d/f", "/d/s/f", "/d/s/kept0", "/d/t", "/d/t/f"}
    _fill(store, *stays, *gone)
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        other.set_properties("/elsewhere", {P: "1"})  # so no transaction is open
        return path in stays

    store.prune("/d", exists)
    assert {path for path in stays | gone if _known(other, path)} == stays
    assert set(asked) == {path for path in stays | gone if path == "/d" or path.startswith("/d/")}


def test_prune_of_the_root_reaches_everything(store: StateStore) -> None:
    _fill(store, "/", "/a", "/a/b/c")
    store.prune("/", lambda path: path != "/a")
    assert [_known(store, path) for path in ("/", "/a", "/a/b/c")] == [True, False, True]


def test_prune_goes_page_by_page(store: StateStore) -> None:
    """More than one page, in folders of which some end within a page."""
    names = [f"/d/{folder}/{name}" for folder in range(7) for name in range(200)]
    for name in names:
        store.set_properties(name, {P: "1", ("", "q"): "2"})
    store.prune("/d", lambda path: path.endswith("7"))
    left = [name for name in names if store.properties(name)]
    assert left == [name for name in names if name.endswith("7")]


def test_prune_that_fails_keeps_what_it_did_not_come_to(store: StateStore) -> None:
    _fill(store, "/d/a", "/d/b")

    def exists(path: str) -> bool:
        if path == "/d/b":
            raise OSError
        return False

    with pytest.raises(OSError):  # noqa: PT011 - the very error that was raised above
        store.prune("/d", exists)
    assert _known(store, "/d/b")


def test_drop_properties_keeps_locks(store: StateStore) -> None:
    _fill(store, "/d", "/d/f", "/e")
    store.drop_properties("/d")
    assert store.properties("/d") == store.properties("/d/f") == {}
    assert len(store.locks_beneath("/d")) == 2
    assert store.properties("/e") == {P: "/e"}


def test_a_shallow_copy_takes_the_own_properties_alone(store: StateStore) -> None:
    for path in ("/d", "/d/f", "/e/old", "/e"):
        store.set_properties(path, {P: path})
    store.set_properties("/e", {("", "q"): "old"})
    store.copy_tree("/d", "/e", shallow=True)
    assert store.properties("/e") == {P: "/d"}
    assert store.properties("/e/f") == store.properties("/e/old") == {}
    assert store.properties("/d/f") == {P: "/d/f"}
