"""The SFTP provider keeps the contract on a real sshd: both transports, raw, cached, write-back."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from cache.blocks import BlockCache
from cache.journal import Journal
from cache.listings import Listings
from providers.base import Provider
from providers.cached import CachedProvider
from providers.errors import Unavailable
from providers.sftp import SftpProvider
from providers.testing import ProviderSuite
from providers.write_back import WriteBackProvider
from tests.servers import sshd
from tests.servers.sshd import Sshd

pytestmark = [pytest.mark.server("sshd"), pytest.mark.server("ssh")]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd.launch(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def lent() -> Iterator[dict[str, SftpProvider]]:
    """Keep a provider for each transport from test to test, as a login takes longer than most."""
    stores: dict[str, SftpProvider] = {}
    yield stores
    for store in stores.values():
        store.close()


def is_open(store: SftpProvider) -> bool:
    """Tell whether no test has closed it."""
    try:
        store.health()
    except Unavailable:
        return False
    return True


class TestOpenSsh(ProviderSuite):
    """The suite through a child `ssh`."""

    transport: ClassVar[Literal["openssh", "paramiko"]] = "openssh"
    foreign_step_seconds = 1.1  # the protocol tells whole seconds
    root: Path

    @pytest.fixture
    def provider(self, server: Sshd, lent: dict[str, SftpProvider]) -> Iterator[Provider]:
        self.root = server.directory / "files" / self.transport
        if self.root.exists():
            self.root.rename(server.directory / f"old-{next(_numbers)}")
        self.root.mkdir()
        store = lent.get(self.transport)
        if store is None or not is_open(store):
            options = server.options(root=str(self.root), transport=self.transport)
            store = lent[self.transport] = SftpProvider(options)
        yield store  # noqa: PT022 - as the harness has it

    def make(self, server: Sshd, folder: Path) -> SftpProvider:
        """Return a provider of a new root."""
        self.root = folder / "root"
        self.root.mkdir()
        return SftpProvider(server.options(root=str(self.root), transport=self.transport))

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

    def fill_raw(self, folder: str, count: int) -> None:
        for number in range(count):
            (self.root / folder / f"f{number:06d}").touch()

    def put_sparse_raw(self, path: str, size: int, tail: bytes) -> bool:
        with (self.root / path).open("wb") as file:
            file.seek(size - len(tail))
            file.write(tail)
        return True


class TestParamiko(TestOpenSsh):
    """The suite through paramiko."""

    transport = "paramiko"


# These, and what derives from them, take minutes: the cache and write-back have the suite over
# memory and local disks too.
@pytest.mark.slow
class TestCached(TestOpenSsh):
    """The suite through the cache; what others do is looked for each time."""

    @pytest.fixture
    def provider(self, server: Sshd, tmp_path: Path) -> Iterator[Provider]:
        with (
            BlockCache(tmp_path / "cache") as blocks,
            contextlib.closing(self.cached(server, tmp_path, blocks)) as store,
        ):
            yield store

    def cached(self, server: Sshd, folder: Path, blocks: BlockCache) -> CachedProvider:
        """Return a provider with a cache."""
        origin = self.make(server, folder)
        return CachedProvider(origin, blocks, Listings(blocks.database), "m", ttl_seconds=0)


class TestWriteBack(TestCached):
    """The suite with writes put off, over the cache; who looks at the site waits for them."""

    store: WriteBackProvider

    @pytest.fixture
    def provider(self, server: Sshd, tmp_path: Path) -> Iterator[Provider]:
        with BlockCache(tmp_path / "cache") as blocks:
            journal = Journal(tmp_path / "journal")
            self.store = WriteBackProvider(self.cached(server, tmp_path, blocks), journal)
            yield self.store
            self.store.close()

    def get_raw(self, path: str) -> bytes | None:
        assert self.store.flush(seconds=30)
        return super().get_raw(path)

    def list_raw(self, path: str) -> set[str] | None:
        assert self.store.flush(seconds=30)
        return super().list_raw(path)


class TestCachedParamiko(TestCached):
    """The suite through the cache and paramiko."""

    transport = "paramiko"


class TestWriteBackParamiko(TestWriteBack):
    """The suite with writes put off, through paramiko."""

    transport = "paramiko"
