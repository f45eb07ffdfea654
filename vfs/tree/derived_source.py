"""Sources: files and folders of the tree, as processors read them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import NamedTuple

from processors.base import Member
from processors.errors import SourceChanged, TooLarge
from providers.base import Entry, Reader
from providers.errors import Changed, NotFound
from vfs.tree import paths
from vfs.tree.steps import Steps


class TreeSource:
    """One version of one file, read through the tree's own steps, and so through its cache."""

    def __init__(self, reader: Reader, path: str) -> None:
        self.name = paths.basename(path)
        self.size = reader.entry.size
        self.version = reader.entry.version
        self._reader = reader

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`; SourceChanged when this version is gone."""
        try:
            return self._reader.read_at(offset, size)
        except Changed as error:
            raise SourceChanged from error

    def read_many(self, spans: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each span; SourceChanged when this version is gone."""
        try:
            yield from self._reader.read_many(spans)
        except Changed as error:
            raise SourceChanged from error

    def fileno(self) -> int | None:
        """Return the descriptor of the store's reader, if it has one."""
        return self._reader.fileno()


@contextmanager
def open_file(steps: Steps, path: str, version: str = "") -> Iterator[TreeSource]:
    """Give the file at `path`; SourceChanged when it is not in `version`, if one is named."""
    with steps.open(path) as reader:
        if version and reader.entry.version != version:
            raise SourceChanged
        yield TreeSource(reader, path)


class TreeFolder:
    """A folder and all files beneath it, as they were when it was looked at.

    `_without` is the processing mount: what is derived is no source. All attributes are fixed.
    """

    def __init__(self, steps: Steps, path: str, *, limit: int, without: str) -> None:
        self.name = paths.basename(path)
        self._steps = steps
        self._path = path
        self._without = without
        self._members = sorted(self._walk(limit), key=lambda member: member.path)
        digest = hashlib.blake2b(digest_size=16)
        for member in self._members:
            said = f"{member.path}\0{member.size}\0{member.version}\0"
            digest.update(said.encode("utf-8", "surrogateescape"))
        self.version = digest.hexdigest()

    @property
    def mtime_ns(self) -> int:
        """When the youngest member was changed."""
        return max((member.mtime_ns for member in self._members), default=0)

    def members(self) -> Iterator[Member]:
        """Yield every file beneath, sorted by path."""
        return iter(self._members)

    @contextmanager
    def open(self, member: Member) -> Iterator[TreeSource]:
        """Give one member; SourceChanged when it is another by now."""
        path = paths.join(self._path, member.path)
        try:
            with open_file(self._steps, path, member.version) as source:
                yield source
        except NotFound as error:
            raise SourceChanged from error

    def _walk(self, limit: int) -> Iterator[Member]:
        has_links = self._steps.has_links(self._path)
        # Each with the versions of the folders above it: a link may lead to one of them.
        waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
        count = 0
        while waiting:
            below, above = waiting.pop()
            for entry in self._steps.members(_beneath(self._path, below)):
                path = f"{below}/{entry.name}" if below else entry.name
                count += 1
                if count > limit:
                    raise TooLarge(
                        "the folder holds too much",
                        asked=f"more than {limit} files and folders",
                        limit=f"{limit} files and folders",
                    )
                if not entry.is_folder:
                    yield Member(path, entry.size, entry.mtime_ns, entry.version)
                elif _beneath(self._path, path) != self._without:
                    if not has_links:
                        waiting.append((path, ()))
                    elif entry.version not in above:
                        waiting.append((path, (*above, entry.version)))


class Origin(NamedTuple):
    """The source of a request in one version, and what opens just that one."""

    path: str
    version: str
    mtime_ns: int
    size: int
    open: Callable[[], AbstractContextManager[TreeSource | TreeFolder]]
    is_folder: bool = False

    @property
    def about(self) -> dict[str, object]:
        """What may be told of it."""
        return {"path": self.path, "bytes": self.size, "version": self.version}


def origin_of(steps: Steps, entry: Entry, path: str, *, limit: int, without: str) -> Origin:
    """Return the source at `path`, in the version that is there now."""
    if not entry.is_folder:
        opened = partial(open_file, steps, path, entry.version)
        return Origin(path, entry.version, entry.mtime_ns, entry.size, opened)
    folder = TreeFolder(steps, path, limit=limit, without=without)
    mtime_ns = folder.mtime_ns or entry.mtime_ns
    return Origin(path, folder.version, mtime_ns, 0, partial(_lent, folder), is_folder=True)


@contextmanager
def _lent(folder: TreeFolder) -> Iterator[TreeFolder]:
    yield folder


def _beneath(folder: str, path: str) -> str:
    return paths.join(folder, path) if path else folder
