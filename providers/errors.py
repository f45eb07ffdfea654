"""What can go wrong in a store: StorageError and its leaves.

A provider translates every error of its library into one of these, in one `_translate`. Each leaf
is also an OSError with the matching errno, so that code that knows only the standard library
handles it rightly. The table from leaf to HTTP status stands in `vfs/errors.py`.

Two things are told apart: what happened (the class) and whether trying again may help
(`temporary`). A provider need not fill in its own name, the operation and the path: the tree adds
what is missing, once, for all.
"""

import errno
import os
from typing import ClassVar, Self

__all__ = [
    "AlreadyExists",
    "BadCredentials",
    "BadRange",
    "Changed",
    "Corrupted",
    "Denied",
    "InvalidPath",
    "IsADirectory",
    "NoSpace",
    "NotADirectory",
    "NotEmpty",
    "NotFound",
    "RateLimited",
    "ReadOnly",
    "StorageError",
    "TimedOut",
    "Unavailable",
    "Unsupported",
    "leaves",
]


class StorageError(OSError):
    """Tells what happened to which path, in which operation of which provider.

    `temporary` says that the same call may succeed later; `retry_after_seconds` says when, if the
    store told. `detail` is the cause in words, with the way out where there is one. It may reach a
    client, so it never holds a secret or a path of the machine.
    """

    number: ClassVar[int] = errno.EIO
    text: ClassVar[str] = "the store failed"
    is_temporary: ClassVar[bool] = False

    def __init__(
        self,
        path: str = "",
        *,
        detail: str = "",
        provider: str = "",
        operation: str = "",
        temporary: bool | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(self.number, self.text)
        self.path = path
        self.detail = detail
        self.provider = provider
        self.operation = operation
        self.temporary = self.is_temporary if temporary is None else temporary
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        where = f"{self.path!r}: " if self.path else ""
        what = f"{self.text} ({self.detail})" if self.detail else self.text
        by = " ".join(part for part in (self.provider, self.operation) if part)
        return f"{where}{what} [{by}]" if by else f"{where}{what}"

    def __reduce__(self) -> tuple[type[Self], tuple[str], dict[str, object]]:
        return type(self), (self.path,), self.__dict__

    def at(self, *, provider: str, operation: str, path: str) -> Self:
        """Fill in what the provider left open and replace its path by the caller's."""
        self.provider = self.provider or provider
        self.operation = self.operation or operation
        self.path = path
        return self


class NotFound(StorageError):
    """There is nothing at this path."""

    number = errno.ENOENT
    text = "there is no such file or folder"


class AlreadyExists(StorageError):
    """Something is there already and may not be replaced."""

    number = errno.EEXIST
    text = "it exists already"


class NotADirectory(StorageError):
    """A file stands where a folder is needed."""

    number = errno.ENOTDIR
    text = "it is a file, not a folder"


class IsADirectory(StorageError):
    """A folder stands where a file is needed."""

    number = errno.EISDIR
    text = "it is a folder, not a file"


class NotEmpty(StorageError):
    """A folder that must be empty holds something."""

    number = errno.ENOTEMPTY
    text = "the folder is not empty"


class Denied(StorageError):
    """The caller, or the gateway's account at the store, may not do this."""

    number = errno.EACCES
    text = "this is not permitted"


class ReadOnly(StorageError):
    """The store or mount takes no changes."""

    number = errno.EROFS
    text = "this store is read-only"


class InvalidPath(StorageError):
    """The store cannot hold this name, or no store may."""

    number = errno.EINVAL
    text = "this name cannot be used"


class BadRange(StorageError):
    """The offset or size asked for makes no sense."""

    number = errno.ERANGE
    text = "the range cannot be served"


class Changed(StorageError):
    """The bytes are no longer those that were expected."""

    number = errno.ESTALE
    text = "it was changed in the meantime"


class Unsupported(StorageError):
    """The store has no such operation; its capabilities say so beforehand."""

    number = errno.ENOTSUP
    text = "this store cannot do that"


class NoSpace(StorageError):
    """The disk or the quota is full."""

    number = errno.ENOSPC
    text = "there is no space left"


class Unavailable(StorageError):
    """The store cannot be reached or does not serve."""

    number = errno.EHOSTUNREACH
    text = "the store does not answer"
    is_temporary = True


class RateLimited(StorageError):
    """The store asks to be asked less often."""

    number = errno.EBUSY
    text = "the store is busy"
    is_temporary = True


class TimedOut(StorageError):
    """The store did not answer in time."""

    number = errno.ETIMEDOUT
    text = "the store did not answer in time"
    is_temporary = True


class BadCredentials(StorageError):
    """The store refused the gateway's own login."""

    number = errno.EPERM
    text = "the store refused the login"


class Corrupted(StorageError):
    """The bytes do not match their checksum or size."""

    number = errno.EBADMSG
    text = "the data is damaged"


def leaves() -> tuple[type[StorageError], ...]:
    """Return every leaf, so that tables can be checked for completeness.

    A subclass that somebody else makes is no leaf: it counts as what it derives from.
    """
    return tuple(leaf for leaf in StorageError.__subclasses__() if leaf.__module__ == __name__)


def from_oserror(error: OSError, path: str = "") -> StorageError:
    """Return the leaf for an error of the operating system."""
    leaf = _BY_ERRNO.get(error.errno or 0)
    if leaf is None:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        return StorageError(path, detail=reason)
    if error.errno == errno.ENAMETOOLONG:
        return leaf(path, detail="the name is too long for this store")
    if error.errno == errno.ELOOP:
        return leaf(path, detail=_LINK)
    if error.errno == errno.ENXIO:
        return leaf(path, detail="it is neither a file nor a folder, so it is not served")
    if error.errno == errno.EXDEV:
        return leaf(path, detail="a symbolic link in this path leads out of the store")
    return leaf(path)


_LINK = (
    "a symbolic link stands in this path, and links are refused here or lead in circles; "
    'symlinks = "inside" follows those that stay in the store'
)

_BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.ENOTDIR: NotADirectory,
    errno.EISDIR: IsADirectory,
    errno.ENOTEMPTY: NotEmpty,
    errno.EACCES: Denied,
    errno.EPERM: Denied,
    errno.ELOOP: Denied,
    errno.EXDEV: Denied,
    errno.ENXIO: Denied,
    errno.EROFS: ReadOnly,
    errno.EINVAL: InvalidPath,
    errno.EILSEQ: InvalidPath,
    errno.ENAMETOOLONG: InvalidPath,
    errno.ESTALE: Changed,
    errno.ENOTSUP: Unsupported,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: NoSpace,
    errno.EMLINK: NoSpace,
    errno.E2BIG: NoSpace,
    errno.ETIMEDOUT: TimedOut,
    errno.EHOSTUNREACH: Unavailable,
    errno.EHOSTDOWN: Unavailable,
    errno.ENETUNREACH: Unavailable,
    errno.ECONNREFUSED: Unavailable,
    errno.ECONNRESET: Unavailable,
    errno.EPIPE: Unavailable,
    errno.EMFILE: Unavailable,
    errno.ENFILE: Unavailable,
    errno.EBUSY: RateLimited,
    errno.EIO: Unavailable,
    errno.ENODEV: Unavailable,
    errno.ENOTCONN: Unavailable,
}
