"""A tree over two memory stores, as most tests here need it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers.base import Provider
from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.tree.derived_site import MakeSite, Site, sites
from vfs.auth.caller import ANONYMOUS
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree


@pytest.fixture
def stores() -> dict[str, MemoryProvider]:
    """Two stores by the path they are mounted at."""
    return {path: MemoryProvider(MemoryOptions()) for path in ("/a", "/b")}


@pytest.fixture
def tree(stores: dict[str, MemoryProvider]) -> Tree:
    return Tree(MountTable(Mount(path, [store]) for path, store in stores.items()))


@pytest.fixture
def put() -> Callable[[Tree, str, bytes], str]:
    """Write a file through a tree and return its version."""

    def write(tree: Tree, path: str, data: bytes) -> str:
        with tree.create(ANONYMOUS, path) as writer:
            writer.write(data)
            return writer.commit().version

    return write


@pytest.fixture
def get() -> Callable[[Tree, str], bytes]:
    """Read a whole file through a tree."""

    def read(tree: Tree, path: str) -> bytes:
        with tree.open(ANONYMOUS, path) as reader:
            return reader.read_at(0, reader.entry.size)

    return read


@pytest.fixture
def mounted() -> Callable[[dict[str, Provider]], Tree]:
    """Make a tree of other mounts."""

    def make(providers: dict[str, Provider]) -> Tree:
        return Tree(MountTable(Mount(path, [store]) for path, store in providers.items()))

    return make


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Return what makes trees with a processing mount."""
    yield from sites(tmp_path)


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Return a tree with a processing mount, and two sheets in its archive."""
    made = make_site()
    made.put("/archive/312/20181129.sheet")
    made.put("/archive/313/20190101.sheet")
    return made
