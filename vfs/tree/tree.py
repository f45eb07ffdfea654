"""Tree: the one namespace, and the one place where rights are checked.

Every face (WebDAV, REST, FUSE, staging) calls these operations, always with a Caller. Each parses
its path once, checks the right before it touches a store, finds the mount, asks the breaker, calls
the provider and emits an event.
"""

from collections.abc import Iterator

import msgspec

from providers.base import Capabilities, Entry, Reader, Usage, Writer
from providers.errors import (
    AlreadyExists,
    Changed,
    InvalidPath,
    IsADirectory,
    NotFound,
)
from vfs.auth.caller import Caller
from vfs.auth.rights import Right, Rights
from vfs.tree import paths, subtree
from vfs.tree.events import Event, Events, Happening
from vfs.tree.handles import TreeWriter
from vfs.tree.mounts import MountTable, Replica
from vfs.tree.steps import Steps
from vfs.tree.subtree import Failure, Guard


class Outcome(msgspec.Struct, frozen=True):
    """What a copy or rename did: whether the target is new, and which members it left out."""

    created: bool
    failures: list[Failure]


class Tree:
    """The namespace. `events` is fixed; `_steps` and `_rights` are replaced whole by `remount`."""

    def __init__(
        self, table: MountTable, rights: Rights | None = None, events: Events | None = None
    ) -> None:
        self.events = events or Events()
        self._steps = Steps(table)
        self._rights = rights or Rights()

    @property
    def table(self) -> MountTable:
        """The mounts in force."""
        return self._steps.table

    @property
    def rights(self) -> Rights:
        """The rules in force."""
        return self._rights

    def remount(self, table: MountTable, rights: Rights) -> None:
        """Put other mounts and rules in force; operations under way end on the old ones."""
        self._steps, self._rights = Steps(table), rights

    # Reading

    def stat(self, caller: Caller, path: str) -> Entry:
        """Return the entry at `path`. A mount whose store is down is still a folder."""
        path = paths.parse(path)
        rights = self._rights
        if not rights.leads_somewhere(caller, path):
            rights.check(caller, path, Right.LIST, Right.READ)
        return self._steps.stat(path)

    def scandir(self, caller: Caller, path: str) -> Iterator[Entry]:
        """Yield the members of a folder that `caller` may see, in constant memory.

        Raises at the call, not at the first step, when the folder cannot be listed.
        """
        path = paths.parse(path)
        rights = self._rights
        if rights.allows(caller, path, Right.LIST):
            return self._steps.members(path)
        if not rights.leads_somewhere(caller, path):
            rights.check(caller, path, Right.LIST)
        return (
            entry
            for entry in self._steps.members(path)
            if rights.allows_any(caller, paths.join(path, entry.name), Right.LIST, Right.READ)
            or rights.leads_somewhere(caller, paths.join(path, entry.name))
        )

    def open(self, caller: Caller, path: str) -> Reader:
        """Return a reader of the file's present version."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.READ)
        return self._steps.open(path)

    def checksum(
        self, caller: Caller, path: str, algorithm: str, *, expect: str | None = None
    ) -> bytes | None:
        """Return the store's own digest, or None when it keeps none of this kind."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.READ)
        mount, below = self._steps.find(path)
        if algorithm not in mount.primary.provider.capabilities.checksums:
            return None
        return mount.read(
            path,
            lambda replica: replica.call(
                path, replica.provider.checksum, below, algorithm, expect=expect
            ),
        )

    def usage(self, caller: Caller, path: str) -> Usage | None:
        """Return how full the store at `path` is, or None when it does not say."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.LIST, Right.READ)
        mount, below = self._steps.table.find(path)
        if mount is None or not mount.primary.provider.capabilities.usage:
            return None
        replica = mount.primary
        return replica.call(path, replica.provider.usage, below)

    def capabilities(self, path: str) -> Capabilities:
        """Return what the store at `path` can do; nothing where there is none."""
        mount, _ = self._steps.table.find(paths.parse(path))
        return Capabilities() if mount is None else mount.primary.provider.capabilities

    def target(self, caller: Caller, path: str) -> Entry | None:
        """Return what stands where `caller` wants to put something, or None.

        Whoever may neither create nor modify here is not told.
        """
        path = paths.parse(path)
        self._rights.check(caller, path, Right.CREATE, Right.MODIFY, Right.LOCK)
        try:
            return self._steps.stat(path)
        except NotFound:
            return None

    def check(self, caller: Caller, path: str, right: Right) -> None:
        """Raise Denied unless `caller` has `right` at `path`: for what changes no store."""
        self._rights.check(caller, paths.parse(path), right)

    # Changing

    def create(
        self,
        caller: Caller,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
    ) -> TreeWriter:
        """Return a writer of a new content for `path`; see Provider.create.

        A new file needs the right `create`, one that is there `modify`. Whoever has only one of
        them is held to it at commit too.
        """
        path = paths.parse(path)
        rights = self._rights
        rights.check(caller, path, Right.CREATE, Right.MODIFY)
        replica, below = self._steps.changeable(path)
        entry = self._steps.existing(path)
        if entry is None:
            rights.check(caller, path, Right.CREATE)
            paths.check_new(path)
            if expect is not None:
                raise NotFound(path)
        else:
            if entry.is_folder:
                raise IsADirectory(path)
            rights.check(caller, path, Right.MODIFY)
            if not overwrite:
                raise AlreadyExists(path)
        if not rights.allows(caller, path, Right.MODIFY):
            overwrite = False
        elif entry is not None and expect is None and not rights.allows(caller, path, Right.CREATE):
            expect = entry.version
        writer = replica.call(
            path,
            replica.provider.create,
            below,
            overwrite=overwrite,
            expect=expect,
            size_hint=size_hint,
        )
        return self._writer(caller, writer, replica, path, created=entry is None)

    def modify(self, caller: Caller, path: str, *, expect: str | None = None) -> TreeWriter:
        """Return a writer that starts with the present content; see Provider.modify."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.MODIFY)
        replica, below = self._steps.changeable(path)
        writer = replica.call(path, replica.provider.modify, below, expect=expect)
        return self._writer(caller, writer, replica, path, created=False)

    def mkdir(self, caller: Caller, path: str) -> Entry:
        """Make one folder in a folder that exists."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.CREATE)
        if self._steps.table.entry(path) is not None:
            raise AlreadyExists(path)
        paths.check_new(path)
        entry = self._steps.make_folder(path)
        self._emit(Happening.CREATED, path, caller, entry=entry)
        return entry

    def remove(
        self,
        caller: Caller,
        path: str,
        *,
        expect: str | None = None,
        guard: Guard | None = None,
    ) -> list[Failure]:
        """Remove a file, or a folder with all it holds; return the members that stayed.

        Whatever stays keeps the folders that lead to it. `expect` concerns a file.
        """
        path = paths.parse(path)
        self._rights.check(caller, path, Right.DELETE)
        self._steps.changeable(path)
        self._steps.refuse_mounts(path)
        entry = self._steps.stat(path)
        if expect is not None and entry.version != expect:
            raise Changed(path)
        failures = self._remove(path, entry, expect, guard)
        self._emit(Happening.CHANGED if failures else Happening.REMOVED, path, caller)
        return failures

    def set_mtime(self, caller: Caller, path: str, mtime_ns: int) -> Entry:
        """Set the modification time of a file or folder."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.MODIFY)
        replica, below = self._steps.changeable(path)
        entry = replica.call(path, replica.provider.set_mtime, below, mtime_ns)
        self._emit(Happening.CHANGED, path, caller, entry=entry)
        return entry

    def copy(
        self,
        caller: Caller,
        source: str,
        target: str,
        *,
        overwrite: bool = False,
        shallow: bool = False,
        guard: Guard | None = None,
    ) -> Outcome:
        """Copy a file, or a folder with all it holds (`shallow`: without), also across stores.

        A file at `target` stays until its successor is whole; a folder there is removed first.
        """
        source, target = paths.parse(source), paths.parse(target)
        self._rights.check(caller, source, Right.READ)
        entry, there = self._begin(caller, source, target, overwrite=overwrite)
        failures = self._clear(target, there, entry, guard)
        if not failures:
            if not entry.is_folder:
                self._steps.copy_file(source, target)
            elif shallow:
                self._steps.make_folder(target)
            else:
                failures = subtree.copy(self._steps, source, target, guard)
        self._emit(Happening.CHANGED if there else Happening.CREATED, target, caller)
        return Outcome(there is None, failures)

    def rename(
        self,
        caller: Caller,
        source: str,
        target: str,
        *,
        overwrite: bool = False,
        guard: Guard | None = None,
    ) -> Outcome:
        """Give a file or folder another name, also across stores.

        Inside a store that can it is one step. Otherwise everything is copied first; then each
        file is compared with its copy and only then removed. What fails keeps its source.
        """
        source, target = paths.parse(source), paths.parse(target)
        self._rights.check(caller, source, Right.READ)
        self._rights.check(caller, source, Right.DELETE)
        origin, below = self._steps.changeable(source)
        self._steps.refuse_mounts(source)
        entry, there = self._begin(caller, source, target, overwrite=overwrite)
        failures = self._clear(target, there, entry, guard)
        if not failures:
            goal, goal_below = self._steps.changeable(target)
            if origin is goal and origin.provider.capabilities.rename:
                origin.call(source, origin.provider.rename, below, goal_below, overwrite=overwrite)
            elif entry.is_folder:
                failures = subtree.copy(self._steps, source, target, guard)
                if not failures:
                    failures = subtree.remove(self._steps, source, copied_to=target)
            else:
                self._steps.copy_file(source, target)
                self._steps.remove_copied(source, target)
        if failures:
            self._emit(Happening.CHANGED, source, caller)
            self._emit(Happening.CHANGED, target, caller)
        else:
            self._emit(Happening.MOVED, source, caller, target=target)
        return Outcome(there is None, failures)

    # Shared by several operations

    def _writer(
        self, caller: Caller, writer: Writer, replica: Replica, path: str, *, created: bool
    ) -> TreeWriter:
        happening = Happening.CREATED if created else Happening.CHANGED

        def committed(entry: Entry) -> None:
            self._emit(happening, path, caller, entry=entry)

        return TreeWriter(writer, replica, path, created=created, committed=committed)

    def _begin(
        self, caller: Caller, source: str, target: str, *, overwrite: bool
    ) -> tuple[Entry, Entry | None]:
        """Check both ends of a copy or rename; return what is at the source and at the target."""
        if paths.is_within(target, source) or paths.is_within(source, target):
            raise InvalidPath(target, detail=f"source and target overlap: {source!r}")
        steps, rights = self._steps, self._rights
        rights.check(caller, target, Right.CREATE, Right.MODIFY)
        steps.changeable(target)
        steps.refuse_mounts(target)
        entry = steps.stat(source)
        there = steps.existing(target)
        if there is None:
            rights.check(caller, target, Right.CREATE)
            paths.check_new(target)
            return entry, None
        if not overwrite:
            raise AlreadyExists(target)
        rights.check(caller, target, Right.MODIFY)
        if there.is_folder or entry.is_folder:
            rights.check(caller, target, Right.DELETE)
        return entry, there

    def _clear(
        self, target: str, there: Entry | None, source: Entry, guard: Guard | None
    ) -> list[Failure]:
        """Remove what stands at `target`, unless a file will replace it in one step."""
        if there is None or not (there.is_folder or source.is_folder):
            return []
        return self._remove(target, there, None, guard)

    def _remove(
        self, path: str, entry: Entry, expect: str | None, guard: Guard | None
    ) -> list[Failure]:
        if entry.is_folder:
            return subtree.remove(self._steps, path, guard=guard)
        if guard is not None:
            guard(path)
        self._steps.remove_file(path, expect=expect)
        return []

    def _emit(
        self,
        happening: Happening,
        path: str,
        caller: Caller,
        *,
        target: str | None = None,
        entry: Entry | None = None,
    ) -> None:
        self.events.emit(
            Event(happening=happening, path=path, caller=caller, target=target, entry=entry)
        )
