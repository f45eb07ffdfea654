"""Cheap requests are answered in the loop, and nothing in the loop ever waits."""

import fcntl
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from providers import waiting
from providers.base import Entry, Reader
from providers.local import LocalOptions, LocalProvider
from providers.memory import MemoryOptions, MemoryProvider
from providers.pinned import Pinned
from providers.wrap import LatencyProvider
from tests.vfs.http.conftest import Reply, Serve, Served, Wire
from vfs.auth.caller import Caller
from vfs.dav.door import handlers, prompt_rules
from vfs.dav.parts import Parts
from vfs.http import promptness
from vfs.http.gate import Gate
from vfs.http.loop import SENDING_MAX
from vfs.http.promptness import Promptness
from vfs.http.visit import Visit
from vfs.state.follower import Follower
from vfs.state.sqlite import SqliteStore
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

BIG = 1 << 30
PATIENCE_SECONDS = 1.5
"""What a request beside a stalled one may take at most: far less than any stall here lasts."""


LEAST = 30
"""Requests, so that one that is slow by chance is not the ninety-ninth of a hundred."""


class Told(LocalProvider):
    """A local store that notes in which kind of thread it is asked, and may be slow."""

    def __init__(self, root: Path) -> None:
        super().__init__(LocalOptions(root=root))
        self.threads: list[str] = []
        self.delay_seconds = 0.0

    def stat(self, path: str) -> Entry:
        self.note()
        return super().stat(path)

    def open(self, path: str) -> Reader:
        self.note()
        return super().open(path)

    def note(self) -> None:
        in_pool = threading.current_thread().name == "request"
        self.threads.append("pool" if in_pool else "loop")
        time.sleep(self.delay_seconds)


