"""A gateway with a prompt store and a far one, which tells in which threads it is asked."""

import statistics
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from providers import waiting
from providers.base import Entry, Reader, Writer
from providers.local import LocalOptions, LocalProvider
from providers.memory import MemoryOptions, MemoryProvider
from providers.wrap import LatencyProvider
from tests.vfs.http.conftest import Reply, Serve, Served
from vfs.auth.caller import Caller
from vfs.dav.door import handlers, prompt_rules
from vfs.dav.parts import Parts
from vfs.http.gate import Gate
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

    def look(self, path: str) -> Entry | None:
        # One that waits asks by `stat`, which notes it itself.
        if waiting.is_refused():
            self.note()
        return super().look(path)

    def open(self, path: str) -> Reader:
        self.note()
        return super().open(path)

    def create(
        self,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> Writer:
        self.note()
        return super().create(path, overwrite=overwrite, expect=expect, size_hint=size_hint)

    def mkdir(self, path: str) -> Entry:
        self.note()
        return super().mkdir(path)

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
        self.store.health()

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
