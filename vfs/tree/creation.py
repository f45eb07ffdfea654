"""Creation: whether, and on which conditions, a new content may be put at a path."""

from typing import NamedTuple

from providers.errors import AlreadyExists, IsADirectory, NotFound, TimedOut, Unavailable
from vfs.auth.caller import Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights
from vfs.tree import paths
from vfs.tree.mounts import Replica
from vfs.tree.steps import Seen, Steps


class Creation(NamedTuple):
    """Where the content goes, and what the store must still find there at commit.

    `is_new` is None while nobody has asked.
    """

    replica: Replica
    below: str
    overwrite: bool
    expect: str | None
    is_new: bool | None


def takes_unasked(steps: Steps, rights: Rights, caller: Caller, path: str) -> bool:
    """Tell whether a file may be put at a parsed path by who does not ask first what is there.

    So it is with who may both create and modify, where a store is near: it tells that itself.
    """
    mount, _ = steps.table.find(path)
    return (
        mount is not None
        and not mount.read_only
        and steps.table.entry(path) is None
        and mount.is_prompt
        and mount.is_certain
        and path.isascii()
        and rights.allows(caller, path, Right.CREATE)
        and rights.allows(caller, path, Right.MODIFY)
    )


def admit(
    steps: Steps,
    rights: Rights,
    caller: Caller,
    path: str,
    *,
    overwrite: bool,
    expect: str | None,
    seen: Seen | None = None,
    unasked: bool = False,
) -> Creation:
    """Check rights and conditions of a parsed path before a byte is taken.

    A new file needs the right `create`, one that is there `modify`. Whoever has only one of them is
    held to it at commit too.
    """
    rights.check(caller, path, Right.CREATE, Right.MODIFY)
    replica, below = steps.changeable(path)
    if unasked:
        rights.check(caller, path, Right.CREATE)
        rights.check(caller, path, Right.MODIFY)
        paths.check_new(path)
        return Creation(replica, below, overwrite, expect, is_new=None)
    try:
        entry = steps.existing(path, seen)
    except (Unavailable, TimedOut):
        if not steps.accepts_unseen(path):
            raise
        # Whichever is there: who may both create and modify may do this.
        rights.check(caller, path, Right.CREATE)
        rights.check(caller, path, Right.MODIFY)
        entry = None
    else:
        if entry is None and expect is not None:
            rights.check(caller, path, Right.CREATE)
            raise NotFound(path)
    if entry is None:
        rights.check(caller, path, Right.CREATE)
        paths.check_new(path)
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
    return Creation(replica, below, overwrite, expect, entry is None)
