"""Write-back keeps the contract while uploads run, and what it accepted arrives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.journal import Journal
from providers.base import Provider
from providers.local import LocalOptions, LocalProvider
from providers.testing import ProviderSuite
from providers.testing.memory import MemoryHarness
from providers.write_back import WriteBackProvider

FLUSH_SECONDS = 30.0


class TestOverMemory(MemoryHarness, ProviderSuite):
    """The suite; whoever looks at the origin waits for the uploads first."""

    store: WriteBackProvider

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Iterator[Provider]:
        super().make_provider()
        self.store = WriteBackProvider(self.memory, Journal(tmp_path / "journal"))
        yield self.store
        self.store.close()

    def get_raw(self, path: str) -> bytes | None:
        assert self.store.flush(seconds=FLUSH_SECONDS)
        return super().get_raw(path)

    def list_raw(self, path: str) -> set[str] | None:
        assert self.store.flush(seconds=FLUSH_SECONDS)
        return super().list_raw(path)


class TestOverLocal(ProviderSuite):
    """The suite over a folder."""

    store: WriteBackProvider
    root: Path

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Iterator[Provider]:
        self.root = tmp_path / "root"
        self.root.mkdir()
        local = LocalProvider(LocalOptions(root=self.root))
        self.store = WriteBackProvider(local, Journal(tmp_path / "journal"))
        yield self.store
        self.store.close()

    def put_raw(self, path: str, data: bytes) -> None:
        beside = self.root / "raw-temporary"
        beside.write_bytes(data)
        beside.rename(self.root / path)

    def get_raw(self, path: str) -> bytes | None:
        assert self.store.flush(seconds=FLUSH_SECONDS)
        target = self.root / path
        return target.read_bytes() if target.is_file() else None

    def mkdir_raw(self, path: str) -> None:
        (self.root / path).mkdir()

    def list_raw(self, path: str) -> set[str] | None:
        assert self.store.flush(seconds=FLUSH_SECONDS)
        return {member.name for member in (self.root / path).iterdir()}
