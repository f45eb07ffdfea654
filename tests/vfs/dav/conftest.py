"""A gateway over two stores in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    stores = {path: MemoryProvider(MemoryOptions()) for path in ("/a", "/b")}
    site = Site(tmp_path, stores)
    yield site
    site.store.close()
