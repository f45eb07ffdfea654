"""Dead properties: kept exactly, listed by folder, changed all or nothing, moved with trees."""

import os
from typing import Any

import pytest

from vfs.state import limits
from vfs.state.base import Depth, PropertyName, StateStore
from vfs.state.errors import Invalid, TooLarge, TooMany

P: PropertyName = ("urn:x", "p")
Q: PropertyName = ("", "q")

HOSTILE = [
    "plain",
    "per%cent",
    "under_score",
    "quo'te",
    'dou"ble',
    "back\\slash",
    "new\nline",
    "smile\U0001f600",
    "e\u0301",
    "\u00e9",
    "*?[a-z]",
    "'; DROP TABLE property; --",
    "x' OR '1'='1",
    "$where",
    "a.b",
    "{ns}name",
    "?1",
    ":key",
    os.fsdecode(b"\xff\xfe bytes \x80"),
    " ",
    "0",
    "~",
]


def test_properties_are_kept_exactly(store: StateStore, other: StateStore) -> None:
    """Every name and value comes back as it was given, whatever it holds, in any store."""
    sets = {
        (namespace, name): value
        for namespace, name, value in zip(
            HOSTILE, reversed(HOSTILE), HOSTILE[3:] + HOSTILE[:3], strict=True
        )
    }
    for name in HOSTILE:
        store.set_properties(f"/{name}", sets)
    for name in HOSTILE:
        assert other.properties(f"/{name}") == sets
    assert other.properties_of_children("/") == dict.fromkeys(HOSTILE, sets)
    assert other.properties_of_children("/", names=HOSTILE[:9]) == dict.fromkeys(HOSTILE[:9], sets)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tree_is_a_tree_whatever_its_name(store: StateStore, name: str) -> None:
    """Moving, copying and dropping touch the named tree and no name that resembles it."""
    near = [name + "0", name + ".", name + "x", name + " ", "z" + name, name + "%", name[:-1] + "_"]
    near = [entry for entry in near if entry != name]
    for entry in (name, *near):
        store.set_properties(f"/f/{entry}", {P: "top"})
        store.set_properties(f"/f/{entry}/m/{name}", {P: "deep"})
    before = store.properties_of_children("/f", near)
    store.copy_tree(f"/f/{name}", f"/copy/{name}{name}")
    store.move_tree(f"/f/{name}", f"/moved '{name}")
    assert store.properties(f"/copy/{name}{name}/m/{name}") == {P: "deep"}
    assert store.properties(f"/moved '{name}") == {P: "top"}
    assert store.properties_of_children(f"/moved '{name}/m") == {name: {P: "deep"}}
    assert store.properties(f"/f/{name}") == store.properties(f"/f/{name}/m/{name}") == {}
    store.drop_tree(f"/moved '{name}")
    assert store.properties(f"/moved '{name}/m/{name}") == {}
    assert store.properties_of_children("/f") == before
    for entry in near:
        assert store.properties(f"/f/{entry}/m/{name}") == {P: "deep"}


def test_children_are_one_level_deep(store: StateStore) -> None:
    """A listing has the members' own properties: not the folder's, not those further down."""
    for path in ("/", "/a", "/a/b", "/a/b/c", "/ab", "/ab/c"):
        store.set_properties(path, {P: path})
    assert store.properties_of_children("/") == {"a": {P: "/a"}, "ab": {P: "/ab"}}
    assert store.properties_of_children("/a") == {"b": {P: "/a/b"}}
    assert store.properties_of_children("/a/b/c") == {}
    assert store.properties_of_children("/", names=["ab", "none", ""]) == {"ab": {P: "/ab"}}
    assert store.properties_of_children("/", names=[]) == {}
    assert store.properties("/") == {P: "/"}


def test_setting_replaces_and_removing_is_forgiving(store: StateStore) -> None:
    store.set_properties("/a", {P: "1", Q: "2"})
    store.set_properties("/a", {P: "3"}, removes=[Q, ("no", "such")])
    assert store.properties("/a") == {P: "3"}
    store.set_properties("/a", {P: "4"}, removes=[P])
    assert store.properties("/a") == {P: "4"}
    store.set_properties("/a", {}, removes=[P])
    assert store.properties("/a") == {}
    store.set_properties("/a", {})
    assert store.properties_of_children("/") == {}


def _too_large() -> dict[PropertyName, str]:
    return {P: "v" * (limits.PROPERTY_BYTES_MAX - len("urn:xp") + 1)}


def _too_many() -> dict[PropertyName, str]:
    return {("n", str(number)): "v" for number in range(limits.PROPERTIES_PER_RESOURCE_MAX)}


