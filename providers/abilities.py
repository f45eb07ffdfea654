"""What a local folder can do, as its file system says."""

import os

from msgspec.structs import replace

from providers import attributes
from providers.base import Capabilities

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
