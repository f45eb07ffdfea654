"""A cached store keeps the contract, whatever stands below, however long entries are believed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.blocks import BlockCache
from cache.listings import Listings
from providers.base import Provider
from providers.cached import CachedProvider
from providers.local import LocalOptions, LocalProvider
from providers.testing import ProviderSuite
from providers.testing.memory import MemoryHarness
from providers.wrap import FaultProvider, LatencyProvider


class Cached(MemoryHarness):
    """A cache over `memory`; entries are believed for `ttl_seconds`."""

    ttl_seconds: float = 0

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Iterator[Provider]:
        with BlockCache(tmp_path / "cache") as blocks:
            self.cached = CachedProvider(
                self.make_provider(),
                blocks,
                Listings(blocks.database),
                "m",
                ttl_seconds=self.ttl_seconds,
            )
            yield self.cached
            self.cached.close()


class TestMemory(Cached, ProviderSuite):
    """The suite over memory; what other programs do is seen at once."""


class TestLatency(Cached, ProviderSuite):
    """The suite over a store with a little delay."""

    def make_provider(self) -> Provider:
        return LatencyProvider(super().make_provider(), 0.001)


class TestFault(Cached, ProviderSuite):
    """The suite over a store that could fail, and does not."""

    def make_provider(self) -> Provider:
        return FaultProvider(super().make_provider())


class TestRemembering(Cached, ProviderSuite):
    """The suite with entries that are believed for an hour; other programs say what they do."""

    ttl_seconds = 3600

    def put_raw(self, path: str, data: bytes) -> None:
        super().put_raw(path, data)
        self.cached.refresh(path)

    def mkdir_raw(self, path: str) -> None:
        super().mkdir_raw(path)
        self.cached.refresh(path)


class TestLocal(ProviderSuite):
    """The suite over a folder of this machine."""

    root: Path

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Iterator[Provider]:
        self.root = tmp_path / "root"
        self.root.mkdir()
        local = LocalProvider(LocalOptions(root=self.root))
        with BlockCache(tmp_path / "cache") as blocks:
            store = CachedProvider(local, blocks, Listings(blocks.database), "m", ttl_seconds=0)
            yield store
            store.close()

    def put_raw(self, path: str, data: bytes) -> None:
        beside = self.root / "raw-temporary"
        beside.write_bytes(data)
        beside.rename(self.root / path)

    def get_raw(self, path: str) -> bytes | None:
        target = self.root / path
        return target.read_bytes() if target.is_file() else None

    def mkdir_raw(self, path: str) -> None:
        (self.root / path).mkdir()

    def list_raw(self, path: str) -> set[str] | None:
        return {member.name for member in (self.root / path).iterdir()}

    def put_sparse_raw(self, path: str, size: int, tail: bytes) -> bool:
        with (self.root / path).open("wb") as file:
            file.seek(size - len(tail))
            file.write(tail)
        return True
