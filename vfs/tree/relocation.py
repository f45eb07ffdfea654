"""Relocation: one copy or rename, within a store or across two."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from providers import waiting
from providers.base import Entry
from providers.errors import AlreadyExists, Denied, InvalidPath
from vfs.auth.caller import Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights
from vfs.tree import paths, subtree
from vfs.tree.computed_place import ComputedPlace
from vfs.tree.events import Event, Events, Happening
from vfs.tree.steps import Seen, Steps
from vfs.tree.subtree import Failure, Guard


class Outcome(msgspec.Struct, frozen=True):
    """What a copy or rename did: whether the target is new, and which members it left out."""

    created: bool
    failures: list[Failure]


class Relocation:
    """Brings what is at `source` to `target`; asks every right first. All attributes are fixed.

    Each step that took place is told, also when a later one fails.
    """

    def __init__(
        self,
        steps: Steps,
        rights: Rights,
        events: Events,
        caller: Caller,
        *,
        source: str,
        target: str,
        overwrite: bool,
        guard: Guard | None,
        seen: tuple[Seen, Seen] | None = None,
    ) -> None:
        self._steps = steps
        self._rights = rights
        self._events = events
        self._caller = caller
        self._source = paths.parse(source)
        self._target = paths.parse(target)
        self._overwrite = overwrite
        self._guard = guard
        self._seen = seen or (None, None)

    def copy(self, *, shallow: bool) -> Outcome:
        """Copy; a folder with all it holds unless `shallow`."""
        with self._steps.held(self._source, self._target):
            return self._copy(shallow=shallow)

    def rename(self) -> Outcome:
        """Rename in one step where a store can, else copy everything and then remove it."""
        with self._steps.held(self._source, self._target):
            return self._rename()

    def _copy(self, *, shallow: bool) -> Outcome:
        steps, source, target = self._steps, self._source, self._target
        self._rights.check(self._caller, source, Right.READ)
        self._check_computed()
        entry, there = self._begin()
        if entry.is_folder or (there is not None and there.is_folder):
            waiting.begin()
        failures: list[Failure] = []
        with self._cleared(entry, there) as kept:
            if kept:
                return Outcome(created=False, failures=kept)
            if not entry.is_folder:
                steps.copy_file(source, target)
            elif shallow:
                steps.make_folder(target)
            else:
                failures = subtree.copy(steps, source, target, self._guard)
        self._emit(Happening.COPIED, source, target=target, shallow=shallow, partial=bool(failures))
        return Outcome(created=there is None, failures=failures)

    def _rename(self) -> Outcome:
        steps, source, target = self._steps, self._source, self._target
        self._rights.check(self._caller, source, Right.READ)
        self._rights.check(self._caller, source, Right.DELETE)
        origin, below = steps.changeable(source)
        steps.refuse_mounts(source)
        entry, there = self._begin()
        goal, goal_below = steps.changeable(target)
        in_one_step = origin is goal and origin.provider.capabilities.rename
        failures: list[Failure] = []
        if not in_one_step or (there is not None and (there.is_folder or entry.is_folder)):
            waiting.begin()
        with self._cleared(entry, there) as kept:
            if kept:
                return Outcome(created=False, failures=kept)
            if in_one_step:
                origin.call(
                    source, origin.provider.rename, below, goal_below, overwrite=self._overwrite
                )
            elif entry.is_folder:
                failures = subtree.copy(steps, source, target, self._guard)
            else:
                steps.copy_file(source, target)
        is_whole = False
        try:
            if not (in_one_step or failures):
                failures = self._remove_copied(entry)
            is_whole = not failures
        finally:
            self._emit(Happening.MOVED, source, target=target, partial=not is_whole)
        return Outcome(created=there is None, failures=failures)

    def _check_computed(self) -> None:
        """Check what a derived file is made from; refuse to copy a folder of such files."""
        table, source = self._steps.table, self._source
        place = ComputedPlace.find(table, self._rights, source)
        if place is not None:
            place.admit(self._caller)
            if place.is_folder():
                raise Denied(source, detail="derived files are copied one by one")
        elif table.computes and any(mount.computes for mount in table.within(source)):
            raise Denied(source, detail="derived files beneath it are copied one by one")

    def _begin(self) -> tuple[Entry, Entry | None]:
        """Check both ends; return what is at the source and at the target."""
        source, target = self._source, self._target
        if paths.is_within(target, source) or paths.is_within(source, target):
            raise InvalidPath(target, detail=f"source and target overlap: {source!r}")
        caller, steps, rights = self._caller, self._steps, self._rights
        rights.check(caller, target, Right.CREATE, Right.MODIFY)
        steps.changeable(target)
        steps.refuse_mounts(target)
        entry = steps.standing(source, self._seen[0])
        if entry.is_folder:
            # Where it arrives, the names in it may be there for the caller to list.
            rights.check(caller, source, Right.LIST)
        there = steps.existing(target, self._seen[1])
        if there is None:
            rights.check(caller, target, Right.CREATE)
            paths.check_new(target)
            return entry, None
        if not self._overwrite:
            raise AlreadyExists(target)
        rights.check(caller, target, Right.MODIFY)
        if there.is_folder or entry.is_folder:
            rights.check(caller, target, Right.DELETE)
        return entry, there

    @contextmanager
    def _cleared(self, entry: Entry, there: Entry | None) -> Iterator[list[Failure]]:
        """Remove what stands at the target, unless a file will replace it in one step.

        Gives what stayed. When the block, which is to fill the target, does not come to its end,
        the removal is told.
        """
        if there is None or not (there.is_folder or entry.is_folder):
            yield []
            return
        if there.is_folder:
            failures = subtree.remove(self._steps, self._target, guard=self._guard)
        else:
            failures = subtree.remove_file(self._steps, self._target, guard=self._guard)
        is_filled = False
        try:
            yield failures
            is_filled = not failures
        finally:
            if not is_filled:
                self._emit(Happening.REMOVED, self._target, partial=bool(failures))

    def _remove_copied(self, entry: Entry) -> list[Failure]:
        source, target, guard = self._source, self._target, self._guard
        if entry.is_folder:
            return subtree.remove(self._steps, source, guard=guard, copied_to=target)
        if guard is not None:
            guard(source)
        self._steps.remove_copied(source, target)
        return []

    def _emit(
        self,
        happening: Happening,
        path: str,
        *,
        target: str | None = None,
        shallow: bool = False,
        partial: bool = False,
    ) -> None:
        waiting.allow()
        self._events.emit(
            Event(
                happening=happening,
                path=path,
                caller=self._caller,
                target=target,
                shallow=shallow,
                partial=partial,
            )
        )
