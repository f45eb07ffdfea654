"""Tree: the one namespace, and the one place where rights are checked.

Every face (WebDAV, REST, FUSE, staging) calls these operations, always with a Caller. Each parses
its path once, checks the right before it touches a store, finds the mount, asks the breaker, calls
the provider and emits an event.
"""

from collections.abc import Iterator

from providers import waiting
from providers.base import Capabilities, Entry, Usage, Writer
from providers.errors import (
    AlreadyExists,
    Changed,
    NotADirectory,
    NotFound,
    StorageError,
    TimedOut,
    Unavailable,
)
from vfs.auth.caller import Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights
from vfs.tree import creation, paths, subtree
from vfs.tree.computed_place import ComputedPlace
from vfs.tree.events import Event, Events, Happening
from vfs.tree.handles import TreeReader, TreeWriter
from vfs.tree.mounts import MountTable, Replica
from vfs.tree.relocation import Outcome, Relocation
from vfs.tree.steps import Seen, Steps
from vfs.tree.subtree import Failure, Guard

REMOVED_AT_ONCE_BYTES = 16 * 1024 * 1024
"""A larger file keeps a disk busy for a while when it goes."""


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

    def regulate(self, rights: Rights) -> None:
        """Put other rules in force."""
        self._rights = rights

    # Reading

    def stat(self, caller: Caller, path: str, right: Right | None = None) -> Entry:
        """Return the entry at `path`. A mount whose store is down is still a folder.

        Whoever is about to do what needs `right` must have that one; else one to look.
        """
        path = paths.parse(path)
        rights = self._rights
        if right is not None:
            rights.check(caller, path, right)
        elif not rights.leads_somewhere(caller, path):
            rights.check(caller, path, Right.LIST, Right.READ)
        if (place := self._computed(path)) is not None:
            return place.stat(caller, right)
        try:
            return self._steps.stat(path)
        except NotADirectory as error:
            raise _beneath_a_file(path) from error

    def scandir(self, caller: Caller, path: str) -> Iterator[Entry]:
        """Yield the members of a folder that `caller` may see, in constant memory.

        Raises at the call, not at the first step, when the folder cannot be listed.
        """
        path = paths.parse(path)
        rights = self._rights
        if (place := self._computed(path)) is not None:
            rights.check(caller, path, Right.LIST)
            return place.scandir(caller)
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

    def open(self, caller: Caller, path: str) -> TreeReader:
        """Return a reader of the file's present version."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.READ)
        if (place := self._computed(path)) is not None:
            return place.open(caller)
        try:
            return self._steps.open(path)
        except NotADirectory as error:
            raise _beneath_a_file(path) from error

    def refresh(self, caller: Caller, path: str, *, remake: bool = False) -> None:
        """Have the next answer about `path` come from its store, not from what is remembered.

        Whoever may look may ask for it: it costs the store no more than a mount without a cache
        does. With `remake`, a derived file is made once more, for whoever may read it. Raises
        Unavailable when the store cannot be asked.
        """
        path = paths.parse(path)
        if (place := self._computed(path)) is not None:
            may_read = self._rights.allows(caller, path, Right.READ)
            place.refresh(caller, remake=remake and may_read)
        elif self._rights.allows_any(caller, path, Right.LIST, Right.READ):
            self._steps.refresh(path)

    def checksum(
        self, caller: Caller, path: str, algorithm: str, *, expect: str | None = None
    ) -> bytes | None:
        """Return the store's own digest, or None when it keeps none of this kind."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.READ)
        if (place := self._computed(path)) is not None:
            place.admit(caller)
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

    def target(self, caller: Caller, path: str, *, unseen: bool = False) -> Entry | None:
        """Return what stands where `caller` wants to put something, or None.

        Whoever may neither create nor modify here is not told. With `unseen`, also None when a
        store that takes files nevertheless cannot say.
        """
        path = paths.parse(path)
        self._rights.check(caller, path, Right.CREATE, Right.MODIFY, Right.LOCK)
        if self._computed(path) is not None:
            self._steps.changeable(path)
        try:
            return self._steps.look(path)
        except (Unavailable, TimedOut):
            if unseen and self._steps.accepts_unseen(path):
                return None
            raise

    def takes_unasked(self, caller: Caller, path: str) -> bool:
        """Tell whether `create` takes a file that nobody asked for `target` first."""
        return creation.takes_unasked(self._steps, self._rights, caller, paths.parse(path))

    def check(self, caller: Caller, path: str, right: Right) -> None:
        """Raise Denied unless `caller` has `right` at `path`, ReadOnly where a mount is.

        For changes that reach no store: locks, and properties of the client's own.
        """
        path = paths.parse(path)
        self._rights.check(caller, path, right)
        mount, _ = self._steps.table.find(path)
        if mount is not None:
            mount.writable(path)

    def exists(self, path: str) -> bool:
        """Tell whether the store that takes changes has something at `path`; True if it is silent.

        For the gateway's own work: no right is asked, so no answer may go to a client.
        """
        try:
            return self._steps.existing(path) is not None
        except NotADirectory:
            return False
        except StorageError:
            return True

    # Changing

    def create(
        self,
        caller: Caller,
        path: str,
        *,
        overwrite: bool = True,
        expect: str | None = None,
        size_hint: int | None = None,
        seen: Seen | None = None,
        unasked: bool = False,
    ) -> TreeWriter:
        """Return a writer of a new content for `path`; see Provider.create.

        A new file needs the right `create`, one that is there `modify`, also at commit; `unasked`
        needs both. Here and below, `seen` is what `stat` and `target` have just given.
        """
        path = paths.parse(path)
        admitted = creation.admit(
            self._steps,
            self._rights,
            caller,
            path,
            overwrite=overwrite,
            expect=expect,
            seen=seen,
            unasked=unasked,
        )
        replica = admitted.replica
        writer = replica.hand_out(
            path,
            replica.provider.create,
            admitted.below,
            overwrite=admitted.overwrite,
            expect=admitted.expect,
            size_hint=size_hint,
        )
        is_new = admitted.is_new
        if is_new is None and writer.replaces is None:
            is_new = self._steps.look(path) is None
        return self._writer(caller, writer, replica, path, created=bool(is_new))

    def modify(self, caller: Caller, path: str, *, expect: str | None = None) -> TreeWriter:
        """Return a writer that starts with the present content; see Provider.modify."""
        path = paths.parse(path)
        self._rights.check(caller, path, Right.MODIFY)
        replica, below = self._steps.changeable(path)
        writer = replica.hand_out(path, replica.provider.modify, below, expect=expect)
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
        seen: Seen | None = None,
    ) -> list[Failure]:
        """Remove a file, or a folder with all it holds; return the members that stayed.

        Whatever stays keeps the folders that lead to it. `expect` concerns a file.
        """
        path = paths.parse(path)
        self._rights.check(caller, path, Right.DELETE)
        steps = self._steps
        if (place := self._computed(path)) is not None:
            # What is derived can be made again: forgetting it is no change of the namespace.
            place.remove(caller)
            return []
        steps.changeable(path)
        steps.refuse_mounts(path)
        with steps.held(path):
            entry = steps.standing(path, seen)
            if expect is not None and entry.version != expect:
                raise Changed(path)
            if entry.size > REMOVED_AT_ONCE_BYTES:
                waiting.begin()
            if entry.is_folder:
                failures = subtree.remove(steps, path, guard=guard)
            else:
                failures = subtree.remove_file(steps, path, expect=expect, guard=guard)
        self._emit(Happening.REMOVED, path, caller, partial=bool(failures))
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
        seen: tuple[Seen, Seen] | None = None,
    ) -> Outcome:
        """Copy a file, or a folder with all it holds (`shallow`: without), also across stores.

        A file at `target` stays until its successor is whole; a folder there is removed first.
        """
        return Relocation(
            self._steps,
            self._rights,
            self.events,
            caller,
            source=source,
            target=target,
            overwrite=overwrite,
            guard=guard,
            seen=seen,
        ).copy(shallow=shallow)

    def rename(
        self,
        caller: Caller,
        source: str,
        target: str,
        *,
        overwrite: bool = False,
        guard: Guard | None = None,
        seen: tuple[Seen, Seen] | None = None,
    ) -> Outcome:
        """Give a file or folder another name, also across stores.

        Inside a store that can it is one step. Otherwise everything is copied first; then each
        file is compared with its copy and only then removed. What fails keeps its source.
        """
        return Relocation(
            self._steps,
            self._rights,
            self.events,
            caller,
            source=source,
            target=target,
            overwrite=overwrite,
            guard=guard,
            seen=seen,
        ).rename()

    # Shared by several operations

    def _computed(self, path: str) -> ComputedPlace | None:
        return ComputedPlace.find(self._steps.table, self._rights, path)

    def _writer(
        self, caller: Caller, writer: Writer, replica: Replica, path: str, *, created: bool
    ) -> TreeWriter:
        def committed(entry: Entry) -> None:
            happening = Happening.CREATED if made.created else Happening.CHANGED
            self._emit(happening, path, caller, entry=entry)

        made = TreeWriter(writer, replica, path, created=created, committed=committed)
        return made

    def _emit(
        self,
        happening: Happening,
        path: str,
        caller: Caller,
        *,
        entry: Entry | None = None,
        partial: bool = False,
    ) -> None:
        # What was changed must be told to the end, even if that has to wait.
        waiting.allow()
        self.events.emit(
            Event(happening=happening, path=path, caller=caller, entry=entry, partial=partial)
        )


def _beneath_a_file(path: str) -> NotFound:
    return NotFound(path, detail="a file stands where a folder would have to be")
