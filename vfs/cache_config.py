"""What a configuration says of the cache."""

import enum
from typing import Annotated

import msgspec

from cache.room import RoomLimits
from vfs.section import Section

_LIMITS = RoomLimits()


class CacheMode(enum.StrEnum):
    """What of a mount is remembered."""

    OFF = "off"
    WRITE = "write"


class CacheConfig(Section, frozen=True, kw_only=True):
    """What is remembered of stores."""

    pending_bytes: Annotated[int, msgspec.Meta(gt=0)] = _LIMITS.pending_bytes
    """With `cache = "write"`: how many bytes of a mount may wait to be uploaded; then writers do.
    They lie in `server.state_dir`."""
    pending_free_bytes: Annotated[int, msgspec.Meta(ge=0)] = _LIMITS.free_bytes
    """How much of the disk of `server.state_dir` they leave free."""
