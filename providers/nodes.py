"""The tree that MemoryProvider keeps: File and Folder. The provider's lock guards both."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping

from providers.base import Entry
from providers.errors import Changed, IsADirectory, NotADirectory, NotFound
from providers.names import check_path
from providers.sparse import SparseBytes

_PAGE_ENTRIES = 256


class File:
    """A file: its entry and content are replaced, never changed."""

    __slots__ = ("content", "entry", "xattrs")

    def __init__(self, entry: Entry, content: SparseBytes, xattrs: Mapping[str, bytes]) -> None:
        self.entry = entry
        self.content = content
        self.xattrs = xattrs


class Folder:
    """A folder: its members by name, and their names in order for the listing."""

    __slots__ = ("_names", "entry", "members", "xattrs")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.xattrs: Mapping[str, bytes] = {}
        self.members: dict[str, File | Folder] = {}
        self._names: list[str] = []

    def put(self, node: "File | Folder") -> Entry:
        """Set a member in place of the one that has its name; return its entry."""
        name = node.entry.name
        if name not in self.members:
            insort(self._names, name)
        self.members[name] = node
        return node.entry

    def pop(self, name: str) -> None:
        """Drop a member."""
        del self.members[name]
        del self._names[bisect_left(self._names, name)]

    def page_after(self, name: str) -> list[Entry]:
        """Return the next members in order, from behind `name`; none at the end."""
        start = bisect_right(self._names, name)
        return [self.members[name].entry for name in self._names[start : start + _PAGE_ENTRIES]]

    def find(self, path: str) -> "File | Folder":
        """Return what stands at `path` below this folder; NotFound, NotADirectory."""
        node: File | Folder = self
        for name in check_path(path).split("/") if path else ():
            if isinstance(node, File):
                raise NotADirectory(path)
            if name not in node.members:
                raise NotFound(path)
            node = node.members[name]
        return node

    def find_folder(self, path: str) -> "Folder":
        """Return the folder at `path`."""
        node = self.find(path)
        if isinstance(node, File):
            raise NotADirectory(path)
        return node

    def find_file(self, path: str, expect: str | None = None) -> File:
        """Return the file at `path`; IsADirectory, and Changed when it is not version `expect`."""
        node = self.find(path)
        if isinstance(node, Folder):
            raise IsADirectory(path)
        if expect is not None and node.entry.version != expect:
            raise Changed(path)
        return node