class Site:
    """A gateway in this process: a local store at /local, a slow one at /far."""

    def __init__(self, folder: Path, serve: Serve) -> None:
        self.root = folder / "files"
        (self.root / "d").mkdir(parents=True)
        (self.root / "small").write_bytes(b"small")
        with (self.root / "big").open("wb") as big:
            big.truncate(BIG)
        self.local = Told(self.root)
        far = MemoryProvider(MemoryOptions())
        with far.create("f") as writer:
            writer.commit()
        self.far = LatencyProvider(far, 2.0)
        self.store = SqliteStore(folder / "state.db")
        self.tree = Tree(
            MountTable([Mount("/local", [self.local]), Mount("/far", [self.far])]),
        )
        self.tree.events.follow(Follower(self.store, self.tree.exists).follow)
        self.visits: list[Visit] = []
        self.known = True
        gate = Gate(
            handlers(self.tree, self.store, Parts(self.store, folder / "uploads")),
            authenticate=self._authenticate,
            ended=self.visits.append,
            prompt=Promptness(prompt_rules(self.tree, self.store)),
        )
        self.served: Served = serve(gate)
        self.local.health()

    def _authenticate(self, _headers: Mapping[str, str], address: str) -> Caller:
        if not self.known:
            waiting.begin()
        return Caller(name="u", address=address)

    def ask(self, method: str, path: str, *lines: str, body: bytes = b"") -> Reply:
        """Send one request and return the reply; `threads` is then what it was asked in."""
        self.local.threads.clear()
        return self.served.ask(request(method, path, *lines, body=body), method)

    def places(self) -> set[str]:
        """Return in which kinds of threads the store was asked since the last request began."""
        return set(self.local.threads)

    def ended(self, count: int) -> list[Visit]:
        """Return the visits, once there are so many of them."""
        end = time.monotonic() + 5
        while len(self.visits) < count and time.monotonic() < end:
            time.sleep(0.005)
        return self.visits

    def p99(self, seconds: float) -> float:
        """Return how long small reads take meanwhile, all but the slowest of a hundred."""
        took: list[float] = []
        with closing(self.served.dial()) as wire:
            end = time.monotonic() + seconds
            while time.monotonic() < end or len(took) < LEAST:
                began = time.monotonic()
                wire.send(request("GET", "/local/small"))
                assert wire.reply().body == b"small"
                took.append(time.monotonic() - began)
        return statistics.quantiles(took, n=100)[-1]


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: h", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*head, "", "")).encode() + body


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
        ("COPY", "/local/small", ("Destination: /local/copied",), b""),
        ("PUT", "/local/new", ("X-OC-Mtime: 1",), b"body"),
        ("PUT", "/local/new", (), b"x" * 70_000),
        ("MKCOL", "/local/e", ("Content-Type: application/xml",), b"<a/>"),
        ("MOVE", "/local/small", ("Destination: /far/moved",), b""),
        ("LOCK", "/local/small", (), b"<a/>"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_take_its_time_goes_to_the_pool(
    site: Site, method: str, path: str, lines: tuple[str, ...], body: bytes
) -> None:
    site.far.delay_seconds = 0.0
    site.ask(method, path, *lines, body=body)
    assert site.places() <= {"pool"}


def test_what_is_locked_or_has_properties_goes_to_the_pool(site: Site) -> None:
    """Forgetting them may have to wait for another writer of the state."""
    site.store.set_properties("/local/small", {("n", "a"): "<a/>"})
    assert site.ask("MOVE", "/local/small", "Destination: /local/moved").status == 201
    assert site.places() == {"pool"}
    assert site.store.properties("/local/moved")


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
    """A file system that cannot tell (tmpfs) has everything in memory, or says so for all."""
    path = site.root / "cold"
    path.write_bytes(os.urandom(1 << 20))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with site.local.open("cold") as reader:
        assert reader.read_now(512 * 1024, 4096) is None
        warm = reader.read_at(512 * 1024, 4096)
        assert reader.read_now(512 * 1024, 4096) in (warm, None)


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


# What one client or one store does, and what the others notice of it


def test_a_store_that_stalls_holds_up_nobody_else(site: Site) -> None:
    wires = [site.served.dial() for _ in range(20)]
    for wire in wires:
        wire.send(request("GET", "/far/f"))
    assert site.p99(0.5) < PATIENCE_SECONDS
    assert [wire.reply().status for wire in wires] == [200] * 20


@contextmanager
def _not_reading(site: Site, path: str, count: int) -> Iterator[list[Wire]]:
    wires = [site.served.dial(receive_bytes=16 * 1024) for _ in range(count)]
    for wire in wires:
        wire.send(request("GET", path))
    time.sleep(0.1)
    yield wires
    for wire in wires:
        wire.close()


def test_clients_that_stop_reading_a_large_file_hold_up_nobody_else(site: Site) -> None:
    with _not_reading(site, "/local/big", 60):
        assert site.p99(0.5) < PATIENCE_SECONDS


def test_clients_that_stop_reading_small_files_hold_up_nobody_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer does not fit into what the system keeps for the peer: the loop holds the rest."""
    data = os.urandom(60_000)
    (site.root / "page").write_bytes(data)
    really = socket.socket.setsockopt

    def narrow(sock: socket.socket, *args: int) -> None:
        really(sock, socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        really(sock, *args)

    monkeypatch.setattr(socket.socket, "setsockopt", narrow)
    with _not_reading(site, "/local/page", SENDING_MAX + 20) as wires:
        monkeypatch.undo()
        assert site.p99(0.3) < PATIENCE_SECONDS
        for wire in wires:
            assert wire.reply().body == data
            wire.send(request("GET", "/local/small"))
            assert wire.reply().body == b"small"


def test_a_client_that_goes_while_the_loop_holds_its_answer_leaves_nothing(site: Site) -> None:
    (site.root / "page").write_bytes(os.urandom(60_000))
    site.ask("GET", "/local/small")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        wire = site.served.dial(receive_bytes=4096)
        wire.send(request("GET", "/local/page"))
        wire.close()
    end = time.monotonic() + 10
    while len(list(Path("/proc/self/fd").iterdir())) > before and time.monotonic() < end:
        time.sleep(0.02)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert len(site.ended(51)) == 51
