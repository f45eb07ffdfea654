"""Extended attributes of local files: the user's own, and those that go on with a file."""

import contextlib
import errno
import os
from collections.abc import Mapping

from providers.errors import InvalidPath

_USER = "user."
_ACL = "system.posix_acl_access"


def supported(descriptor: int) -> bool:
    """Tell whether the file system keeps the user's attributes."""
    try:
        os.getxattr(descriptor, f"{_USER}headgate")
    except OSError as error:
        return error.errno == errno.ENODATA
    return True


def read(descriptor: int) -> dict[str, bytes]:
    """Return the user's attributes without their prefix."""
    found = {}
    for name in os.listxattr(descriptor):
        if name.startswith(_USER):
            with contextlib.suppress(OSError):  # removed meanwhile
                found[name.removeprefix(_USER)] = os.getxattr(descriptor, name)
    return found


def change(descriptor: int, changes: Mapping[str, bytes | None]) -> None:
    """Set the user's attributes, or remove those whose value is None; stop at the first error."""
    for name, value in changes.items():
        try:
            if value is None:
                os.removexattr(descriptor, f"{_USER}{name}")
            else:
                os.setxattr(descriptor, f"{_USER}{name}", value)
        except ValueError:  # a NUL or a surrogate that stands for no byte
            raise _refusal(name) from None
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ERANGE):
                raise _refusal(name) from None
            if error.errno != errno.ENODATA:  # it was not there to be removed
                raise


def inherit(source: int, target: int, *, users: bool, acl: bool) -> None:
    """Give `target` the user's attributes of `source`, its access list, or both."""
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return
        raise
    for name in names:
        if (users and name.startswith(_USER)) or (acl and name == _ACL):
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                # Removed meanwhile, or the two files lie on different file systems.
                if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                    raise


def _refusal(name: str) -> InvalidPath:
    return InvalidPath(detail=f"the attribute name {name!r} cannot be used")
