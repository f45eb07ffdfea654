"""Locks: who gets one, what it covers, how it ends."""

import math
import pickle
import re
from typing import Any

import msgspec
import pytest

from vfs.state import limits
from vfs.state.base import Depth, LockRecord, Scope, StateStore
from vfs.state.errors import Invalid, LockConflict, NoSuchLock, NotLockOwner, TooLarge, TooMany

ZERO, INFINITY = Depth.ZERO, Depth.INFINITY
EXCLUSIVE, SHARED = Scope.EXCLUSIVE, Scope.SHARED


def paths(locks: list[LockRecord]) -> list[str]:
    return sorted(lock.path for lock in locks)


def test_a_lock_says_what_was_granted(store: StateStore, clock: Any) -> None:
    """The record returned is the record kept, and its token is a fresh URN."""
    lock = store.acquire(
        "/a/b", principal="ann", scope=SHARED, depth=ZERO, owner_xml="<o>é</o>", seconds=60
    )
    assert re.fullmatch(r"opaquelocktoken:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lock.token)
    assert lock == LockRecord(
        lock.token, "/a/b", ZERO, SHARED, "<o>é</o>", "ann", 60, clock.ns, clock.ns + 60 * 10**9
    )
    assert store.locks_on("/a/b") == [lock]


CONFLICTS = [
    # what is held, what is asked, whether it is refused
    (("/a", ZERO), ("/a", ZERO), True),
    (("/a", INFINITY), ("/a/b/c", ZERO), True),
    (("/a", ZERO), ("/a/b", ZERO), False),
    (("/a/b/c", ZERO), ("/a", INFINITY), True),
    (("/a/b/c", ZERO), ("/a", ZERO), False),
    (("/a", INFINITY), ("/ab", INFINITY), False),
    (("/ab", INFINITY), ("/a", INFINITY), False),
    (("/a/x", INFINITY), ("/a/y", INFINITY), False),
    (("/", INFINITY), ("/a/b", ZERO), True),
    (("/a/b", ZERO), ("/", INFINITY), True),
    (("/", ZERO), ("/a", INFINITY), False),
    (("/a%", INFINITY), ("/ab/c", INFINITY), False),
    (("/a_c/d", ZERO), ("/abc", INFINITY), False),
    (("/a0", ZERO), ("/a", INFINITY), False),
    (("/a.", ZERO), ("/a", INFINITY), False),
]


@pytest.mark.parametrize(("held", "asked", "refused"), CONFLICTS)
@pytest.mark.parametrize(
    "scopes", [(EXCLUSIVE, EXCLUSIVE), (EXCLUSIVE, SHARED), (SHARED, EXCLUSIVE), (SHARED, SHARED)]
)
def test_locks_conflict_along_the_tree(
    store: StateStore,
    *,
    held: tuple[str, Depth],
    asked: tuple[str, Depth],
    refused: bool,
    scopes: tuple[Scope, Scope],
) -> None:
    """An exclusive lock tolerates none on its path, above with infinity, or beneath; shared do."""
    lock = store.acquire(held[0], depth=held[1], scope=scopes[0], principal="ann")
    if refused and EXCLUSIVE in scopes:
        with pytest.raises(LockConflict) as caught:
            store.acquire(asked[0], depth=asked[1], scope=scopes[1], principal="ann")
        assert caught.value.locks == (lock,)
        assert pickle.loads(pickle.dumps(caught.value)).locks == (lock,)
        assert store.locks_beneath("/") == [lock]
    else:
        store.acquire(asked[0], depth=asked[1], scope=scopes[1], principal="ann")
        assert paths(store.locks_beneath("/")) == sorted([held[0], asked[0]])


def test_a_conflict_names_every_lock_in_the_way_up_to_a_hundred(store: StateStore) -> None:
    for number in range(120):
        store.acquire(f"/a/{number}", principal="ann", depth=ZERO)
    with pytest.raises(LockConflict) as caught:
        store.acquire("/a", principal="bob")
    assert len(caught.value.locks) == limits.CONFLICTS_MAX


def test_shared_locks_do_not_hide_an_exclusive_one(store: StateStore) -> None:
    """However many shared locks lie in between, one exclusive beneath refuses a shared request."""
    for number in range(150):
        store.acquire(f"/a/{number:03}", principal="ann", scope=SHARED, depth=ZERO)
    exclusive = store.acquire("/a/z", principal="ann", depth=ZERO)
    with pytest.raises(LockConflict) as caught:
        store.acquire("/a", principal="bob", scope=SHARED)
    assert caught.value.locks == (exclusive,)


def test_locks_on_are_its_own_and_inherited(store: StateStore) -> None:
    for path, depth in (("/", INFINITY), ("/a", ZERO), ("/a/b", INFINITY), ("/a/b/c", ZERO)):
        store.acquire(path, principal="ann", scope=SHARED, depth=depth)
    assert paths(store.locks_on("/a/b/c")) == ["/", "/a/b", "/a/b/c"]
    assert paths(store.locks_on("/a")) == ["/", "/a"]
    assert paths(store.locks_on("/")) == ["/"]
    assert paths(store.locks_on("/ab")) == ["/"]
    assert paths(store.locks_beneath("/a/b")) == ["/a/b", "/a/b/c"]
    assert paths(store.locks_beneath("/a/b/c/d")) == []


@pytest.mark.parametrize("depth", [1, 15, 16, 17, 40, 500])
def test_inheritance_reaches_any_depth(store: StateStore, depth: int) -> None:
    deep = "/a" * depth
    top = store.acquire("/", principal="ann", scope=SHARED)
    low = store.acquire(deep, principal="ann", scope=SHARED)
    assert {lock.token for lock in store.locks_on(deep)} == {top.token, low.token}
    assert len(store.locks_on(deep + "/b")) == 2
    with pytest.raises(LockConflict):
        store.acquire(deep + "/b", principal="bob")


def test_locks_of_children_go_by_name_and_one_level(store: StateStore) -> None:
    for path in ("/", "/a", "/b/c", "/b", "/b/c/d"):
        store.acquire(path, principal="ann", scope=SHARED, depth=ZERO)
    store.acquire("/b", principal="bob", scope=SHARED, depth=ZERO)
    found = store.locks_of_children("/")
    assert {name: [lock.principal for lock in locks] for name, locks in found.items()} in (
        {"a": ["ann"], "b": ["ann", "bob"]},
        {"a": ["ann"], "b": ["bob", "ann"]},
    )
    assert list(store.locks_of_children("/b")) == ["c"]
    assert store.locks_of_children("/a") == {}


@pytest.mark.parametrize(
    ("asked", "granted"),
    [(None, 3600), (math.inf, 86_400), (4_100_000_000, 86_400), (1, 1), (0, 1), (-5, 1), (90, 90)],
)
def test_times_are_sane(store: StateStore, asked: float | None, granted: int) -> None:
    """No time asked gives an hour; no wish, however large, gives more than a day."""
    lock = store.acquire("/a", principal="ann", seconds=asked)
    assert lock.timeout_seconds == granted
    assert store.refresh(lock, "ann", asked).timeout_seconds == granted


def test_an_expired_lock_is_gone(store: StateStore, other: StateStore, clock: Any) -> None:
    lock = store.acquire("/a", principal="ann", seconds=10)
    clock.advance(9.9)
    assert store.any_locks()
    assert other.locks_on("/a/b") == [lock]
    clock.advance(0.1)
    assert not store.any_locks()
    assert store.locks_on("/a") == []
    assert other.locks_beneath("/") == []
    assert store.locks_of_children("/") == {}
    for refused in (
        lambda: store.release(lock),
        lambda: store.refresh(lock, "ann"),
    ):
        with pytest.raises(NoSuchLock):
            refused()
    assert other.acquire("/a/b", principal="bob").principal == "bob"


def test_refresh_begins_the_time_anew_for_the_holder_alone(store: StateStore, clock: Any) -> None:
    lock = store.acquire("/a", principal="ann", seconds=10)
    clock.advance(9)
    with pytest.raises(NotLockOwner):
        store.refresh(lock, "bob", 100)
    renewed = store.refresh(lock, "ann", 20)
    assert renewed.expires_at_ns == clock.ns + 20 * 10**9
    assert renewed.token == lock.token
    assert renewed.created_at_ns == lock.created_at_ns
    clock.advance(19)
    assert store.locks_on("/a") == [renewed]


def test_release_ends_a_lock_once(store: StateStore, other: StateStore) -> None:
    lock = store.acquire("/a", principal="ann")
    other.release(lock)
    assert store.locks_on("/a") == []
    with pytest.raises(NoSuchLock):
        store.release(lock)


@pytest.mark.parametrize("token", ["", "x", "é", "\udc80", "a\x00b", "' OR 1=1 --"])
def test_a_strange_token_is_no_lock(store: StateStore, token: str) -> None:
    lock = store.acquire("/a", principal="ann")
    strange = msgspec.structs.replace(lock, token=token)
    for call in (store.release, lambda strange: store.refresh(strange, "ann")):
        with pytest.raises(NoSuchLock):
            call(strange)
    assert store.locks_on("/a") == [lock]


def test_a_token_is_good_at_its_own_place_alone(store: StateStore) -> None:
    lock = store.acquire("/a", principal="ann")
    elsewhere = msgspec.structs.replace(lock, path="/b")
    for call in (store.release, lambda strange: store.refresh(strange, "ann")):
        with pytest.raises(NoSuchLock):
            call(elsewhere)
    assert store.locks_on("/a") == [lock]


def test_any_locks_sees_what_other_stores_do(store: StateStore, other: StateStore) -> None:
    for _ in range(3):
        assert not store.any_locks()
        lock = other.acquire("/a", principal="ann")
        assert store.any_locks()
        assert other.any_locks()
        store.release(lock)
        assert not other.any_locks()


def test_locks_survive_a_restart(backend: Any) -> None:
    with backend.open() as store:
        lock = store.acquire("/a", principal="ann")
    with backend.open() as store:
        assert store.locks_on("/a") == [lock]


def test_one_user_cannot_fill_the_store(
    store: StateStore, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live locks of one user are counted; expired ones and those of others are not."""
    monkeypatch.setattr(limits, "LOCKS_PER_PRINCIPAL_MAX", 3)
    for number in range(3):
        store.acquire(f"/{number}", principal="ann")
    with pytest.raises(TooMany, match="at most 3"):
        store.acquire("/x", principal="ann")
    store.acquire("/x", principal="bob")
    store.acquire("/o", principal="bob", owner_xml="o" * limits.OWNER_BYTES_MAX)
    clock.advance(limits.LOCK_SECONDS_MAX)
    store.acquire("/x", principal="ann")
    with pytest.raises(TooLarge):
        store.acquire("/y", principal="bob", owner_xml="o" * (limits.OWNER_BYTES_MAX + 1))


@pytest.mark.parametrize("path", ["", "a", "/a/", "//", "/a//b", "/a\x00", "/\ud800"])
def test_a_path_that_is_not_canonical_is_refused(store: StateStore, path: str) -> None:
    for call in (
        lambda: store.acquire(path, principal="ann"),
        lambda: store.locks_on(path),
        lambda: store.locks_beneath(path),
        lambda: store.locks_of_children(path),
        lambda: store.drop_tree(path),
        lambda: store.move_tree(path, "/x"),
        lambda: store.copy_tree("/x", path),
        lambda: store.properties(path),
        lambda: store.set_properties(path, {}),
    ):
        with pytest.raises(Invalid):
            call()
