"""Operations on a folder and everything beneath it, member by member.

One member that cannot be handled hinders no other: it is reported, it stays, and so do the folders
that lead to it. The walk keeps a stack of its own, so a deep tree costs memory by depth only.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import ParamSpec

import msgspec

from providers import waiting
from providers.base import Entry
from providers.errors import AlreadyExists, NotEmpty, NotFound, StorageError, Unsupported
from vfs.tree import paths
from vfs.tree.steps import Steps

P = ParamSpec("P")

Guard = Callable[[str], None]
"""Called with each path before it is touched; raises a StorageError to keep it."""


class Failure(msgspec.Struct, frozen=True):
    """One member that was left as it was, and why."""

    path: str
    error: StorageError


class _Frame:
    """A folder on the way down: its path, what is left of it, and whether something stays."""

    def __init__(self, path: str, members: Iterator[Entry], version: str = "") -> None:
        self.path = path
        self.version = version
        self.members = members
        self.kept = False


def remove(
    steps: Steps, path: str, *, guard: Guard | None = None, copied_to: str | None = None
) -> list[Failure]:
    """Remove the folder at `path` with all it holds; return what stayed.

    With `copied_to`, each file goes only once its copy beneath that path has proved equal.
    """
    failures: list[Failure] = []
    stack: list[_Frame] = []
    kept = _go_in(steps, path, guard, stack, failures)
    while stack:
        frame = stack[-1]
        frame.kept |= kept
        kept = False
        try:
            entry = next(frame.members, None)
        except StorageError as error:
            failures.append(Failure(frame.path, error))
            frame.kept = True
            entry = None
        if entry is None:
            stack.pop()
            kept = frame.kept or not _try(failures, frame.path, _remove_folder, steps, frame.path)
            continue
        member = paths.join(frame.path, entry.name)
        if entry.is_folder:
            frame.kept |= _go_in(steps, member, guard, stack, failures)
        elif guard and not _try(failures, member, guard, member):
            frame.kept = True
        elif copied_to is None:
            frame.kept |= not _try(failures, member, _remove_file, steps, member)
        else:
            goal = paths.rebase(member, path, copied_to)
            frame.kept |= not _try(failures, member, steps.remove_copied, member, goal)
    return failures


def remove_file(
    steps: Steps, path: str, *, expect: str | None = None, guard: Guard | None = None
) -> list[Failure]:
    """Remove one file; return that it stayed when `guard` keeps it. Raises what the store does."""
    failures: list[Failure] = []
    if guard is None or _try(failures, path, guard, path):
        steps.remove_file(path, expect=expect)
    return failures


def copy(steps: Steps, source: str, target: str, guard: Guard | None = None) -> list[Failure]:
    """Copy the folder at `source`, with all it holds, to `target`; return what was not copied.

    `guard` is asked for each target path. Folders that are there already are filled. Raises what
    hinders `target` itself.
    """
    failures: list[Failure] = []
    stack: list[_Frame] = []
    _make(steps, target, guard)
    has_links = steps.has_links(source)
    root = steps.stat(source)
    _push(steps, source, root, stack, failures)
    while stack:
        frame = stack[-1]
        try:
            entry = next(frame.members, None)
        except StorageError as error:
            failures.append(Failure(frame.path, error))
            entry = None
        if entry is None:
            stack.pop()
            continue
        member = paths.join(frame.path, entry.name)
        goal = paths.rebase(member, source, target)
        if not entry.is_folder:
            if not guard or _try(failures, goal, guard, goal):
                _try(failures, goal, steps.copy_file, member, goal)
        elif has_links and any(entry.version == above.version for above in stack):
            loop = Unsupported(member, detail="it is a link to a folder above itself")
            failures.append(Failure(goal, loop))
        elif _try(failures, goal, _make, steps, goal, guard):
            _push(steps, member, entry, stack, failures)
    return failures


def _push(
    steps: Steps, path: str, entry: Entry, stack: list[_Frame], failures: list[Failure]
) -> None:
    """Push a folder to be copied."""
    try:
        stack.append(_Frame(path, steps.members(path), entry.version))
    except StorageError as error:
        failures.append(Failure(path, error))


def _remove_file(steps: Steps, path: str) -> None:
    with contextlib.suppress(NotFound):
        steps.remove_file(path)


def _remove_folder(steps: Steps, path: str) -> None:
    with contextlib.suppress(NotFound):
        steps.remove_folder(path)


def _make(steps: Steps, path: str, guard: Guard | None) -> None:
    if guard:
        guard(path)
    with contextlib.suppress(AlreadyExists):
        steps.make_folder(path)


def _go_in(
    steps: Steps,
    path: str,
    guard: Guard | None,
    stack: list[_Frame],
    failures: list[Failure],
) -> bool:
    """Push a folder to be emptied; return True when it has to be kept as it is.

    A link to a folder is removed instead: what it leads to is not what was asked to go. So is one
    that may be empty, in a thread that has no time to look.
    """
    try:
        if guard:
            guard(path)
        if steps.has_links(path) or waiting.is_refused():
            with contextlib.suppress(NotEmpty):
                steps.remove_folder(path)
                return False
            waiting.begin()
        stack.append(_Frame(path, steps.members(path)))
    except NotFound:
        return False
    except StorageError as error:
        failures.append(Failure(path, error))
        return True
    return False


def _try(
    failures: list[Failure], path: str, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs
) -> bool:
    """Take one step; note its failure and return False if it has one."""
    try:
        step(*args, **kwargs)
    except StorageError as error:
        failures.append(Failure(path, error))
        return False
    return True