def _too_much() -> dict[PropertyName, str]:
    count = limits.RESOURCE_BYTES_MAX // 60_000 + 1
    return {("n", str(number)): "v" * 60_000 for number in range(count)}


@pytest.mark.parametrize(
    ("sets", "error"),
    [
        (_too_large(), TooLarge),
        (_too_many(), TooMany),
        (_too_much(), TooLarge),
        ({("n", ""): "v"}, Invalid),
        ({("n", "p"): "\ud800"}, Invalid),
        ({("n", "p\ud800"): "v"}, Invalid),
    ],
    ids=["value", "count", "sum", "nameless", "surrogate value", "surrogate name"],
)
def test_a_refused_change_changes_nothing(
    store: StateStore, sets: dict[PropertyName, str], error: type[Exception]
) -> None:
    """When one property is refused none is set and none removed."""
    store.set_properties("/a", {Q: "old", ("n", "gone"): "old"})
    before = store.properties("/a")
    with pytest.raises(error):
        store.set_properties("/a", {Q: "new", **sets}, removes=[("n", "gone")])
    assert store.properties("/a") == before


def test_what_the_limits_allow_is_taken(store: StateStore) -> None:
    largest = {P: "v" * (limits.PROPERTY_BYTES_MAX - len("urn:xp"))}
    store.set_properties("/a", largest)
    assert store.properties("/a") == largest
    store.set_properties("/b", _too_many())
    assert len(store.properties("/b")) == limits.PROPERTIES_PER_RESOURCE_MAX


def test_a_move_takes_properties_and_leaves_locks_to_die(store: StateStore) -> None:
    """Properties go along and replace the target's; the source's locks die, the target's stays."""
    store.set_properties("/s", {P: "s"})
    store.set_properties("/s/m", {P: "m"})
    store.set_properties("/t", {Q: "old"})
    store.set_properties("/t/old", {Q: "old"})
    for path in ("/s", "/s/m", "/t", "/t/old", "/sx", "/tx"):
        store.acquire(path, principal="ann", depth=Depth.ZERO)
    store.move_tree("/s", "/t")
    assert store.properties_of_children("/") == {"t": {P: "s"}}
    assert store.properties_of_children("/t") == {"m": {P: "m"}}
    assert [lock.path for lock in store.locks_beneath("/")] == ["/sx", "/t", "/tx"]


def test_a_copy_has_the_properties_and_no_lock(store: StateStore) -> None:
    store.set_properties("/s", {P: "s"})
    store.set_properties("/s/m", {P: "m"})
    store.set_properties("/t/old", {Q: "old"})
    for path in ("/s", "/s/m", "/t", "/t/old"):
        store.acquire(path, principal="ann", depth=Depth.ZERO)
    store.copy_tree("/s", "/t")
    assert store.properties_of_children("/") == {"s": {P: "s"}, "t": {P: "s"}}
    assert store.properties_of_children("/t") == store.properties_of_children("/s")
    assert [lock.path for lock in store.locks_beneath("/")] == ["/s", "/s/m", "/t"]


def test_a_dropped_tree_leaves_nothing(store: StateStore) -> None:
    """Locks and properties die with their resource; an inherited lock above it does not."""
    for path in ("/", "/a", "/a/b", "/ab"):
        store.set_properties(path, {P: path})
    for path in ("/", "/a", "/a/b", "/ab"):
        store.acquire(path, principal="ann", depth=Depth.ZERO)
    store.drop_tree("/a")
    assert store.properties_of_children("/") == {"ab": {P: "/ab"}}
    assert [lock.path for lock in store.locks_beneath("/")] == ["/", "/ab"]
    store.drop_tree("/")
    assert store.properties("/") == {}
    assert store.properties_of_children("/") == {}
    assert not store.any_locks()


@pytest.mark.parametrize(
    ("source", "target"), [("/a", "/a"), ("/a", "/a/b"), ("/a/b", "/a"), ("/", "/a"), ("/a", "/")]
)
def test_a_tree_cannot_go_into_itself(store: StateStore, source: str, target: str) -> None:
    store.set_properties("/a/b", {P: "x"})
    for call in (store.move_tree, store.copy_tree):
        with pytest.raises(Invalid):
            call(source, target)
    assert store.properties("/a/b") == {P: "x"}


def test_siblings_that_begin_alike_are_apart(store: StateStore) -> None:
    store.set_properties("/a", {P: "x"})
    store.move_tree("/a", "/ab")
    store.copy_tree("/ab", "/abc")
    assert store.properties_of_children("/") == {"ab": {P: "x"}, "abc": {P: "x"}}


def test_properties_survive_a_restart(backend: Any) -> None:
    with backend.open() as store:
        store.set_properties("/a", {P: "x"})
    with backend.open() as store:
        assert store.properties("/a") == {P: "x"}
