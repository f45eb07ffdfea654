"""A state store for the tests of logins, and users who sign tokens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vfs.auth.signers import Signers
from vfs.state.base import StateStore
from vfs.state.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with SqliteStore(tmp_path / "state.db") as store:
        yield store


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signers]:
    """Give Alice and Bob with their keys, which take long to make."""
    with SqliteStore(tmp_path_factory.mktemp("signers") / "state.db") as store:
        yield Signers(store)
