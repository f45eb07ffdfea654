"""The store against a model in a few lines of Python, over random histories."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from vfs.state.base import Depth, LockRecord, PropertyName, Scope, StateStore
from vfs.state.errors import Invalid, LockConflict, NoSuchLock, NotLockOwner

# Names that lie next to each other in any order of bytes, or mean something to some pattern.
NAMES = ["a", "ab", "a%", "_", "0", "a'", "\udcff"]
PATHS = st.lists(st.sampled_from(NAMES), max_size=3).map(lambda names: "/" + "/".join(names))
PROPERTY_NAMES = st.tuples(st.sampled_from(["", "n"]), st.sampled_from(["p", "%"]))
PEOPLE = st.sampled_from(["ann", "bob"])


def is_beneath(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def covers(lock: LockRecord, path: str) -> bool:
    return lock.path == path or (lock.depth is Depth.INFINITY and is_beneath(path, lock.path))


class StateMachine(RuleBasedStateMachine):
    """Does the same to two stores on one state, turn by turn, and to plain dictionaries."""

    opener: Callable[[Path, Callable[[], int]], StateStore]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 10**18
        self.turn = 0
        self.stores = [
            type(self).opener(Path(self.folder.name), lambda: self.now) for _ in range(2)
        ]
        self.locks: dict[str, LockRecord] = {}
        self.taken: list[LockRecord] = []
        self.properties: dict[str, dict[PropertyName, str]] = {}

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    @property
    def store(self) -> StateStore:
        self.turn += 1
        return self.stores[self.turn % 2]

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.now += seconds * 10**9
        self.locks = {
            token: lock for token, lock in self.locks.items() if lock.expires_at_ns > self.now
        }

    @rule(
        path=PATHS,
        depth=st.sampled_from(Depth),
        scope=st.sampled_from(Scope),
        principal=PEOPLE,
        seconds=st.integers(1, 200),
    )
    def acquire(
        self, *, path: str, depth: Depth, scope: Scope, principal: str, seconds: int
    ) -> None:
        in_the_way = {
            lock.token
            for lock in self.locks.values()
            if Scope.EXCLUSIVE in (scope, lock.scope)
            and (covers(lock, path) or (depth is Depth.INFINITY and is_beneath(lock.path, path)))
        }
        refused: set[str] = set()
        try:
            lock = self.store.acquire(
                path, principal=principal, depth=depth, scope=scope, seconds=seconds
            )
        except LockConflict as conflict:
            refused = {lock.token for lock in conflict.locks}
        else:
            assert (lock.path, lock.depth, lock.scope) == (path, depth, scope)
            self.locks[lock.token] = lock
            self.taken.append(lock)
        assert refused == in_the_way

    @rule(which=st.integers(0, 10), principal=PEOPLE, seconds=st.integers(1, 200))
    def refresh(self, which: int, principal: str, seconds: int) -> None:
        if not self.taken:
            return
        lock = self.taken[which % len(self.taken)]
        token = lock.token
        try:
            renewed = self.store.refresh(lock, principal, seconds)
        except NoSuchLock:
            assert token not in self.locks
        except NotLockOwner:
            assert self.locks[token].principal != principal
        else:
            assert self.locks[token].principal == principal
            assert renewed.expires_at_ns == self.now + seconds * 10**9
            self.locks[token] = renewed

    @rule(which=st.integers(0, 10))
    def release(self, which: int) -> None:
        if not self.taken:
            return
        lock = self.taken[which % len(self.taken)]
        token = lock.token
        try:
            self.store.release(lock)
        except NoSuchLock:
            assert token not in self.locks
        else:
            del self.locks[token]

    @rule(
        path=PATHS,
        sets=st.dictionaries(PROPERTY_NAMES, st.text("x%'\U0001f600", max_size=3), max_size=3),
        removes=st.lists(PROPERTY_NAMES, max_size=2),
    )
    def set_properties(
        self, path: str, sets: dict[PropertyName, str], removes: list[PropertyName]
    ) -> None:
        self.store.set_properties(path, sets, removes)
        kept = self.properties.setdefault(path, {})
        for name in removes:
            kept.pop(name, None)
        kept.update(sets)
        if not kept:
            del self.properties[path]

    def _forget(self, path: str, *, own_lock: bool) -> None:
        for other in [other for other in self.properties if is_beneath(other, path)]:
            del self.properties[other]
        for token, lock in list(self.locks.items()):
            if is_beneath(lock.path, path) and (own_lock or lock.path != path):
                del self.locks[token]

    @rule(path=PATHS)
    def drop_tree(self, path: str) -> None:
        self.store.drop_tree(path)
        self._forget(path, own_lock=True)

    @rule(path=PATHS)
    def drop_properties(self, path: str) -> None:
        self.store.drop_properties(path)
        for other in [other for other in self.properties if is_beneath(other, path)]:
            del self.properties[other]

    @rule(path=PATHS, there=st.frozensets(PATHS, max_size=4))
    def prune(self, *, path: str, there: frozenset[str]) -> None:
        self.store.prune(path, there.__contains__)
        for other in [other for other in self.properties if is_beneath(other, path)]:
            if other not in there:
                del self.properties[other]
        self.locks = {
            token: lock
            for token, lock in self.locks.items()
            if lock.path in there or not is_beneath(lock.path, path)
        }

    @rule(old=PATHS, new=PATHS, move=st.booleans())
    def transplant(self, *, old: str, new: str, move: bool) -> None:
        call = self.store.move_tree if move else self.store.copy_tree
        try:
            call(old, new)
        except Invalid:
            assert is_beneath(old, new) or is_beneath(new, old)
            return
        assert not is_beneath(old, new)
        assert not is_beneath(new, old)
        self._forget(new, own_lock=False)
        moved = {
            new + path[len(old) :]: dict(kept)
            for path, kept in self.properties.items()
            if is_beneath(path, old)
        }
        if move:
            self._forget(old, own_lock=True)
        self.properties.update(moved)

    @rule(path=PATHS)
    def look(self, path: str) -> None:
        locks = self.locks.values()
        store = self.store
        assert store.properties(path) == self.properties.get(path, {})
        assert by_token(store.locks_on(path)) == by_token(
            [lock for lock in locks if covers(lock, path)]
        )
        assert by_token(store.locks_beneath(path)) == by_token(
            [lock for lock in locks if is_beneath(lock.path, path)]
        )
        prefix = path.rstrip("/") + "/"
        members = {
            other: other[len(prefix) :]
            for other in {*self.properties, *(lock.path for lock in locks)}
            if other.startswith(prefix) and other != prefix and "/" not in other[len(prefix) :]
        }
        expected = {
            name: self.properties[other]
            for other, name in members.items()
            if other in self.properties
        }
        assert store.properties_of_children(path) == expected
        assert store.properties_of_children(path, NAMES) == expected
        children = store.locks_of_children(path)
        assert set(children) == {
            name for other, name in members.items() if any(lock.path == other for lock in locks)
        }
        for name, found in children.items():
            assert by_token(found) == by_token(
                [lock for lock in locks if lock.path == prefix + name]
            )

    @invariant()
    def both_know_whether_there_is_a_lock(self) -> None:
        assert [store.any_locks() for store in self.stores] == [bool(self.locks)] * 2


def by_token(locks: list[LockRecord]) -> dict[str, LockRecord]:
    found = {lock.token: lock for lock in locks}
    assert len(found) == len(locks)
    return found


def run(backend: Any, examples: int, steps: int) -> None:
    class Machine(StateMachine):
        @staticmethod
        def opener(folder: Path, now_ns: Callable[[], int]) -> StateStore:
            store: StateStore = type(backend)(folder).open(now_ns)
            return store

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_it_behaves_like_the_model(backend: Any) -> None:
    """Locks, properties and trees agree with the model after every step."""
    run(backend, examples=25, steps=30)


@pytest.mark.stateful
@pytest.mark.timeout(900)
def test_it_behaves_like_the_model_for_long(backend: Any) -> None:
    """The same over thousands of steps; HEADGATE_STEPS sets how many."""
    steps = int(os.environ.get("HEADGATE_STEPS", "5000"))
    run(backend, examples=max(1, steps // 100), steps=100)
