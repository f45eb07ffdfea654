"""Cheap requests are answered in the loop, and whatever would wait there goes to the pool."""

import fcntl
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from providers import pinned
from providers.local import LocalOptions, LocalProvider
from providers.pinned import Pinned
from tests.vfs.http.conftest import Serve
from tests.vfs.http.prompt_site import PATIENCE_SECONDS, Site, request
from vfs.http import promptness
from vfs.state import connections

LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


@pytest.fixture
def site(tmp_path: Path, serve: Serve) -> Iterator[Site]:
    made = Site(tmp_path, serve)
    yield made
    made.served.close()
    made.store.close()


@pytest.mark.parametrize(
    ("method", "path", "lines", "body"),
    [
        ("GET", "/local/small", (), b""),
        ("HEAD", "/local/big", (), b""),
        ("PROPFIND", "/local/small", ("Depth: 0",), b""),
        ("PROPFIND", "/local/d", ("Depth: 1",), b""),
        ("PUT", "/local/new", (), b"body"),
        ("MKCOL", "/local/e", (), b""),
        ("MOVE", "/local/small", ("Destination: /local/moved",), b""),
        ("COPY", "/local/small", ("Destination: /local/copied",), b""),
        ("LOCK", "/local/small", (), LOCK),
        ("DELETE", "/local/small", (), b""),
        ("DELETE", "/local/d", (), b""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_cheap_never_leaves_the_loop(
    site: Site, method: str, path: str, lines: tuple[str, ...], body: bytes
) -> None:
    assert site.ask(method, path, *lines, body=body).status in (200, 201, 204, 207)
    assert site.places() == {"loop"}


@pytest.mark.parametrize(
    ("method", "path", "lines", "body"),
    [
        ("COPY", "/local/small", ("Destination: /far/copied",), b""),
        ("PUT", "/local/new", ("X-OC-Mtime: 1",), b"body"),
        ("PUT", "/local/new", (), b"x" * 70_000),
        ("MKCOL", "/local/e", ("Content-Type: application/xml",), b"<a/>"),
        ("MOVE", "/local/small", ("Destination: /far/moved",), b""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_take_its_time_goes_to_the_pool(
    site: Site, method: str, path: str, lines: tuple[str, ...], body: bytes
) -> None:
    site.far.delay_seconds = 0.0
    site.ask(method, path, *lines, body=body)
    assert site.places() <= {"pool"}


def test_a_folder_that_holds_something_is_emptied_in_the_pool(site: Site) -> None:
    (site.root / "d" / "sub").mkdir()
    (site.root / "d" / "sub" / "f").write_bytes(b"")
    assert site.ask("DELETE", "/local/d").status == 204
    assert site.places() == {"loop", "pool"}
    assert not (site.root / "d").exists()


def test_what_is_locked_or_has_properties_goes_to_the_pool(site: Site) -> None:
    """Forgetting them may have to wait for another writer of the state."""
    site.store.set_properties("/local/small", {("n", "a"): "<a/>"})
    assert site.ask("MOVE", "/local/small", "Destination: /local/moved").status == 201
    assert site.places() == {"pool"}
    assert site.store.properties("/local/moved")


def test_a_lock_on_a_free_name_makes_its_file_in_the_pool(site: Site) -> None:
    """Once the lock is taken nothing can start anew."""
    assert site.ask("LOCK", "/local/new", body=LOCK).status == 201
    assert site.places() == {"loop", "pool"}
    assert (site.root / "new").read_bytes() == b""
    assert len(site.store.locks_on("/local/new")) == 1


def test_a_lock_waits_in_the_pool_for_who_writes_to_the_state(site: Site) -> None:
    """Another process may keep the file; the loop goes on, and the lock comes when it can."""
    other = sqlite3.connect(site.store._lend._file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with closing(site.served.dial()) as wire:
        wire.send(request("LOCK", "/local/small", body=LOCK))
        began = time.monotonic()
        assert site.ask("GET", "/local/small").body == b"small"
        assert time.monotonic() - began < PATIENCE_SECONDS
        other.execute("ROLLBACK")
        assert wire.reply().status == 200
    other.close()
    assert len(site.store.locks_on("/local/small")) == 1


def test_the_log_of_the_state_is_written_back_in_the_pool(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "COMMITS_KEPT", 4)
    threads: list[str] = []
    really = connections._Pool._write_back

    def write_back(pool: connections._Pool, connection: connections._Connection) -> None:
        threads.append(threading.current_thread().name)
        really(pool, connection)
        assert not connection.in_transaction

    monkeypatch.setattr(connections._Pool, "_write_back", write_back)
    for _ in range(6):
        reply = site.ask("LOCK", "/local/small", body=LOCK)
        token = reply.headers["lock-token"]
        assert site.ask("UNLOCK", "/local/small", f"Lock-Token: {token}").status == 204
    assert threads == ["request", "request"]
    assert site.store.locks_on("/local/small") == []


def test_a_file_that_is_not_in_memory_is_read_in_the_pool(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = []
    really = Pinned.read_at

    def read_at(reader: Pinned, offset: int, size: int) -> bytes:
        readers.append(threading.current_thread().name)
        return really(reader, offset, size)

    monkeypatch.setattr(Pinned, "read_now", lambda *_args: None)
    monkeypatch.setattr(Pinned, "read_at", read_at)
    assert site.ask("GET", "/local/small").body == b"small"
    assert readers == ["request"]


def test_a_real_page_cache_miss_is_told(site: Site) -> None:
    """A file system that cannot tell says so for all."""
    path = site.root / "cold"
    path.write_bytes(os.urandom(1 << 20))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with site.local.open("cold") as reader:
        assert reader.read_now(512 * 1024, 4096) is None
        warm = reader.read_at(512 * 1024, 4096)
        assert reader.read_now(512 * 1024, 4096) in (warm, None)


def test_what_lies_on_no_disk_is_always_there() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        Path(folder, "f").write_bytes(b"content")
        store = LocalProvider(LocalOptions(root=Path(folder)))
        with closing(store), store.open("f") as reader:
            assert reader.read_now(0, 7) == b"content"
            assert reader.read_now(0, 8) is None


@pytest.mark.parametrize("kind", ["large", "holes", "cold"])
def test_what_is_not_copied_at_once_is_copied_in_the_pool(
    site: Site, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.root / kind
    path.write_bytes(b"x" * (100_000 if kind == "large" else 5))
    if kind == "holes":
        os.truncate(path, 60_000)
    if kind == "cold":
        monkeypatch.setattr(pinned, "read_now", lambda *_args, **_more: None)
    content = path.read_bytes()
    assert site.ask("COPY", f"/local/{kind}", "Destination: /local/copied").status == 201
    assert site.places() == {"loop", "pool"}
    assert (site.root / "copied").read_bytes() == content
    assert sorted(file.name for file in site.root.iterdir()) == sorted(
        ["big", "copied", "d", kind, "small"]
    )


def test_a_credential_that_is_not_known_yet_is_verified_in_the_pool(site: Site) -> None:
    site.known = False
    assert site.ask("GET", "/local/small").status == 200
    assert site.places() == {"pool"}


def test_a_connection_that_was_in_the_pool_comes_back_to_the_loop(site: Site) -> None:
    """Also when the next request was sent before the answer to the one before was read."""
    wire = site.served.dial()
    wire.send(request("COPY", "/local/small", "Destination: /local/copied"))
    for _ in range(20):
        time.sleep(0.002)
        wire.send(request("GET", "/local/small"))
    replies = [wire.reply() for _ in range(21)]
    assert [reply.status for reply in replies] == [201, *[200] * 20]
    site.local.threads.clear()
    wire.send(request("GET", "/local/small"))
    assert wire.reply().status == 200
    assert site.places() == {"loop"}


def test_a_request_that_goes_over_to_the_pool_is_counted_once(site: Site) -> None:
    site.ask("COPY", "/local/small", "Destination: /local/copied")
    site.ask("GET", "/local/small")
    assert [(visit.method, visit.status, visit.whole) for visit in site.ended(2)] == [
        ("COPY", 201, True),
        ("GET", 200, True),
    ]


def test_a_body_that_is_not_there_yet_does_not_hold_up_the_loop(site: Site) -> None:
    slow = site.served.dial()
    slow.send(request("PUT", "/local/new", "Content-Length: 4"))
    slow.send(b"ab")
    assert site.p99(0.2) < PATIENCE_SECONDS
    slow.send(b"cd")
    assert slow.reply().status == 201
    assert (site.root / "new").read_bytes() == b"abcd"


def test_what_took_too_long_goes_to_the_pool_from_then_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.local.delay_seconds = 2 * promptness.SLOW_SECONDS
    site.ask("GET", "/local/small")
    assert site.places() == {"loop"}
    site.local.delay_seconds = 0.0
    site.ask("GET", "/local/small")
    assert site.places() == {"pool"}
    site.ask("PROPFIND", "/local/small", "Depth: 0")
    assert site.places() == {"loop"}
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + promptness.REST_SECONDS)
    site.ask("GET", "/local/small")
    assert site.places() == {"loop"}


def test_requests_in_one_packet_are_answered_in_order(site: Site) -> None:
    wire = site.served.dial()
    paths = ["/local/small", "/local/none", "/local/small", "/local/d", "/local/small"]
    wire.send(b"".join(request("GET", path) for path in paths))
    assert [wire.reply().status for _ in paths] == [200, 404, 200, 200, 200]


def test_a_folder_that_another_program_keeps_locked_does_not_hold_up_the_loop(site: Site) -> None:
    lock = os.open(site.root, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    blocked = site.served.dial()
    blocked.send(request("DELETE", "/local/small-not", body=b""))
    assert blocked.reply().status == 404
    (site.root / "doomed").write_bytes(b"")
    blocked.send(request("DELETE", "/local/doomed"))
    assert site.p99(0.2) < PATIENCE_SECONDS
    assert (site.root / "doomed").exists()
    os.close(lock)
    assert blocked.reply("DELETE").status == 204
    assert not (site.root / "doomed").exists()
