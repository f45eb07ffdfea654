"""A mount with a cache, through the gate: outages, marks, no-cache, neighbours, recovery."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.listings import Listings
from providers.cached import CachedProvider
from providers.errors import Changed, TimedOut, Unavailable
from providers.memory import MemoryOptions, MemoryProvider
from providers.testing.harness import put
from tests.providers.watched import Watched, content
from tests.vfs.dav.site import Site
from vfs.auth.caller import ANONYMOUS
from vfs.auth.rights import Rights, Rule
from vfs.tree.health import CALLS_AT_ONCE, Breaker
from vfs.tree.mounts import Mount, Replica

SIZE = 600_000
DATA = content("data", SIZE)
NEW = content("new", SIZE)
STALE = "{https://headgate.dev/ns}stale-seconds"
STATE = "{https://headgate.dev/ns}state"
ASK_STALE = '<prop><stale-seconds xmlns="https://headgate.dev/ns"/></prop>'
ASK_STATE = '<prop><state xmlns="https://headgate.dev/ns"/></prop>'
MARK = "headgate; hit; ttl=-"


class Mounted:
    """A gateway with the cached mount /far and the plain mount /near."""

    def __init__(self, folder: Path, rights: Rights | None = None) -> None:
        self.ahead_seconds = 0.0
        self.origin = Watched()
        self.origin.inner.mkdir("d")
        put(self.origin.inner, "d/f", DATA)
        self.blocks = BlockCache(folder / "cache", Limits(free_bytes=0))
        breaker = Breaker(clock=lambda: time.monotonic() + self.ahead_seconds)
        cached = CachedProvider(
            self.origin,
            self.blocks,
            Listings(self.blocks.database),
            "far",
            guard=breaker,
            clock=lambda: time.time() + self.ahead_seconds,
        )
        near = MemoryProvider(MemoryOptions())
        put(near, "f", b"near")
        far = Mount("/far", [Replica(cached, breaker, is_guarded=True)])
        self.site = Site(folder, [far, Mount("/near", [near])], rights=rights)

    def fail(self) -> None:
        """Take the origin down."""
        for operation in ("stat", "scandir", "open", "read_at", "create", "commit"):
            self.origin.fail(operation, Unavailable)

    def is_down(self) -> bool:
        """Tell whether the tree takes the origin for down."""
        return self.site.tree.table.mounts["/far"].down_seconds is not None

    def close(self) -> None:
        """Close all."""
        self.site.store.close()
        self.blocks.close()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Mounted]:
    mounted = Mounted(tmp_path)
    yield mounted
    mounted.close()


def test_hits_are_served_while_the_store_is_down(far: Mounted) -> None:
    """Marked, at once, however often misses fail; and all recovers without a restart."""
    site = far.site
    assert site("GET", "/far/d/f").body == DATA
    assert len(site.propfind("/far/d/", "<allprop/>", depth="1")) == 2
    far.fail()
    far.ahead_seconds = 60
    for _ in range(10):
        assert site("GET", "/far/d/missing-elsewhere").status == 404
        assert site("GET", "/far/other").status in (404, 503)
        assert site("PUT", "/far/d/f", b"x").status == 503
    assert far.is_down()
    began = time.monotonic()
    answer = site("GET", "/far/d/f")
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["cache-status"].startswith(MARK)
    assert site("HEAD", "/far/d/f").headers["cache-status"].startswith(MARK)
    part = site("GET", "/far/d/f", Range="bytes=10-19")
    assert (part.status, part.body) == (206, DATA[10:20])
    assert site("GET", "/far/d/", Accept="application/json").headers["cache-status"]
    told = site.propfind("/far/d/", ASK_STALE, depth="1")
    assert {href: member.text(STALE) for href, member in told.items()}.keys() == {
        "/far/d/",
        "/far/d/f",
    }
    assert all(int(member.text(STALE) or 0) > 0 for member in told.values())
    assert site("PROPFIND", "/far/d/", Depth="0").headers["cache-status"].startswith(MARK)
    (state,) = site.propfind("/far/", ASK_STATE).values()
    assert state.text(STATE) == "down"
    assert site("GET", "/near/f").body == b"near"
    assert time.monotonic() - began < 2
    far.origin.heal()
    far.ahead_seconds += 200
    answer = site("GET", "/far/d/f")
    assert "cache-status" not in answer.headers
    assert site.propfind("/far/d/f", ASK_STALE)["/far/d/f"].text(STALE) is None
    assert not far.is_down()
    assert site("PUT", "/far/d/f", b"x").status == 204
    assert site("GET", "/far/d/f").body == b"x"


def test_a_client_that_wants_no_cache_gets_the_truth(far: Mounted) -> None:
    site = far.site
    site("GET", "/far/d/f")
    site.propfind("/far/d/", "<allprop/>", depth="1")
    put(far.origin.inner, "d/f", NEW)
    put(far.origin.inner, "d/g", b"g")
    assert site("GET", "/far/d/f").body == DATA
    for wish in ({"Cache_Control": "No-Cache"}, {"Pragma": "no-cache"}):
        put(far.origin.inner, "d/f", NEW)
        assert site("GET", "/far/d/f", **wish).body == NEW
    put(far.origin.inner, "d/f", DATA)
    assert site("GET", "/far/d/f", Cache_Control="max-age=0").body == DATA
    answer = site("PROPFIND", "/far/d/", Depth="1", Cache_Control="no-cache")
    assert b"/far/d/g" in answer.body
    put(far.origin.inner, "d/f", NEW)
    head = site("HEAD", "/far/d/f", Cache_Control="no-cache")
    assert head.headers["etag"] == site("GET", "/far/d/f").headers["etag"]
    # It wants the truth or nothing; who asks without it is served as before.
    far.fail()
    assert site("GET", "/far/d/f", Cache_Control="no-cache").status == 503
    assert site("GET", "/far/d/f").body == NEW


def test_who_may_not_look_refreshes_nothing(tmp_path: Path) -> None:
    rule = Rule(path="/near", who=frozenset({"anyone"}), rights=frozenset())
    mounted = Mounted(tmp_path, Rights((rule,)))
    for method in ("GET", "PROPFIND"):
        answer = mounted.site(method, "/far/d/f", Depth="0", Cache_Control="no-cache")
        assert answer.status in (401, 403, 404)
    assert mounted.origin.take() == {}
    mounted.close()


def test_a_change_of_a_file_that_is_there_in_part_is_no_error(far: Mounted) -> None:
    """What was believed turns out to be old before anything is sent: the new one is sent."""
    site = far.site
    part = site("GET", "/far/d/f", Range="bytes=300000-300009")
    assert part.body == DATA[300_000:300_010]
    put(far.origin.inner, "d/f", NEW)
    answer = site("GET", "/far/d/f")
    assert (answer.status, answer.body) == (200, NEW)
    assert answer.headers["etag"] != part.headers["etag"]


def test_a_change_in_the_middle_of_an_answer_cuts_it(far: Mounted) -> None:
    reader = far.site.tree.open(ANONYMOUS, "/far/d/f")
    assert reader.read_at(SIZE - 10, 10) == DATA[-10:]
    reader.close()
    reader = far.site.tree.open(ANONYMOUS, "/far/d/f")
    put(far.origin.inner, "d/f", NEW)
    with pytest.raises(Changed):
        reader.read_at(0, 10)
    reader.close()


def test_a_stalled_store_holds_a_bounded_number_of_threads(far: Mounted) -> None:
    """Those who wait for somebody else's fetch count too; hits and neighbours come at once."""
    site = far.site
    tree = site.tree
    put(far.origin.inner, "d/known", b"known")
    assert site("GET", "/far/d/known").body == b"known"
    readers = [tree.open(ANONYMOUS, "/far/d/f") for _ in range(CALLS_AT_ONCE + 1)]
    far.origin.take()
    far.origin.delay_seconds = 20.0
    threads = [
        threading.Thread(target=reader.read_at, args=(300_000, 10)) for reader in readers[:-1]
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    with pytest.raises(Unavailable, match="waiting already"):
        readers[-1].read_at(400_000, 10)
    assert site("GET", "/far/d/known").body == b"known"
    assert site("GET", "/near/f").body == b"near"
    assert all(thread.is_alive() for thread in threads)
    far.origin.hurry.set()
    for thread in threads:
        thread.join()
    for reader in readers:
        reader.close()
    # All waited for one fetch.
    assert far.origin.take()["read_at"] == 1


def test_a_later_replica_is_asked_before_what_is_stale(tmp_path: Path) -> None:
    """Only the last one stands in for itself."""
    blocks = BlockCache(tmp_path / "cache", Limits(free_bytes=0))
    listings = Listings(blocks.database)
    ahead = 0.0

    def clock() -> float:
        return time.time() + ahead

    first, last = Watched(), Watched()
    put(first.inner, "f", b"first")
    put(last.inner, "f", b"last")
    stores = [
        CachedProvider(first, blocks, listings, "1", stale_if_error_seconds=0, clock=clock),
        CachedProvider(last, blocks, listings, "2", clock=clock),
    ]
    site = Site(tmp_path, [Mount("/m", stores)])
    assert site("GET", "/m/f").body == b"first"
    ahead = 100
    for operation in ("stat", "open"):
        first.fail(operation, TimedOut)
    assert site("GET", "/m/f").body == b"last"
    ahead = 200
    for operation in ("stat", "open"):
        last.fail(operation, TimedOut)
    answer = site("GET", "/m/f")
    assert answer.body == b"last"
    assert answer.headers["cache-status"].startswith(MARK)
    site.store.close()
    blocks.close()
