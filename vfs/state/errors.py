"""What can go wrong in the state store: StateError and its leaves.

The table from leaf to HTTP status stands in `vfs/errors.py`.
"""

from collections.abc import Sequence
from typing import ClassVar

from vfs.state.base import LockRecord

__all__ = [
    "AlreadyThere",
    "Busy",
    "Damaged",
    "Full",
    "Invalid",
    "LockConflict",
    "NoSuchAccount",
    "NoSuchLock",
    "NoSuchUpload",
    "NotLockOwner",
    "StateError",
    "TooLarge",
    "TooMany",
    "Unavailable",
    "UploadExists",
    "leaves",
]


class StateError(Exception):
    """Tells what happened, with the cause and the way out in `detail`.

    `text` and `detail` may reach a client. `where`, the store's place on this machine, is for the
    operator alone. `temporary` says that the same call may succeed later.
    """

    text: ClassVar[str] = "the state store failed"
    temporary: ClassVar[bool] = False

    def __init__(self, detail: str = "", where: str = "") -> None:
        super().__init__(detail, where)
        self.detail = detail
        self.where = where

    def __str__(self) -> str:
        what = f"{self.text} ({self.detail})" if self.detail else self.text
        return f"{what} [{self.where}]" if self.where else what


class LockConflict(StateError):
    """Other locks stand in the way; `locks` are these."""

    text = "it is locked"

    def __init__(self, locks: Sequence[LockRecord]) -> None:
        super().__init__(f"by {len(locks)} other, the first at {locks[0].path!r}" if locks else "")
        self.args = (locks,)
        self.locks = tuple(locks)


class NoSuchLock(StateError):
    """The token names no lock, or one that has expired."""

    text = "there is no such lock, or it has expired"


class NotLockOwner(StateError):
    """The lock is somebody else's."""

    text = "the lock belongs to somebody else"


class NoSuchUpload(StateError):
    """There is no such session for this owner."""

    text = "there is no such upload"


class UploadExists(StateError):
    """The owner has a session of this name."""

    text = "an upload of this name is under way; end it or choose another name"


class AlreadyThere(StateError):
    """The name is taken."""

    text = "the name is taken"


class NoSuchAccount(StateError):
    """There is no user, password, share or secret of this name."""

    text = "there is no such name"


class TooLarge(StateError):
    """One value is larger than the store takes."""

    text = "the value is too large"


class TooMany(StateError):
    """One client or one resource holds as much as it may."""

    text = "there are too many already"


class Invalid(StateError):
    """A path, name or number that cannot be."""

    text = "the value cannot be stored"


class Busy(StateError):
    """Others held the store for longer than we wait."""

    text = "the state store is busy; try again"
    temporary = True


class Full(StateError):
    """The disk that holds the store is full."""

    text = "the state store has no space left; free some on its disk"


class Unavailable(StateError):
    """The store cannot be opened, read or written."""

    text = "the state store cannot be used"


class Damaged(StateError):
    """The store's file is not what was written."""

    text = "the state store is damaged; stop the gateway and restore the file, or move it away"


def leaves() -> tuple[type[StateError], ...]:
    """Return every leaf, so that tables can be checked for completeness."""
    return tuple(StateError.__subclasses__())
