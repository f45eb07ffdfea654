"""BlockCache against a model: whatever is read, opened, evicted or torn, the bytes are right."""

import os
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cache.blocks import BlockCache
from cache.budget import Limits
from cache.cached_file import CachedFile
from cache.key import Key
from tests.cache.origin import Origin, content

SIZES = st.sampled_from([0, 1, 1023, 1024, 1025, 10_000])
PATHS = st.sampled_from(["a", "a/b", "c"])
OFFSETS = st.integers(0, 11_000)
LENGTHS = st.one_of(st.integers(0, 3000), st.just(11_000))


class BlockCacheMachine(RuleBasedStateMachine):
    """Drives one folder, with restarts of the process and of the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.boots = 0
        self.truth: dict[str, tuple[int, bytes]] = {}
        self.handles: list[tuple[CachedFile, bytes]] = []
        self.cache = self.make()

    def make(self) -> BlockCache:
        """Open the folder as a new process does."""
        return BlockCache(
            self.folder,
            Limits(max_bytes=30_000, free_bytes=0),
            block_bytes=1024,
            fetch_bytes=4096,
            boot=str(self.boots),
        )

    @rule(path=PATHS, size=SIZES)
    def replace(self, path: str, size: int) -> None:
        """The origin gets a new version."""
        version = self.truth.get(path, (0, b""))[0] + 1
        self.truth[path] = version, content(f"{path} {version}", size)

    @precondition(lambda self: self.truth and len(self.handles) < 5)
    @rule(data=st.data())
    def open(self, data: Any) -> None:
        """Somebody opens the newest version."""
        path = data.draw(st.sampled_from(sorted(self.truth)))
        version, content_ = self.truth[path]
        opened = self.cache.open(Key("m", path, str(version)), len(content_))
        self.handles.append((opened, content_))

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), offset=OFFSETS, length=LENGTHS, way=st.sampled_from(["read", "stream"]))
    def read(self, data: Any, offset: int, length: int, way: str) -> None:
        """Bytes are those of the version that was opened."""
        file, content_ = data.draw(st.sampled_from(self.handles))
        origin = Origin(content_)
        want = content_[offset : offset + length]
        if way == "read":
            assert file.read_at(offset, length, origin.fetch) == want
        else:
            assert b"".join(file.stream(offset, length, origin.pieces)) == want

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), offset=OFFSETS)
    def send(self, data: Any, offset: int) -> None:
        """What the span promises stands behind the descriptor."""
        file, content_ = data.draw(st.sampled_from(self.handles))
        span = file.span(offset)
        if span:
            assert os.pread(file.fileno(), span, offset) == content_[offset : offset + span]
            assert offset + span <= len(content_)

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def close(self, data: Any) -> None:
        """One handle is closed."""
        at = data.draw(st.integers(0, len(self.handles) - 1))
        self.handles.pop(at)[0].close()

    @rule(path=PATHS, how=st.sampled_from(["evict", "sweep", "pin"]))
    def remove(self, path: str, how: str) -> None:
        """Something goes, also what is open."""
        if how == "evict":
            self.cache.evict("m", path)
        elif how == "sweep":
            self.cache.sweep()
        else:
            self.cache.pin("m", path)

    @rule(crash=st.booleans(), seed=st.integers(0, 1 << 30))
    def restart(self, crash: bool, seed: int) -> None:
        """The process starts anew; after a crash of the machine some blocks are torn."""
        self.shut()
        if crash:
            self.boots += 1
            for place in self.folder.glob("blocks/*/*/*"):
                with place.open("r+b") as torn:
                    torn.seek(seed % max(1, place.stat().st_size))
                    torn.write(b"torn")
        self.cache = self.make()

    @invariant()
    def nothing_is_wrong(self) -> None:
        """The disk never refused anything."""
        assert self.cache.fault() == ""

    def shut(self) -> None:
        """Close all."""
        for file, _ in self.handles:
            file.close()
        self.handles.clear()
        self.cache.close()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.shut()
        rmtree(self.folder)


def test_the_bytes_are_right_whatever_happens() -> None:
    examples = hypothesis.settings(max_examples=30, stateful_step_count=30)
    run_state_machine_as_test(BlockCacheMachine, settings=examples)
