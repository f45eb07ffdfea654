"""What is the embedded back end's own: its file, its connections, its plain words on failure."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from vfs.state.base import Depth, LockRecord, PropertyName, Scope
from vfs.state.errors import Busy, Damaged, Full, LockConflict, StateError, Unavailable
from vfs.state.schema import MIGRATIONS, VERSION
from vfs.state.sqlite import SqliteStore

P: PropertyName = ("urn:x", "p")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_nothing_is_made_before_the_first_use(file: Path) -> None:
    with SqliteStore(file) as store:
        assert not file.exists()
        store.health()
        assert file.exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_we_can_read_it(file: Path, umask: int) -> None:
    """The file and SQLite's companions are closed to others under any umask, and become so."""
    old = os.umask(umask)
    try:
        with SqliteStore(file) as store:
            store.set_properties("/a", {P: "x"})
            names = {entry.name: mode(entry) for entry in file.parent.iterdir()}
            assert names == dict.fromkeys(
                [file.name, *(f"{file.name}-{more}" for more in ("wal", "shm", "commits"))], 0o600
            )
        file.chmod(0o664)
        with SqliteStore(file) as store:
            store.health()
            assert mode(file) == 0o600
    finally:
        os.umask(old)


def not_sqlite(file: Path) -> None:
    file.write_bytes(b"this is no database" * 500)


def cut(file: Path) -> None:
    with SqliteStore(file) as store:
        for number in range(2000):
            store.set_properties(f"/{number}", {P: "x" * 100})
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 4096 * 30)


def newer(file: Path) -> None:
    with SqliteStore(file) as store:
        store.health()
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def foreign(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE song (title TEXT)")
    connection.close()


def folder(file: Path) -> None:
    file.mkdir()


def no_folder(file: Path) -> None:
    file.parent.rmdir()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (not_sqlite, Damaged, "damaged"),
        (cut, Damaged, "restore the file"),
        (newer, Unavailable, "upgrade the gateway"),
        (foreign, Unavailable, "another program"),
        (folder, Unavailable, "unable to open"),
        (no_folder, Unavailable, "No such file"),
    ],
)
def test_a_file_that_cannot_serve_gives_one_clear_sentence(
    file: Path, spoil: Callable[[Path], None], error: type[StateError], words: str
) -> None:
    """The error names the cause and the file, is not the library's, and leaves the file alone."""
    spoil(file)
    before = file.read_bytes() if file.is_file() else b""
    with SqliteStore(file, wait_seconds=0.2) as store:
        for _ in range(2):
            with pytest.raises(error, match=words) as caught:
                store.set_properties("/a", {P: "x"})
            assert str(file) in str(caught.value)
            assert str(file) not in caught.value.detail
            assert "\n" not in str(caught.value)
    assert before == (file.read_bytes() if file.is_file() else b"")


def test_a_full_disk_is_said_and_spares_what_is_there(file: Path) -> None:
    """A write that does not fit is refused whole; reading and smaller writes go on."""
    with SqliteStore(file) as store:
        store.set_properties("/a", {P: "old"})
        with store._lend.read() as connection:
            connection.execute("PRAGMA max_page_count = 50")

        def fill() -> None:
            for number in range(100):
                store.set_properties("/a", {P: f"{number}", ("n", str(number)): "v" * 9000})

        with pytest.raises(Full):
            fill()
        kept = store.properties("/a")
        assert len(kept) - 2 == int(kept[P])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_file_of_somebody_else_is_refused_plainly(file: Path) -> None:
    with SqliteStore(file) as store:
        store.health()
    code = f"""
import os, sys
from pathlib import Path
from vfs.state.sqlite import SqliteStore
from vfs.state.errors import Unavailable
os.setgid(65534)
os.setuid(65534)
try:
    SqliteStore(Path({str(file)!r})).health()
except Unavailable as error:
    print(error)
"""
    file.parent.chmod(0o755)
    done = run(code)
    assert "Permission denied" in done or "unable to open" in done


def run(code: str) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", code],
        env=env, check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip


