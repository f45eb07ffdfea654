"""Caches for the tests: small blocks, so that little data makes many of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.blocks import BlockCache


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., BlockCache]]:
    """Return a function that makes a cache in one folder; all are closed at the end."""
    made: list[BlockCache] = []

    def build(**options: Any) -> BlockCache:
        folder = options.pop("folder", tmp_path / "cache")
        options = {"block_bytes": 1024, "fetch_bytes": 8192} | options
        made.append(BlockCache(folder, options.pop("limits", None), **options))
        return made[-1]

    yield build
    for cache in made:
        cache.close()


@pytest.fixture
def cache(make: Callable[..., BlockCache]) -> BlockCache:
    """Return a cache with plenty of room."""
    return make()
