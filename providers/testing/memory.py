"""MemoryHarness: the example of a harness; tests of wrappers use it too."""

from collections.abc import Iterator

import pytest

from providers.base import Kind, Provider
from providers.errors import NotFound
from providers.memory import MemoryOptions, MemoryProvider
from providers.names import basename, join, parent
from providers.nodes import File, Folder
from providers.sparse import SparseBytes
from providers.testing.harness import Harness


class MemoryHarness(Harness):
    """Reaches into the nodes of `memory`, past its methods."""

    has_temporaries = False
    root: str = ""
    """The folder of the store that raw paths start from."""

    memory: MemoryProvider

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        provider = self.make_provider()
        yield provider
        provider.close()

    def make_provider(self) -> Provider:
        """Set `memory` to an empty store and return it; a wrapper's test returns it wrapped."""
        self.memory = MemoryProvider(MemoryOptions())
        return self.memory

    def put_raw(self, path: str, data: bytes) -> None:
        content = SparseBytes()
        content.put(0, data)
        content.freeze()
        entry = self.memory._entry(basename(path), Kind.FILE, len(data))
        self._folder(parent(path)).put(File(entry, content, {}))

    def get_raw(self, path: str) -> bytes | None:
        try:
            node = self._folder(parent(path)).members.get(basename(path))
        except NotFound:
            return None
        return node.content.get(0, node.content.size) if isinstance(node, File) else None

    def mkdir_raw(self, path: str) -> None:
        entry = self.memory._entry(basename(path), Kind.FOLDER)
        self._folder(parent(path)).put(Folder(entry))

    def list_raw(self, path: str) -> set[str] | None:
        return set(self._folder(path).members)

    def _folder(self, path: str) -> Folder:
        """Walk by itself: the provider's own lookup is what the suite puts to the test."""
        node = self.memory._root
        for name in filter(None, join(self.root, path).split("/")):
            member = node.members.get(name)
            if not isinstance(member, Folder):
                raise NotFound(path)
            node = member
        return node