def test_a_writer_that_does_not_end_makes_others_busy_not_wrong(file: Path) -> None:
    """Another process's open transaction lets readers read and writers fail with Busy in time."""
    with SqliteStore(file, wait_seconds=0.2) as store:
        store.set_properties("/a", {P: "x"})
        blocker = sqlite3.connect(file, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        assert store.properties("/a") == {P: "x"}
        with pytest.raises(Busy) as caught:
            store.set_properties("/a", {P: "y"})
        assert caught.value.temporary
        blocker.execute("ROLLBACK")
        blocker.close()
        store.set_properties("/a", {P: "z"})
        assert store.properties("/a") == {P: "z"}


def test_many_threads_share_one_store_and_leave_few_connections(file: Path) -> None:
    """Threads come and go; each sees its own writes, and what stays open is bounded."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                store.set_properties(f"/{number}", {P: str(step)})
                assert store.properties(f"/{number}") == {P: str(step)}
        except BaseException as error:
            failures.append(error)

    with SqliteStore(file) as store:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(store.properties_of_children("/")) == 40
        assert descriptors(file) <= 8 * 3
    assert descriptors(file) == 0


def descriptors(file: Path) -> int:
    links = (entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return sum(str(link.readlink()).startswith(str(file)) for link in links)


def test_a_closed_store_says_so(file: Path) -> None:
    store = SqliteStore(file)
    store.health()
    store.close()
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        store.properties("/a")


def test_what_is_lent_while_the_store_closes_is_closed_when_it_comes_back(file: Path) -> None:
    store = SqliteStore(file)
    with store._lend.read():
        store.close()
        assert descriptors(file) > 0
    assert descriptors(file) == 0


def test_writers_that_read_first_wait_for_each_other(file: Path) -> None:
    """No change fails because another store changed something after it began to read."""
    failures: list[BaseException] = []

    def work(store: SqliteStore, path: str) -> None:
        try:
            lock = store.acquire(path, principal="ann")
            for _ in range(300):
                store.refresh(lock, "ann")
        except BaseException as error:
            failures.append(error)

    stores = [SqliteStore(file) for _ in range(3)]
    threads = [
        threading.Thread(target=work, args=(store, f"/{number}"))
        for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert failures == []


def test_a_forked_child_has_connections_of_its_own(file: Path) -> None:
    """Parent and child both work after a fork, and the child's end does not harm the parent."""
    printed = run(f"""
import os
from pathlib import Path
from vfs.state.sqlite import SqliteStore
store = SqliteStore(Path({str(file)!r}))
store.set_properties("/a", {{("n", "parent"): "1"}})
inherited = list(store._lend._pool()._idle)
for number in range(3):
    child = os.fork()
    if child == 0:
        assert store.properties("/a")
        store.set_properties("/a", {{("n", f"child{{number}}"): "2"}})
        assert not set(map(id, store._lend._pool()._idle)) & set(map(id, inherited))
        store.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.set_properties("/a", {{("n", f"after{{number}}"): "3"}})
print(len(store.properties("/a")))
store.close()
""")
    assert printed == "7\n"


def test_opening_at_once_makes_one_file(file: Path) -> None:
    """Twelve stores that first open a new file at the same moment all serve."""
    stores = [SqliteStore(file) for _ in range(12)]
    barrier = threading.Barrier(len(stores))
    failures: list[BaseException] = []

    def work(store: SqliteStore, number: int) -> None:
        try:
            barrier.wait()
            store.set_properties(f"/{number}", {P: "x"})
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(store, number)) for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(stores[0].properties_of_children("/")) == 12
    for store in stores:
        store.close()


def test_no_query_reads_a_whole_table(file: Path) -> None:
    """Every statement that runs per request finds its rows by an index."""
    with SqliteStore(file) as store:
        store.set_properties("/a", {P: "x"})
        lock = store.acquire("/a/b", principal="ann")
        seen: list[str] = []
        with store._lend.read() as connection:
            connection.set_trace_callback(seen.append)
        store.locks_on("/a/b/c")
        store.locks_beneath("/a")
        store.locks_of_children("/a")
        store.refresh(lock, "ann")
        store.acquire("/z", principal="ann")
        store.set_properties("/a", {P: "y"}, removes=[("n", "q")])
        store.properties_of_children("/")
        store.properties_of_children("/", names=["a"])
        store.copy_tree("/a", "/b")
        store.move_tree("/a", "/c")
        store.drop_tree("/c")
        store.uploads("ann")
        store.stale_uploads(untouched_seconds=1)
        queries = [text for text in seen if text.split()[0] not in ("BEGIN", "COMMIT")]
        assert len(queries) > 20
        with store._lend.read() as connection:
            connection.set_trace_callback(None)
            for query in queries:
                plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
                assert not any(row[3].startswith("SCAN") for row in plan), (query, plan)


LOCKS_OF_VERSION_1 = [
    # token, path, folder, name, infinite, exclusive; the rest is like each other's
    ("opaquelocktoken:1", b"", b"", b"", 1, 0),
    ("opaquelocktoken:2", b"/a", b"", b"a", 0, 0),
    ("opaquelocktoken:3", b"/a", b"", b"a", 0, 0),
    ("opaquelocktoken:4", b"/a/\xff", b"/a", b"\xff", 1, 0),
    ("opaquelocktoken:5", b"/gone", b"", b"gone", 1, 1),
]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_locks_outlive_an_upgrade(file: Path, version: int) -> None:
    """A lock that an older gateway granted holds, covers what it did, and ends as it would have."""
    now = 1_700_000_000 * 10**9
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for step in MIGRATIONS[:version]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        for number, row in enumerate(LOCKS_OF_VERSION_1):
            expires = now - 1 if row[1] == b"/gone" else now + number * 10**9 + 10**9
            connection.execute(
                "INSERT INTO lock VALUES (?,?,?,?,?,?,x'3c6f2f3e',x'616e6e',60,?,?)",
                (*row, now + number, expires),
            )
    clock = [now]
    with SqliteStore(file, now_ns=lambda: clock[0]) as store:
        assert [lock.token[-1] for lock in store.locks_on("/a/\udcff")] == ["1", "4"]
        assert [lock.token[-1] for lock in store.locks_on("/a")] == ["1", "2", "3"]
        assert [lock.token[-1] for lock in store.locks_beneath("/")] == ["1", "2", "3", "4"]
        assert set(store.locks_of_children("/")) == {"a"}
        (_, last) = store.locks_on("/a/\udcff")
        assert last == LockRecord(
            token="opaquelocktoken:4",
            path="/a/\udcff",
            depth=Depth.INFINITY,
            scope=Scope.SHARED,
            owner_xml="<o/>",
            principal="ann",
            timeout_seconds=60,
            created_at_ns=now + 3,
            expires_at_ns=now + 4 * 10**9,
        )
        assert store.refresh(last, "ann").token == last.token
        store.release(last)
        with pytest.raises(LockConflict):
            store.acquire("/a", principal="bob")
        clock[0] += 10 * 10**9
        assert not store.any_locks()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
