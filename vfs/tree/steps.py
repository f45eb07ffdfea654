"""Steps: the single moves that the tree's operations are made of.

Here a path finds its mount and the mount's store does the work, under its breaker. No right is
checked: only the tree and its walks call this, after they have checked.
"""

import contextlib
from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

import msgspec

from providers import waiting
from providers.base import Entry
from providers.errors import (
    Changed,
    Denied,
    IsADirectory,
    NotADirectory,
    NotFound,
    ReadOnly,
    StorageError,
)
from vfs.tree import paths
from vfs.tree.handles import TreeReader, TreeWriter
from vfs.tree.health import DOWN
from vfs.tree.mounts import Mount, MountTable, Replica
from vfs.tree.transfer import pour, same_bytes


class Seen(NamedTuple):
    """What whoever asks for a change has just seen at a path, None for nothing.

    It spares the store the same question once more. What decides is asked again by the store
    itself, in the step that makes the change.
    """

    entry: Entry | None


LISTING_BATCH = 256
"""Entries fetched under one pass through the breaker: its cost vanishes, memory stays flat."""


class Steps:
    """Moves on the mounts of one table, which is fixed."""

    def __init__(self, table: MountTable) -> None:
        self.table = table

    def held(self, *within: str) -> "_Held":
        """Keep the stores at and beneath these paths from being closed between two steps."""
        mounts = {}
        for path in within:
            mount, _ = self.table.find(path)
            if mount is not None:
                mounts[mount.path] = mount
            for mount in self.table.within(path):
                mounts[mount.path] = mount
        return _Held([replica for mount in mounts.values() for replica in mount.replicas])

    def stat(self, path: str) -> Entry:
        """Return the entry at `path`. A mount whose store is down is still a folder."""
        mount, below = self.table.find(path)
        here = self.table.entry(path)
        if mount is None:
            if here is None:
                raise NotFound(path)
            return here
        try:
            entry = mount.read(path, lambda r: r.call(path, r.provider.stat, below))
        except (NotFound, NotADirectory, *DOWN):
            if here is None:
                raise
            return here
        if here is None:
            return entry
        return msgspec.structs.replace(entry, name=here.name) if entry.is_folder else here

    def look(self, path: str) -> Entry | None:
        """Return the entry at `path`, as `stat` does, or None."""
        mount, below = self.table.find(path)
        if mount is not None and self.table.entry(path) is None:
            return mount.read(path, lambda r: r.call(path, r.provider.look, below))
        try:
            return self.stat(path)
        except NotFound:
            return None

    def standing(self, path: str, seen: Seen | None) -> Entry:
        """Return the entry at `path`, as it was seen if that is certain."""
        if seen is not None and seen.entry is not None and self._is_certain(path):
            return seen.entry
        return self.stat(path)

    def _is_certain(self, path: str) -> bool:
        mount, _ = self.table.find(path)
        return mount is not None and mount.is_certain

    def members(self, path: str) -> Iterator[Entry]:
        """Yield what lies in a folder; raise at the call when it cannot be listed."""
        mount, below = self.table.find(path)
        above = self.table.children(path)
        if mount is None:
            if not above and path != paths.ROOT:
                raise NotFound(path)
            return iter(above.values())
        try:
            entries = mount.read(path, lambda replica: _listing(replica, path, below))
        except (NotFound, NotADirectory):
            if not above:
                raise
            entries = iter(())
        if not above:
            return entries
        return chain(above.values(), (entry for entry in entries if entry.name not in above))

    def open(self, path: str) -> TreeReader:
        """Return a reader of the first replica that serves."""
        mount, below = self.find(path)

        def start(replica: Replica) -> TreeReader:
            return TreeReader(replica.hand_out(path, replica.provider.open, below), replica, path)

        return mount.read(path, start)

    def refresh(self, path: str) -> None:
        """Have the first replica that serves ask its store anew, if it remembers `path`."""
        mount, below = self.table.find(path)
        if mount is not None:
            mount.read(path, lambda replica: replica.call(path, replica.provider.refresh, below))

    def find(self, path: str) -> tuple[Mount, str]:
        """Return the mount of a path that may be a file."""
        if self.table.entry(path) is not None:
            raise IsADirectory(path)
        mount, below = self.table.find(path)
        if mount is None:
            raise NotFound(path)
        return mount, below

    def changeable(self, path: str) -> tuple[Replica, str]:
        """Return the replica that takes changes at `path`; refuse mounts and what is no store."""
        if self.table.entry(path) is not None:
            raise Denied(path, detail="mounts are changed in the configuration only")
        mount, below = self.table.find(path)
        if mount is None:
            raise ReadOnly(
                path, detail="no store is mounted here; use a folder that the root lists"
            )
        return mount.writable(path), below

    def refuse_mounts(self, path: str) -> None:
        """Raise Denied when a mount lies at or beneath `path`."""
        for mount in self.table.within(path):
            raise Denied(path, detail=f"{mount.path} is mounted beneath it")

    def existing(self, path: str, seen: Seen | None = None) -> Entry | None:
        """Return what the store that takes changes has at `path`, or None."""
        if seen is not None and self._is_certain(path):
            return seen.entry
        replica, below = self.changeable(path)
        try:
            return replica.call(path, replica.provider.stat, below)
        except NotFound:
            return None

    def accepts_unseen(self, path: str) -> bool:
        """Tell whether the store takes files while it cannot say what it has at `path`."""
        mount, _ = self.table.find(path)
        return mount is not None and mount.primary.provider.capabilities.deferred

    def has_links(self, path: str) -> bool:
        """Tell whether folders at `path` may be links to others."""
        mount, _ = self.table.find(path)
        return mount is not None and mount.primary.provider.capabilities.links

    def make_folder(self, path: str) -> Entry:
        """Make one folder."""
        replica, below = self.changeable(path)
        return replica.call(path, replica.provider.mkdir, below)

    def remove_file(self, path: str, *, expect: str | None = None) -> None:
        """Remove one file."""
        replica, below = self.changeable(path)
        replica.call(path, replica.provider.remove, below, expect=expect)

    def remove_folder(self, path: str) -> None:
        """Remove one empty folder."""
        replica, below = self.changeable(path)
        replica.call(path, replica.provider.rmdir, below)

    def copy_file(self, source: str, target: str) -> None:
        """Copy one file over whatever file is at `target`: inside the store if it can."""
        replica, below = self.changeable(target)
        mount, source_below = self.find(source)
        provider = replica.provider
        if mount.primary is replica and provider.capabilities.copy:
            replica.call(target, provider.copy, source_below, below, overwrite=True)
            return
        waiting.begin()
        with self.open(source) as reader:
            made = replica.hand_out(target, provider.create, below, size_hint=reader.entry.size)
            with TreeWriter(made, replica, target, created=False) as writer:
                pour(reader, writer)
        if provider.capabilities.set_mtime:
            # The copy stands, with all its bytes: a time that is refused does not undo it.
            with contextlib.suppress(StorageError):
                replica.call(target, provider.set_mtime, below, reader.entry.mtime_ns)

    def remove_copied(self, source: str, target: str) -> None:
        """Remove a file once its copy at `target` has proved equal, byte by byte."""
        with self.open(source) as reader, self.open(target) as copy:
            if not same_bytes(reader, copy):
                raise Changed(source, detail="it differs from its copy, so it was kept")
            version = reader.entry.version
        self.remove_file(source, expect=version)


class _Held:
    """Counts a user of some stores in for a `with` block. Its replicas are fixed."""

    __slots__ = ("_replicas",)

    def __init__(self, replicas: list[Replica]) -> None:
        self._replicas = replicas

    def __enter__(self) -> None:
        for replica in self._replicas:
            replica.acquire()

    def __exit__(self, *exc: object) -> None:
        for replica in self._replicas:
            replica.release()


def _listing(replica: Replica, path: str, below: str) -> Iterator[Entry]:
    """Return the members of a folder, with the first batch fetched already."""
    batches = _batches(replica, path, below)
    first = next(batches, [])
    return chain(first, chain.from_iterable(batches))


def _batches(replica: Replica, path: str, below: str) -> Iterator[list[Entry]]:
    replica.acquire()
    try:
        entries = replica.call(path, replica.provider.scandir, below)

        def scandir() -> list[Entry]:
            return list(islice(entries, LISTING_BATCH))

        while batch := replica.call(path, scandir):
            yield batch
    finally:
        replica.release()
