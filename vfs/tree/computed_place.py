"""ComputedPlace: one path of a computed mount, for one set of rights.

The one place where the rights on what a computed file is made from are checked. They are asked
whether or not the file is made already, and before any store is asked.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from typing import Self

import msgspec

from providers.base import Entry, Reader
from providers.errors import Denied, NotFound, StorageError
from vfs.auth.caller import Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights
from vfs.tree import paths
from vfs.tree.computed import NO_SOURCE, ComputedProvider, LateReader, Touch
from vfs.tree.handles import TreeReader
from vfs.tree.mounts import MountTable, Replica
from vfs.tree.unmade import Unmade


class ComputedPlace:
    """Does the tree's operations at one path of a computed mount. All attributes are fixed."""

    def __init__(
        self, rights: Rights, replica: Replica, provider: ComputedProvider, path: str, below: str
    ) -> None:
        self._rights = rights
        self._replica = replica
        self._provider = provider
        self._path = path
        self._below = below

    @classmethod
    def find(cls, table: MountTable, rights: Rights, path: str) -> Self | None:
        """Return the place of `path`, None where nothing is computed."""
        if not table.computes:
            return None
        mount, below = table.find(path)
        if mount is None or mount.computed is None:
            return None
        return cls(rights, mount.primary, mount.computed, path, below)

    def admit(self, caller: Caller) -> None:
        """Raise NotFound or Denied unless `caller` may use what the path is made from."""
        try:
            touches = self._replica.call(self._path, self._provider.touches, self._below)
        except Unmade as error:
            self._help(caller, error)
            raise
        for touch in touches:
            if not self._allows(caller, touch):
                raise self._refusal(caller, touch)

    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return self._replica.call(self._path, self._provider.known, self._below).is_folder

    def stat(self, caller: Caller, right: Right | None) -> Entry:
        """Return the entry; who wants to remove it learns no size."""
        self.admit(caller)
        if right is not None and right is not Right.READ:
            entry = self._replica.call(self._path, self._provider.known, self._below)
        else:
            with self._helped(caller):
                entry = self._replica.call(
                    self._path, self._provider.stat_for, self._below, _who(caller)
                )
        return msgspec.structs.replace(entry, name=paths.basename(self._path))

    def scandir(self, caller: Caller) -> Iterator[Entry]:
        """Yield the members that come from what `caller` may see."""
        self.admit(caller)

        def sees(path: str) -> bool:
            return self._allows(caller, Touch(path, is_read=False))

        with self._helped(caller):
            return self._replica.call(self._path, self._provider.members_for, self._below, sees)

    def open(self, caller: Caller) -> TreeReader:
        """Return a reader of the file, made if need be."""
        self.admit(caller)
        try:
            reader = self._replica.hand_out(
                self._path, self._provider.open_for, self._below, _who(caller)
            )
        except Unmade as error:
            self._help(caller, error)
            raise
        if not isinstance(reader, LateReader):
            return TreeReader(reader, self._replica, self._path)
        return _ComputedReader(reader, self._replica, self._path, partial(self._helped, caller))

    def refresh(self, caller: Caller, *, remake: bool) -> None:
        """Ask the stores anew; with `remake`, make the file once more."""
        self.admit(caller)
        self._replica.call(
            self._path, self._provider.renew, self._below, _who(caller), remake=remake
        )

    def remove(self, caller: Caller) -> None:
        """Forget the file, or all beneath."""
        self.admit(caller)
        self._replica.call(self._path, self._provider.purge, self._below)

    @contextmanager
    def _helped(self, caller: Caller) -> Iterator[None]:
        """Do `_help` for what is raised inside."""
        try:
            yield
        except Unmade as error:
            self._help(caller, error)
            raise

    def _help(self, caller: Caller, error: Unmade) -> None:
        """Show with a refusal the nearest path that works, and that `caller` may read."""
        error.example = next(
            (path for path in self._provider.examples(error) if self._works(caller, path)), ""
        )

    def _works(self, caller: Caller, path: str) -> bool:
        below = path[len(self._path) - len(self._below) :].removeprefix("/")
        try:
            is_allowed = all(self._allows(caller, touch) for touch in self._provider.touches(below))
            if is_allowed:
                self._provider.check(below)
        except StorageError:
            return False
        return is_allowed

    def _allows(self, caller: Caller, touch: Touch) -> bool:
        rights = self._rights
        if touch.is_read:
            return rights.allows(caller, touch.path, Right.READ)
        return rights.allows_any(
            caller, touch.path, Right.LIST, Right.READ
        ) or rights.leads_somewhere(caller, touch.path)

    def _refusal(self, caller: Caller, touch: Touch) -> NotFound | Denied:
        """Return what hides whether the source exists, unless the caller may list it anyway."""
        if caller.name is None:
            return Denied(self._path, detail="no rule lets a caller without a login see its source")
        if self._rights.allows(caller, touch.path, Right.LIST):
            return Denied(self._path, detail=f"it needs the right 'read' at {touch.path}")
        return NotFound(self._path, detail=NO_SOURCE)


class _ComputedReader(TreeReader):
    """A reader of what may not be made yet: its entry and its bytes may still be refused.

    All is fixed but `entry`, which is found out once.
    """

    def __init__(
        self,
        reader: Reader,
        replica: Replica,
        path: str,
        helped: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__(reader, replica, path)
        self._helped = helped

    @cached_property
    def entry(self) -> Entry:  # type: ignore[override] # nobody sets it
        """What is made, or what will be."""
        with self._helped():
            return self._replica.call(self._path, self._look)

    def _look(self) -> Entry:
        return self._reader.entry

    def prepare(self) -> None:
        """Have it made."""
        with self._helped():
            super().prepare()


def _who(caller: Caller) -> str:
    return caller.name or ""
