"""A state store for the tests of logins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vfs.state.base import StateStore
from vfs.state.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with SqliteStore(tmp_path / "state.db") as store:
        yield store
