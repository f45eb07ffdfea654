"""What is remembered of the state holds only until anybody commits, in any process."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vfs.state.commits import Commits
from vfs.state.errors import NoSuchLock, Unavailable
from vfs.state.sqlite import SqliteStore

P = ("n", "a")

_OTHER = """
for line in sys.stdin:
    what, path = line.split()
    if what == "lock":
        print(store.acquire(path, principal="p").token, flush=True)
    elif what == "property":
        store.set_properties(path, {("n", "a"): "x"})
        print("set", flush=True)
    else:
        store.drop_tree(path)
        print("dropped", flush=True)
store.close()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "state.db"
    file.touch()
    return file


def test_a_commit_changes_the_number(file: Path) -> None:
    here, there = Commits(file), Commits(file)
    before = here.now()
    begun = there.begin()
    assert here.now() is None
    there.end(begun)
    assert here.now() == there.now() != before


def test_who_ends_late_does_not_hide_who_has_begun_since(file: Path) -> None:
    one, other = Commits(file), Commits(file)
    first = one.begin()
    second = other.begin()
    one.end(first)
    assert one.now() is None
    other.end(second)
    assert one.now() is not None


def test_a_number_that_was_seen_half_way_does_not_come_again(file: Path) -> None:
    """A late end may be written over a begin; the number after that one's end is another."""
    commits = Commits(file)
    first = commits.begin()
    second = commits.begin()
    commits._map[:] = (first + 1).to_bytes(8, "little")
    seen = commits.now()
    commits.end(second)
    assert commits.now() not in (None, seen)


def test_one_that_was_killed_while_it_committed_leaves_nothing_to_remember(file: Path) -> None:
    here = Commits(file)
    code = f"""
import os
from pathlib import Path
from vfs.state.commits import Commits
Commits(Path({str(file)!r})).begin()
os.kill(os.getpid(), 9)
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == -9
    assert here.now() is None
    here.end(here.begin())
    assert here.now() is not None


def test_what_another_process_commits_is_known_at_once(backend: Any) -> None:
    """Nothing is remembered beyond the moment in which another process has answered."""
    other = backend.start(_OTHER)

    def ask(what: str, path: str) -> str:
        other.stdin.write(f"{what} {path}\n")
        other.stdin.flush()
        return str(other.stdout.readline()).strip()

    with backend.open() as store:
        for number in range(20):
            path = f"/{number}"
            assert not store.any_locks()
            assert not store.knows(path)
            token = ask("lock", path)
            assert store.any_locks()
            (lock,) = store.locks_on(path)
            assert lock.token == token
            store.release(lock)
            assert not store.any_locks()
            assert store.properties(path) == {}
            ask("property", path)
            assert store.knows(path)
            assert store.properties(path) == {P: "x"}
            assert store.properties_of_children("/") == {path[1:]: {P: "x"}}
            ask("drop", path)
            assert not store.knows(path)
            assert store.properties(path) == {}


def test_what_is_known_is_not_asked_again(file: Path) -> None:
    with SqliteStore(file) as store:
        store.health()
        seen: list[str] = []
        with store._lend.read() as connection:
            connection.set_trace_callback(seen.append)
        for _ in range(3):
            assert not store.any_locks()
            assert not store.knows("/a")
            assert store.locks_on("/a") == []
            assert store.properties("/a") == {}
            store.drop_properties("/a")
        assert len(seen) == 2


def test_a_transaction_that_is_given_up_is_told_as_well(file: Path) -> None:
    with SqliteStore(file) as store:
        lock = store.acquire("/a", principal="p")
        store.release(lock)
        assert not store.any_locks()
        with pytest.raises(NoSuchLock):
            store.release(lock)
        assert store._lend.now() is not None
        assert not store.any_locks()


def test_a_number_that_cannot_be_kept_is_refused(file: Path) -> None:
    """Else this process would change what others believe to be the same."""
    file.with_name("state.db-commits").mkdir()
    with SqliteStore(file) as store, pytest.raises(Unavailable, match="directory"):
        store.health()
    sqlite3.connect(file).close()
