"""What a status code of an SFTP server means: `translate` to a leaf of `providers.errors`."""

from typing import Final

from providers.errors import (
    AlreadyExists,
    Denied,
    InvalidPath,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotEmpty,
    NotFound,
    ReadOnly,
    StorageError,
    Unavailable,
    Unsupported,
)

OK: Final = 0
EOF: Final = 1
FAILURE: Final = 4

# Version 3 ends at 8. Some servers send later codes all the same.
_LEAVES: dict[int, type[StorageError]] = {
    2: NotFound,
    3: Denied,
    5: InvalidPath,  # OpenSSH's answer to EINVAL and ENAMETOOLONG
    6: Unavailable,
    7: Unavailable,
    8: Unsupported,
    10: NotFound,
    11: AlreadyExists,
    12: ReadOnly,
    13: Unavailable,
    14: NoSpace,
    15: NoSpace,
    18: NotEmpty,
    19: NotADirectory,
    20: InvalidPath,
    22: Denied,
    24: IsADirectory,
}

# What servers other than OpenSSH say in the message of a plain failure.
_PHRASES: tuple[tuple[str, type[StorageError]], ...] = (
    ("no space left", NoSpace),
    ("quota", NoSpace),
    ("file exists", AlreadyExists),
    ("already exists", AlreadyExists),
    ("not empty", NotEmpty),
    ("not a directory", NotADirectory),
    ("is a directory", IsADirectory),
    ("read-only", ReadOnly),
)

_MESSAGE_CHARACTERS = 200


class Refused(StorageError):
    """The server says no more than that it failed.

    OpenSSH answers so when a name exists already, a folder is not empty, a file is a folder, the
    disk is full, the quota is used up and the file system is read-only. Who needs to know looks
    again at what is there.
    """


def translate(code: int, message: str = "", path: str = "") -> StorageError:
    """Return the error for a status that is neither OK nor EOF."""
    said = plain(message)
    leaf = _LEAVES.get(code)
    if leaf is None:
        lower = said.lower()
        leaf = next((leaf for phrase, leaf in _PHRASES if phrase in lower), None)
    if leaf is not None:
        return leaf(path)
    return Refused(path, detail=f"the SFTP server answered {said or 'with a failure'!r}")


def plain(text: str) -> str:
    """Return what a server says as one short line without control characters."""
    words = "".join(c if c.isprintable() else " " for c in text).split()
    return " ".join(words)[:_MESSAGE_CHARACTERS]
