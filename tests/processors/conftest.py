"""Makers for the tests: real workers, a real results store, tiny processors."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cache.budget import Limits as Room
from cache.results import Results
from processors.making.maker import Maker
from processors.making.provenance import Provenance
from processors.work.pool import Pool, PoolSettings
from tests.processors.tiny import LIMITS


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    """Return a function that makes a pool; all are closed at the end."""
    made: list[Pool] = []

    def build(**options: Any) -> Pool:
        settings: dict[str, Any] = {
            "find": "tests.processors.tiny:find",
            "workers": 2,
            "memory_bytes": LIMITS.memory_bytes,
            "memo": tmp_path / "cache",
        } | options
        made.append(Pool(PoolSettings(**settings)))
        return made[-1]

    yield build
    for pool in made:
        pool.close()


@pytest.fixture
def make_maker(tmp_path: Path, make_pool: Callable[..., Pool]) -> Iterator[Callable[..., Maker]]:
    """Return a function that makes a maker with a pool of its own; `records` has what it told."""
    stores: list[Results] = []

    def build(
        *, limits: dict[str, Any] | None = None, folder: Path | None = None, **options: Any
    ) -> Maker:
        results = Results(folder or tmp_path / "cache", Room(free_bytes=0))
        stores.append(results)
        records: list[Provenance] = []
        maker = Maker(
            results,
            make_pool(**options),
            limits=msgspec.structs.replace(LIMITS, **(limits or {})),
            record=records.append,
        )
        maker.records = records  # type: ignore[attr-defined]
        return maker

    yield build
    for results in stores:
        results.close()


@pytest.fixture
def maker(make_maker: Callable[..., Maker]) -> Maker:
    """Return a maker with two workers."""
    return make_maker()


def until(is_so: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait until something is so; fail when it does not become so."""
    give_up_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < give_up_at, "it never happened"
        time.sleep(0.01)
