"""The local store keeps the contract, whichever way it opens paths."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from providers import linux
from providers.base import Provider
from providers.local import LocalOptions, LocalProvider
from providers.testing import ProviderSuite


class TestOpenat2(ProviderSuite):
    """The suite over openat2, links refused."""

    symlinks: ClassVar[Literal["refuse", "inside"]] = "refuse"
    walk: ClassVar[bool] = False
    root: Path

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Iterator[Provider]:
        if not self.walk and not linux.has_openat2():
            pytest.skip("the kernel has no openat2 (Linux 5.6), or a sandbox forbids it")
        self.root = tmp_path / "root"
        self.root.mkdir()
        store = LocalProvider(LocalOptions(root=self.root, symlinks=self.symlinks), walk=self.walk)
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


class TestInside(TestOpenat2):
    """The suite over openat2, links inside the root followed."""

    symlinks = "inside"


class TestWalk(TestOpenat2):
    """The suite over the walk that older kernels need."""

    walk = True


class TestWalkInside(TestOpenat2):
    """The suite over the walk, links inside the root followed."""

    walk = True
    symlinks = "inside"
