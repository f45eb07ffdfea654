"""What a local folder can do, as its file system says."""

import os

from msgspec.structs import replace

from providers import attributes
from providers.base import Capabilities, Usage
from providers.errors import Denied

_POSIX = Capabilities(
    create=True,
    modify=True,
    mkdir=True,
    remove=True,
    rename=True,
    copy=True,
    set_mtime=True,
    usage=True,
    descriptors=True,
    exclusive_create=True,
    conditional_create=True,
)


def of(descriptor: int | None, *, links: bool) -> Capabilities:
    """Return the capabilities of an opened folder; with None, those that any folder has."""
    if descriptor is None:
        return replace(_POSIX, links=links)
    return replace(
        _POSIX,
        links=links,
        xattrs=attributes.supported(descriptor),
        name_max_bytes=os.fpathconf(descriptor, "PC_NAME_MAX"),
    )


def check(folder: int, *, writable: bool) -> None:
    """Raise Denied unless the gateway's account may read an opened folder, or also write there."""
    try:
        os.close(os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder))
    except PermissionError:
        raise Denied(
            detail="the gateway's account may not read the store's folder; give it r and x"
        ) from None
    if not writable or os.fstatvfs(folder).f_flag & os.ST_RDONLY:
        return
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
        raise Denied(
            detail="the gateway's account may not write to the store's folder; give it w, "
            "or set writable = false"
        )


def usage_of(descriptor: int) -> Usage:
    """Return how full the file system is that holds what is opened."""
    space = os.fstatvfs(descriptor)
    if not space.f_blocks:
        return Usage(used=None, available=None)
    return Usage(
        used=(space.f_blocks - space.f_bfree) * space.f_frsize,
        available=space.f_bavail * space.f_frsize,
    )
