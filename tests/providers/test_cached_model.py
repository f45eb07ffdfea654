"""A cached store against a model, while others change the store and it goes down and up again."""

import os
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.listings import Listings
from providers.base import Entry
from providers.cached import CachedProvider
from providers.errors import Changed, NotFound, Unavailable
from providers.testing.harness import put
from tests.providers.watched import Watched, content

PATHS = ["a/x", "a/y", "b/x", "b/z"]
TTL_SECONDS = 30.0
STALE_SECONDS = 300.0

path_of = st.sampled_from(PATHS)
size_of = st.sampled_from([0, 1, 1023, 1024, 5000, 20_000])


class CachedMachine(RuleBasedStateMachine):
    """Every answer is one that was true at a time that may still be told of.

    `past` has, for each path, what it held since when; `floor` the moment since when nothing older
    may be told, after a change of our own or a refresh.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1_700_000_000.0
        self.patch = mock.patch("time.time", self.clock)
        self.patch.start()
        self.origin = Watched()
        self.store = self.origin.inner
        for folder in ("a", "b"):
            self.store.mkdir(folder)
        self.past: dict[str, list[tuple[float, bytes | None]]] = {
            path: [(0.0, None)] for path in PATHS
        }
        self.floor = dict.fromkeys(PATHS, 0.0)
        self.seed = 0
        self.is_down = False
        self.open_cache()

    def clock(self) -> float:
        return self.now

    def open_cache(self) -> None:
        self.blocks = BlockCache(
            Path(self.folder.name), Limits(free_bytes=0), block_bytes=1024, fetch_bytes=4096
        )
        self.cached = CachedProvider(
            self.origin,
            self.blocks,
            Listings(self.blocks.database),
            "m",
            ttl_seconds=TTL_SECONDS,
            stale_if_error_seconds=STALE_SECONDS,
            clock=self.clock,
        )

    def tick(self, seconds: float = 0.001) -> None:
        self.now += seconds

    def fresh(self, size: int) -> bytes:
        self.seed += 1
        return content(self.seed, size)

    def held(self, path: str) -> bytes | None:
        return self.past[path][-1][1]

    def set(self, path: str, data: bytes | None, *, own: bool) -> None:
        self.past[path].append((self.now, data))
        if own:
            self.floor[path] = self.now
        self.tick()

    def allowed(self, path: str, *, stale: bool) -> list[bytes | None]:
        """Return what may be told of a path now."""
        reach = TTL_SECONDS + (STALE_SECONDS if stale else 0.0)
        since = max(self.now - reach - 1, self.floor[path])
        past = self.past[path]
        ends = [*(begin for begin, _ in past[1:]), float("inf")]
        return [data for (_, data), end in zip(past, ends, strict=True) if end > since]

    @rule(path=path_of, size=size_of)
    def foreign_write(self, path: str, size: int) -> None:
        data = self.fresh(size)
        put(self.store, path, data)
        self.set(path, data, own=False)

    @rule(path=path_of)
    def foreign_remove(self, path: str) -> None:
        if self.held(path) is not None:
            self.store.remove(path)
            self.set(path, None, own=False)

    @rule(path=path_of, size=size_of)
    def own_write(self, path: str, size: int) -> None:
        data = self.fresh(size)
        try:
            put(self.cached, path, data)
        except Unavailable:
            assert self.is_down
            return
        self.set(path, data, own=True)

    @rule(path=path_of)
    def own_remove(self, path: str) -> None:
        try:
            self.cached.remove(path)
        except Unavailable:
            assert self.is_down
        except NotFound:
            assert self.held(path) is None
        else:
            assert self.held(path) is not None
            self.set(path, None, own=True)

    @rule(ends=st.tuples(path_of, path_of))
    def own_rename(self, ends: tuple[str, str]) -> None:
        source, target = ends
        if source == target:
            return
        data = self.held(source)
        try:
            self.cached.rename(source, target, overwrite=True)
        except Unavailable:
            assert self.is_down
        except NotFound:
            assert data is None
        else:
            self.set(source, None, own=True)
            self.set(target, data, own=True)

    @rule(path=path_of, offset=st.integers(0, 6000), size=st.integers(1, 6000))
    def read(self, path: str, offset: int, size: int) -> None:
        """A part of one version, of the size that it has."""
        try:
            with self.cached.open(path) as reader:
                entry = reader.entry
                data = reader.read_at(offset, size)
        except Unavailable:
            assert self.is_down
            return
        except NotFound:
            assert None in self.allowed(path, stale=self.is_down)
            return
        except Changed:
            # Old bytes were believed and are gone. Nobody was given any; asking again helps.
            if not self.is_down:
                held = self.held(path)
                try:
                    assert self.cached.stat(path).size == len(held or b"")
                except NotFound:
                    assert held is None
            return
        self.check(path, entry, (offset, data, size))

    @rule(path=path_of)
    def stat(self, path: str) -> None:
        try:
            entry = self.cached.stat(path)
        except Unavailable:
            assert self.is_down
        except NotFound:
            assert None in self.allowed(path, stale=self.is_down)
        else:
            self.check(path, entry)

    @rule(folder=st.sampled_from(["a", "b"]))
    def list(self, folder: str) -> None:
        try:
            found = {entry.name: entry for entry in self.cached.scandir(folder)}
        except Unavailable:
            assert self.is_down
            return
        for path in PATHS:
            parent, _, name = path.partition("/")
            if parent == folder and name in found:
                self.check(path, found[name])
            elif parent == folder:
                assert None in self.allowed(path, stale=self.is_down)

    @rule(path=path_of)
    def refresh(self, path: str) -> None:
        try:
            self.cached.refresh(path)
        except Unavailable:
            assert self.is_down
            return
        self.floor[path] = self.now
        self.tick()

    @rule(seconds=st.sampled_from([1.0, 20.0, 40.0, 200.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.tick(seconds)

    @rule(is_down=st.booleans())
    def switch(self, is_down: bool) -> None:
        self.is_down = is_down
        self.origin.heal()
        if is_down:
            for operation in ("stat", "scandir", "open", "read_at", "create", "remove", "rename"):
                self.origin.fail(operation, Unavailable)

    @rule(evicts=st.booleans())
    def restart(self, evicts: bool) -> None:
        self.blocks.close()
        self.open_cache()
        if evicts:
            self.blocks.evict("m")

    def check(self, path: str, entry: Entry, part: tuple[int, bytes, int] | None = None) -> None:
        assert self.is_down or not entry.stale_seconds
        versions = [
            data
            for data in self.allowed(path, stale=bool(entry.stale_seconds))
            if data is not None and len(data) == entry.size
        ]
        assert versions, f"{path} never had {entry.size} bytes in that time"
        if part is not None:
            offset, data, size = part
            assert data in [version[offset : offset + size] for version in versions]

    def teardown(self) -> None:
        self.blocks.close()
        self.patch.stop()
        self.folder.cleanup()


def _run(runs: int, steps: int) -> None:
    run_state_machine_as_test(
        CachedMachine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_cached_store_tells_what_was_true() -> None:
    """About a thousand steps."""
    _run(25, 40)


@pytest.mark.stateful
@pytest.mark.timeout(900)
def test_a_cached_store_tells_what_was_true_for_long() -> None:
    """Steps by HEADGATE_STEPS; 20,000 unless told."""
    _run(max(1, int(os.environ.get("HEADGATE_STEPS", "20000")) // 100), 100)
